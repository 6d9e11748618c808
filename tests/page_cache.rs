//! `sendrail cache`: that it tells the truth about files, and of what it does not know.

use crate::harness::{
    Tree,
    cache_command::{Told, cache, injected, table, tell},
    disk::{FileSystem, on},
    eventually, evict, has,
};
use rustix::process::geteuid;
use sendrail_sys::{Advice, fadvise, limits::page_size, pread, resident_pages};
use serde_json::{Value, json};
use std::{
    ffi::OsStr,
    fs::{self, File},
    os::{
        fd::AsFd,
        unix::{ffi::OsStrExt, fs::FileExt},
    },
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

mod acting;
mod terminal;
mod walking;

/// A directory in memory: nothing there is evicted while a test looks at it.
fn in_memory() -> Option<TempDir> {
    let directory = TempDir::new_in("/dev/shm");
    if let Err(error) = &directory {
        eprintln!("skipped: no tmpfs at /dev/shm: {error}");
    }
    directory.ok()
}

/// A sparse file in which `written` pages are resident: in memory a hole has no page.
fn sparse(path: &Path, pages: u64, written: impl IntoIterator<Item = u64>) -> PathBuf {
    let page = page_size() as u64;
    let file = File::create(path).unwrap();
    file.set_len(pages * page).unwrap();
    for at in written {
        file.write_all_at(b"x", at * page).unwrap();
    }
    path.to_owned()
}

/// What mincore(2) says of a file, apart from the program under test.
fn resident(path: &Path) -> u64 {
    let file = File::open(path).unwrap();
    let len = file.metadata().unwrap().len();
    resident_pages(file.as_fd(), 0, len as usize).unwrap()
}

/// Whether this is root; says so if a test has to be skipped.
fn is_root() -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        eprintln!("skipped: needs root");
    }
    is_root
}

#[test]
fn pages_that_were_read_are_resident_and_no_others() {
    let tree = Tree::new();
    let page = page_size() as u64;
    let path = tree.file("file", vec![7; 100 * page as usize + 10]);
    // The kernel may evict what nobody uses whenever it likes, so this may need a second try.
    eventually("exactly what was read is resident", || {
        evict(&path);
        let file = File::open(&path).unwrap();
        fadvise(file.as_fd(), 0, 0, Advice::Random).unwrap(); // no read-ahead
        for at in [0, 1, 2, 40, 100] {
            pread(file.as_fd(), &mut [0], at * page).unwrap();
        }
        let told = tell([&path]);
        let line = told.file("file");
        assert_eq!((told.code, &*told.stderr), (Some(0), ""));
        assert_eq!((&line["size"], &line["pages"]), (&json!(100 * page + 10), &json!(101)));
        line["runs"] == json!([[0, 3 * page], [40 * page, page], [100 * page, 10]])
            && line["runs_complete"] == true
            && line["resident_pages"] == resident(&path)
            && line["resident_bytes"] == 5 * page
            && told.sum("resident_pages") == 5
    });
}

#[test]
fn the_bar_shows_where() {
    let Some(directory) = in_memory() else { return };
    let path = directory.path().join("file");
    // Half of the pages, all of them in the second quarter and the last.
    sparse(&path, 400, (100..200).chain(300..400));
    let said = table([&path]);
    let row = said.lines().nth(1).unwrap();
    let bar: String = row.chars().filter(|c| "·░▒▓█".contains(*c)).collect();
    let blocks: Vec<char> = bar.chars().collect();
    let quarter = blocks.len() / 4;
    assert!(blocks.len() >= 20, "{row}");
    for (part, glyph) in ['·', '█', '·', '█'].into_iter().enumerate() {
        assert_eq!(blocks[part * quarter + quarter / 2], glyph, "{row}");
    }
    assert!(row.contains("   50%") && row.ends_with("/file"), "{row}");
    let ascii = table([path.as_os_str(), OsStr::new("--ascii")]);
    assert!(ascii.is_ascii() && ascii.contains("....") && ascii.contains("####"), "{ascii}");
    let plain = cache([&path]).env("LC_ALL", "C").output().unwrap();
    let without_time = |text: &str| text.lines().take(2).collect::<Vec<_>>().join("\n");
    let plain = String::from_utf8(plain.stdout).unwrap();
    assert_eq!(without_time(&plain), without_time(&ascii), "a locale without UTF-8");
}

