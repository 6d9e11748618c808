//! Which files are found: each once, none that was not asked for, and what stands in the way is said.

use super::*;
use rustix::fs::FileType;
use std::{io::BufRead, io::BufReader, process::Stdio};

fn paths(told: &Told) -> Vec<String> {
    let path = |file: &Value| file["path"].as_str().unwrap().to_owned();
    let mut paths: Vec<String> = told.files.iter().map(path).collect();
    paths.sort();
    paths
}

/// The same beneath a directory.
fn beneath(told: &Told, directory: &Path) -> Vec<String> {
    let directory = format!("{}/", directory.display());
    paths(told).iter().map(|path| path.replace(&directory, "")).collect()
}

#[test]
fn each_file_is_counted_once() {
    let tree = Tree::new();
    let path = tree.file("a/file", b"12345");
    tree.file("b/other", b"123");
    fs::hard_link(&path, tree.path().join("b/same")).unwrap();
    let told = tell([tree.path()]);
    assert_eq!((told.sum("files"), told.sum("bytes")), (2, 8));
    assert_eq!(told.summary["passed_over"]["repeated"], 1);
    // Beneath each other in either order, and named several times.
    let (a, b) = (tree.path().join("a"), tree.path().join("b"));
    for several in [
        vec![tree.path(), &a, &b],
        vec![&b, &a, tree.path()],
        vec![&path, tree.path(), &path, tree.path()],
    ] {
        let told = tell(&several);
        assert_eq!((told.sum("files"), told.sum("bytes")), (2, 8), "{several:?}");
    }
}

#[test]
fn symbolic_links_are_followed_where_that_was_asked_for() {
    let tree = Tree::new();
    tree.file("inside/file", b"12345");
    let outside = Tree::new();
    outside.file("file", b"123");
    tree.link("inside/out", outside.path());
    tree.link("inside/up", "..");
    tree.link("inside/itself", ".");
    tree.link("inside/again", "file");
    tree.link("inside/nowhere", "missing");
    let inside = tree.path().join("inside");
    let told = tell([&inside]);
    assert_eq!(beneath(&told, &inside), ["file"]);
    assert_eq!((told.code, &told.summary["passed_over"]["symlinks"]), (Some(0), &json!(5)));
    let told = tell([Path::new("-L"), &inside]);
    assert_eq!((told.code, &*told.stderr), (Some(0), ""), "a loop is no error");
    assert_eq!((told.sum("files"), told.sum("bytes")), (2, 8), "each once");
    // One that was named is followed, to a directory and to a file.
    let told = tell([inside.join("out"), inside.join("again")]);
    assert_eq!((told.sum("files"), told.sum("bytes")), (2, 8));
    let told = tell([inside.join("nowhere")]);
    assert_eq!((told.code, told.errors.len()), (Some(1), 1));
}

#[test]
fn special_files_are_passed_over_and_not_opened() {
    let tree = Tree::new();
    tree.file("file", b"1");
    let kinds = [FileType::Fifo, FileType::Socket, FileType::CharacterDevice];
    let made = kinds.into_iter().enumerate();
    let made = made.filter_map(|(at, kind)| tree.node(&format!("node{at}"), kind)).count();
    let told = tell([tree.path()]); // which would wait for a writer of the FIFO
    assert_eq!(beneath(&told, tree.path()), ["file"]);
    assert_eq!(told.summary["passed_over"]["special"], made);
    let told = tell([tree.path().join("node0")]);
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.contains("neither a regular file nor a directory"), "{}", told.stderr);
}

#[test]
fn what_is_missing_is_said_and_the_rest_goes_on() {
    let tree = Tree::new();
    tree.file("file", b"1");
    let missing = tree.path().join("missing");
    let told = tell([&missing, tree.path()]);
    assert_eq!((told.code, told.sum("files"), told.sum("errors")), (Some(1), 1, 1));
    assert_eq!(told.errors[0]["path"], missing.to_str().unwrap());
    assert_eq!(told.errors[0]["message"], "No such file or directory (os error 2)");
    assert_eq!(told.stderr.lines().count(), 1, "{}", told.stderr);
    // Several passes over the tree say it once.
    let told = tell([Path::new("--evict"), &missing, tree.path()]);
    assert_eq!((told.stderr.lines().count(), told.sum("errors")), (1, 1), "{}", told.stderr);
    let output = cache([&missing]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "nothing to show");
}