#[test]
fn rows_are_sorted_limited_and_summed() {
    let Some(directory) = in_memory() else { return };
    let page = page_size() as u64;
    for (name, pages, resident) in [("b", 8, 8), ("a", 100, 2), ("d", 16, 4), ("c", 32, 0)] {
        sparse(&directory.path().join(name), pages, 0..resident);
    }
    File::create(directory.path().join("empty")).unwrap();
    let names = |arguments: &[&str]| {
        let all = arguments.iter().map(OsStr::new).chain([directory.path().as_os_str()]);
        let told = tell(all);
        assert_eq!(told.sum("files"), 5, "the sum is of all");
        assert_eq!(told.sum("resident_bytes"), 14 * page);
        assert_eq!(told.sum("bytes"), 156 * page);
        assert_eq!((told.sum("in_memory_files"), told.sum("in_memory_bytes")), (4, 156 * page));
        let name =
            |file: &Value| file["path"].as_str().unwrap().rsplit('/').next().map(str::to_owned);
        told.files.iter().filter_map(name).collect::<Vec<_>>()
    };
    assert_eq!(names(&["--sort", "resident"]), ["b", "d", "a", "c", "empty"]);
    assert_eq!(names(&["--sort", "size", "--limit", "3"]), ["a", "c", "d"]);
    assert_eq!(names(&["--sort", "name", "--limit", "all"]), ["a", "b", "c", "d", "empty"]);
    assert_eq!(names(&["--limit", "0"]), [""; 0]);
    let said = table([directory.path().as_os_str(), OsStr::new("--limit=2")]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[1].ends_with("/b") && lines[2].ends_with("/d"), "{said}");
    assert!(lines[3].ends_with("and 3 more files"), "{said}");
    assert!(lines[4].contains("5 files, in "), "{said}");
    assert!(said.contains("4 files (624 KiB) on tmpfs live there"), "{said}");
    let sum = table([directory.path().as_os_str(), OsStr::new("--limit=0")]);
    assert!(sum.lines().next().unwrap().contains("5 files, in "), "{sum}");
}

#[test]
fn names_are_shown_harmlessly_and_told_without_loss() {
    let Some(directory) = in_memory() else { return };
    let names: [&[u8]; 3] = [b"a\x1b[31m\nb", b"\xff\xfe", "größe 日本".as_bytes()];
    for name in names {
        fs::write(directory.path().join(OsStr::from_bytes(name)), b"x").unwrap();
    }
    let told = tell([directory.path()]);
    let mut bytes: Vec<Vec<u8>> = Vec::new();
    for file in &told.files {
        bytes.push(match file.get("path_bytes") {
            Some(bytes) => serde_json::from_value(bytes.clone()).unwrap(),
            None => file["path"].as_str().unwrap().as_bytes().to_vec(),
        });
    }
    for name in names {
        assert!(bytes.iter().any(|path| path.ends_with(name)), "{name:?} was lost");
    }
    assert_eq!(told.files.iter().filter(|file| file.get("path_bytes").is_some()).count(), 1);
    let said = table([directory.path()]);
    assert!(said.contains(r"a\x1b[31m\x0ab") && said.contains(r"\xff\xfe"), "{said}");
    assert!(said.contains("größe 日本") && !said.contains('\u{1b}'), "{said}");
}

#[test]
fn a_part_of_each_file_can_be_asked_for() {
    let Some(directory) = in_memory() else { return };
    let page = page_size() as u64;
    sparse(&directory.path().join("long"), 64, [0, 20, 21, 40]);
    sparse(&directory.path().join("short"), 4, [0, 1]);
    let part = ["--offset", &(16 * page).to_string(), "--length", &(8 * page).to_string()]
        .map(str::to_owned);
    let told = tell(part.iter().map(OsStr::new).chain([directory.path().as_os_str()]));
    let long = told.file("/long");
    assert_eq!((&long["bytes"], &long["size"]), (&json!(8 * page), &json!(64 * page)));
    assert_eq!(long["runs"], json!([[20 * page, 2 * page]]));
    assert_eq!(told.file("/short")["bytes"], 0, "it ends before");
    assert_eq!((told.sum("pages"), told.sum("resident_pages")), (8, 2));
}