#[test]
fn the_current_directory_is_the_default() {
    let tree = Tree::new();
    tree.file("a/file", b"1");
    let output = cache(["--json"]).current_dir(tree.path()).output().unwrap();
    assert_eq!(paths(&Told::read(&output)), ["a/file"]);
}

#[test]
fn mounts_are_entered_or_not_and_proc_never() {
    if !is_root() || !has("unshare") {
        return;
    }
    let tree = Tree::new();
    tree.file("file", b"1");
    for directory in ["memory", "processes"] {
        fs::create_dir(tree.path().join(directory)).unwrap();
    }
    let script = r#"
        mount -t tmpfs none "$1/memory" && mount -t proc none "$1/processes" || exit 9
        echo 1 >"$1/memory/inner"
        shift; exec "$@""#;
    let run = |options: &[&str]| {
        let options = options.iter().map(OsStr::new);
        let command = cache(options.chain([OsStr::new("--json"), tree.path().as_os_str()]));
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c", script, "sh"]).arg(tree.path());
        let output = unshare.arg(command.get_program()).args(command.get_args()).output().unwrap();
        (output.status.code() != Some(9)).then(|| Told::read(&output))
    };
    let Some(told) = run(&[]) else {
        eprintln!("skipped: cannot mount here");
        return;
    };
    let passed = |told: &Told, what: &str| told.summary["passed_over"][what].as_u64().unwrap();
    assert_eq!(beneath(&told, tree.path()), ["file", "memory/inner"]);
    assert_eq!((told.code, told.file("inner")["file_system"].as_str()), (Some(0), Some("tmpfs")));
    assert_eq!(passed(&told, "without_page_cache"), 1);
    let told = run(&["-x"]).unwrap();
    assert_eq!(beneath(&told, tree.path()), ["file"]);
    assert_eq!((told.code, passed(&told, "other_file_systems")), (Some(0), 2));
}

#[test]
fn proc_has_no_page_cache() {
    for path in ["/proc/self/status", "/proc/self"] {
        let told = tell([path]);
        assert_eq!((told.code, told.sum("files")), (Some(1), 0));
        assert!(told.stderr.contains("is on proc, which has no page cache"), "{}", told.stderr);
    }
}

/// Many files, so that lines about them do not fit into a pipe.
fn many() -> Tree {
    let tree = Tree::new();
    for at in 0..1000 {
        tree.file(&format!("{at:0>60}"), b"1");
    }
    tree
}

/// Waits until it waits for somebody to read what it writes.
fn waits_for_a_reader(child: &std::process::Child, out: impl AsFd) {
    eventually("it waits for a reader", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        stat.contains(") S ") && rustix::io::ioctl_fionread(&out).unwrap() > 50_000
    });
}

fn signal(child: &std::process::Child) {
    let status = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

#[test]
fn an_interrupt_ends_it_with_what_was_seen() {
    let tree = many();
    let mut command = cache([OsStr::new("--json"), tree.path().as_os_str()]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    waits_for_a_reader(&child, out.get_ref());
    signal(&child);
    let rest: Vec<String> = out.lines().map(Result::unwrap).collect();
    let summary: Value = serde_json::from_str(rest.last().unwrap()).unwrap();
    assert_eq!((&summary["type"], &summary["interrupted"]), (&json!("summary"), &json!(true)));
    assert_eq!(summary["files"], rest.len(), "each that was counted was told of");
    assert!(rest.len() < 900, "it went on to the end");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_second_interrupt_ends_it_at_once() {
    use std::os::unix::process::ExitStatusExt;
    let tree = many();
    let mut command = cache([OsStr::new("--json"), tree.path().as_os_str()]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let out = child.stdout.take().unwrap();
    waits_for_a_reader(&child, &out);
    // It cannot end by itself, for nobody reads what it writes. The kernel merges signals that come too
    // soon after each other, so more than two may be needed.
    eventually("ended by a signal", || {
        signal(&child);
        child.try_wait().unwrap().is_some_and(|status| status.signal() == Some(2))
    });
}

#[test]
fn who_has_read_enough_may_go() {
    let tree = many();
    for json in [true, false] {
        let mut command = cache([tree.path()]);
        if json {
            command.arg("--json");
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut String::new()).unwrap();
        drop(out);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[test]
fn a_file_that_cannot_be_written_to_is_said() {
    if !Path::new("/dev/full").exists() {
        eprintln!("skipped: there is no /dev/full");
        return;
    }
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = cache(["/etc"]).stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("cannot write to standard output: No space left"), "{said}");
}