#[test]
fn without_cachestat_mincore_tells_the_same() {
    let Some(directory) = in_memory() else { return };
    if !has("strace") {
        return;
    }
    let path = sparse(&directory.path().join("file"), 5000, [0, 1, 7, 4095, 4096, 4999]);
    let expected = tell([&path]);
    let mut command = injected(&["inject=cachestat:error=ENOSYS"], [&path]);
    let output = command.arg("--json").output().unwrap();
    if output.stdout.is_empty() {
        // Before strace 6.5.
        eprintln!("skipped: {}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let told = Told::read(&output);
    let line = told.file("file");
    assert_eq!(line["evidence"], "mincore");
    assert!(line.get("dirty_pages").is_none(), "which mincore does not tell");
    for name in ["pages", "resident_pages", "resident_bytes", "runs", "runs_complete"] {
        assert_eq!(line[name], expected.file("file")[name], "{name}");
    }
}

#[test]
fn what_belongs_to_others_is_unknown() {
    if !is_root() || !has("setpriv") {
        return;
    }
    let tree = Tree::new();
    let path = tree.file("others", vec![7; 1 << 20]);
    let secret = tree.file("secret", b"x");
    let user = Some(rustix::process::Uid::from_raw(4321));
    for file in [&path, &secret] {
        rustix::fs::chown(file, user, None).unwrap();
    }
    rustix::fs::chmod(&secret, rustix::fs::Mode::RUSR).unwrap();
    // Root who may do no more than others.
    let as_other = |arguments: &[&str]| {
        let command = cache(arguments.iter().map(OsStr::new).chain([tree.path().as_os_str()]));
        let mut setpriv = Command::new("setpriv");
        setpriv.env("LC_ALL", "C.UTF-8");
        setpriv.arg("--bounding-set=-fowner,-dac_override,-dac_read_search");
        setpriv.arg(command.get_program()).args(command.get_args()).output().unwrap()
    };
    let told = Told::read(&as_other(&["--json"]));
    let line = told.file("/others");
    if line["resident_pages"] == resident(&path) && line["evidence"] == "cachestat" {
        eprintln!("skipped: this kernel tells everybody (6.5 to 6.12)");
    } else {
        assert_eq!((&line["resident_pages"], &line["runs"]), (&Value::Null, &Value::Null));
        assert_eq!(line["evidence"], "none");
        assert!(line["unknown_because"].as_str().unwrap().contains("owns the file"), "{line}");
        assert_eq!((told.sum("unknown_files"), told.sum("unknown_bytes")), (1, 1 << 20));
        assert_eq!(told.sum("resident_bytes"), 0, "it is not counted as resident");
        let said = String::from_utf8(as_other(&[]).stdout).unwrap();
        assert!(said.contains(" unknown  1.00 MiB     ?"), "{said}");
    }
    // And what may not even be read is an error, but not the end.
    assert_eq!(told.code, Some(1));
    assert_eq!(told.errors.len(), 1);
    assert!(told.errors[0]["path"].as_str().unwrap().ends_with("/secret"));
    assert!(told.stderr.contains("/secret: Permission denied"), "{}", told.stderr);
}

#[test]
fn overlayfs_is_seen_through() {
    on(FileSystem::Overlay, |merged| {
        let below = merged.parent().unwrap().join("lower/below");
        fs::write(&below, vec![7; 1 << 20]).unwrap();
        fs::write(merged.join("above"), vec![7; 300_000]).unwrap();
        evict(&below);
        evict(&merged.join("above"));
        // As cachestat(2) says of whatever is asked of overlayfs; it has to be true here.
        assert_eq!(tell([merged]).sum("resident_pages"), 0);
        eventually("warmed through overlayfs", || {
            let told = tell([Path::new("--warm"), merged]);
            assert_eq!(told.file("below")["evidence"], "mincore");
            told.file("below")["resident_bytes"] == 1 << 20
                && told.file("above")["resident_bytes"] == 300_000
                && resident(&below) == (1 << 20) / page_size() as u64
        });
        let told = tell([Path::new("--evict"), merged]);
        assert_eq!(told.sum("resident_pages"), 0);
        assert_eq!(resident(&below), 0, "of the file below");
    });
}

#[test]
fn file_systems_on_disks_are_told_the_truth_about() {
    for file_system in FileSystem::ON_DISK {
        on(file_system, |root| {
            let path = root.join("file");
            fs::write(&path, vec![7; (1 << 20) + 10]).unwrap();
            evict(&path);
            let told = tell([&path]);
            assert_eq!((told.sum("resident_pages"), told.code), (0, Some(0)), "{file_system:?}");
            eventually("warmed", || {
                let told = tell([Path::new("--warm"), &path]);
                told.sum("resident_bytes") == (1 << 20) + 10
                    && told.sum("resident_pages") == resident(&path)
            });
            let told = tell([Path::new("--evict"), &path]);
            assert_eq!((told.sum("resident_pages"), resident(&path)), (0, 0), "{file_system:?}");
        });
    }
}

#[test]
fn the_help_has_every_option_and_examples() {
    let output = cache(["--help"]).output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    for option in [
        "[PATH]...",
        "--warm",
        "--evict",
        "--jobs <N>",
        "--force",
        "--offset <SIZE>",
        "--length <SIZE>",
        "-x, --one-file-system",
        "-L, --follow",
        "--sort <SORT>",
        "--limit <N|all>",
        "--ascii",
        "--json",
        "Examples:",
        "Exit status:",
    ] {
        assert!(page.contains(option), "{option} is not in the help:\n{page}");
    }
    assert!(page.lines().all(|line| line.chars().count() <= 100), "wider than a terminal");
    let whole = cache(["--help"]).get_program().to_owned();
    let whole = Command::new(whole).arg("--help").output().unwrap();
    assert!(String::from_utf8(whole.stdout).unwrap().contains("cache "));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for arguments in [
        &["--warm", "--evict"][..],
        &["--force"],
        &["--jobs", "2"],
        &["--warm", "--jobs", "0"],
        &["--length", "0"],
        &["--limit", "-1"],
        &["--limit", "few"],
        &["--sort", "age"],
        &["--json", "--ascii"],
    ] {
        let output = cache(arguments.iter().chain(&["/nonexistent"])).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.starts_with("error: "), "{said}");
    }
}
