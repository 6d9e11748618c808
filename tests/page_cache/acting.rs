//! `--warm` and `--evict`: what was asked for has happened, and what has not is said.

use super::*;
use sendrail_sys::Mapping;
use std::os::unix::net::UnixStream;

#[test]
fn warm_brings_in_and_evict_gives_back() {
    let tree = Tree::new();
    let paths: Vec<PathBuf> =
        (0..9).map(|at| tree.file(&format!("d{at}/file"), vec![7; (at << 20) + 100])).collect();
    let total: u64 = paths.iter().map(|path| path.metadata().unwrap().len()).sum();
    for path in &paths {
        evict(path);
    }
    eventually("all is resident", || {
        let told = tell([Path::new("--warm"), tree.path()]);
        assert_eq!((told.code, &*told.stderr), (Some(0), ""));
        told.sum("resident_bytes") == total && told.summary["warmed"]["missing_bytes"] == 0
    });
    let before: u64 = paths.iter().map(|path| resident(path)).sum();
    assert!(before > 0, "mincore(2) says so too");
    let told = tell([Path::new("--evict"), tree.path()]);
    assert_eq!(told.code, Some(0));
    assert_eq!(
        (told.sum("resident_bytes"), &told.summary["evicted"]["stayed_bytes"]),
        (0, &json!(0))
    );
    assert!(paths.iter().all(|path| resident(path) == 0));
    let said = table([Path::new("--evict"), tree.path()]);
    assert!(said.contains("evicted      nothing was resident"), "{said}");
}

#[test]
fn what_is_resident_is_not_read_again() {
    let tree = Tree::new();
    let path = tree.file("file", vec![7; 3 << 20]);
    evict(&path);
    let read = || tell([Path::new("--warm"), &path]).summary["warmed"]["read_bytes"].clone();
    assert_eq!(read(), 3 << 20);
    eventually("nothing to read", || read() == 0);
}

#[test]
fn a_part_is_warmed_and_evicted_alone() {
    let tree = Tree::new();
    let size: u64 = 64 << 20;
    let path = tree.file("file", vec![7; size as usize]);
    evict(&path);
    eventually("the first bytes are resident", || {
        let told = tell([Path::new("--warm"), Path::new("--length=1m"), &path]);
        assert_eq!(told.summary["warmed"]["read_bytes"].as_u64().unwrap() % (1 << 20), 0);
        told.sum("resident_bytes") == 1 << 20
    });
    assert!(resident(&path) < size / page_size() as u64, "not the whole file");
    // In the middle of a page.
    let told = tell([Path::new("--evict"), Path::new("--offset=100"), &path]);
    assert_eq!(told.sum("resident_pages"), 0, "pages that the part only touches go too");
}

#[test]
fn nothing_of_a_file_is_nothing() {
    let tree = Tree::new();
    let path = tree.file("file", b"0123456789");
    evict(&path);
    eventually("evicting what lies behind the end leaves the file", || {
        tell([Path::new("--warm"), &path]);
        let told = tell([Path::new("--evict"), Path::new("--offset=10"), &path]);
        assert_eq!((told.sum("files"), told.sum("bytes"), told.sum("pages")), (1, 0, 0));
        resident(&path) == 1
    });
}

#[test]
fn holes_are_left_out() {
    let tree = Tree::new();
    let path = tree.path().join("sparse");
    let file = File::create(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    file.write_all_at(&vec![7; 1 << 16], 1 << 39).unwrap();
    evict(&path);
    let told = tell([Path::new("--warm"), &path]);
    let warmed = &told.summary["warmed"];
    let read = warmed["read_bytes"].as_u64().unwrap();
    if read == 1 << 40 {
        eprintln!("skipped: this file system does not tell where holes are");
        return;
    }
    assert_eq!((told.code, read), (Some(0), 1 << 16));
    assert_eq!(warmed["hole_bytes"], (1_u64 << 40) - (1 << 16));
}

#[test]
fn what_a_process_has_mapped_stays_and_that_is_said() {
    let tree = Tree::new();
    let path = tree.file("mapped", vec![7; 1 << 20]);
    evict(&path);
    let file = File::open(&path).unwrap();
    let (socket, _peer) = UnixStream::pair().unwrap();
    let mapping = Mapping::new(file.as_fd(), 0, 1 << 20).unwrap();
    // The kernel reads from the mapping, and so puts the page into it.
    mapping.send(socket.as_fd(), 0, 100, false).unwrap();
    assert!(resident(&path) > 0);
    let told = tell([Path::new("--evict"), &path]);
    let evicted = &told.summary["evicted"];
    assert!(evicted["stayed_bytes"].as_u64().unwrap() > 0, "{evicted}");
    assert_eq!(evicted["unwritten_bytes"], 0);
    assert_eq!(told.code, Some(0), "that is no error");
    let said = table([Path::new("--evict"), &path]);
    assert!(said.contains("in use: mapped by a process"), "{said}");
    drop(mapping);
    assert_eq!(tell([Path::new("--evict"), &path]).sum("resident_pages"), 0);
}

#[test]
fn what_is_not_yet_written_stays_and_that_is_said() {
    let tree = Tree::new();
    let path = tree.file("fresh", vec![7; 32 << 20]);
    let dirty = tell([&path]).file("fresh")["dirty_pages"].as_u64().unwrap_or(0);
    let output = cache([Path::new("--evict"), &path]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    if dirty == 0 || said.contains("     0 B  32.0 MiB") {
        eprintln!("skipped: it was written too soon: {dirty} pages dirty\n{said}");
        return;
    }
    assert!(said.contains("was not yet written to the disk"), "{said}");
    let file = File::open(&path).unwrap();
    file.sync_all().unwrap();
    assert_eq!(tell([Path::new("--evict"), &path]).sum("resident_pages"), 0, "once it is written");
}

#[test]
fn files_in_memory_are_not_evicted() {
    let Some(directory) = in_memory() else { return };
    let path = sparse(&directory.path().join("file"), 10, [0, 1]);
    let told = tell([Path::new("--evict"), &path]);
    assert_eq!((told.code, told.sum("resident_pages")), (Some(0), 2));
    assert_eq!(told.summary["evicted"]["before_bytes"], 0, "they do not count");
    let said = table([Path::new("--evict"), &path]);
    assert!(said.contains("on tmpfs live there: never evicted"), "{said}");
}

#[test]
fn more_than_the_memory_is_refused() {
    if !is_root() || !has("unshare") {
        return;
    }
    let tree = Tree::new();
    let path = tree.file("large", vec![7; 4 << 20]);
    let meminfo = tree.file("meminfo", "MemTotal: 9000 kB\nMemAvailable: 2048 kB\n");
    // In a mount namespace that ends with the shell.
    let run = |arguments: &[&str]| {
        evict(&path);
        let command = cache(arguments.iter().map(OsStr::new).chain([path.as_os_str()]));
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c"]);
        unshare.arg(r#"mount --bind "$1" /proc/meminfo || exit 9; shift; exec "$@""#);
        unshare.arg("sh").arg(&meminfo).arg(command.get_program()).args(command.get_args());
        unshare.output().unwrap()
    };
    let refused = run(&["--warm"]);
    if refused.status.code() == Some(9) {
        eprintln!("skipped: cannot mount over /proc/meminfo");
        return;
    }
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0), "{said}");
    assert!(said.starts_with("sendrail: not warmed: 4.00 MiB are not resident"), "{said}");
    assert!(said.contains("2.00 MiB of memory is available") && said.contains("--force"), "{said}");
    assert_eq!(resident(&path), 0, "nothing was read");
    let part = Told::read(&run(&["--warm", "--length=1m", "--json"]));
    assert_eq!((part.code, &part.summary["warmed"]["read_bytes"]), (Some(0), &json!(1 << 20)));
    let forced = Told::read(&run(&["--warm", "--force", "--json"]));
    assert_eq!((forced.code, &forced.summary["warmed"]["read_bytes"]), (Some(0), &json!(4 << 20)));
    assert!(forced.stderr.contains("what is read first will not stay"), "{}", forced.stderr);
}

#[test]
fn a_disk_error_is_said_and_the_rest_goes_on() {
    if !has("strace") {
        return;
    }
    let tree = Tree::new();
    let paths = [tree.file("a", vec![7; 1 << 20]), tree.file("b", vec![7; 1 << 20])];
    let arguments = [OsStr::new("--warm"), OsStr::new("--jobs=1"), tree.path().as_os_str()];
    // The first file that is read, and the last, of which nobody hears before the walk is over.
    for injection in ["inject=sendfile:error=EIO:when=1", "inject=sendfile:error=EIO:when=2"] {
        for path in &paths {
            evict(path);
        }
        let mut command = injected(&[injection], arguments);
        let told = Told::read(&command.arg("--json").output().unwrap());
        assert_eq!((told.code, told.errors.len()), (Some(1), 1), "{injection}: {}", told.stderr);
        let message = told.errors[0]["message"].as_str().unwrap();
        assert_eq!(message, "cannot be read at byte 0: Input/output error (os error 5)");
        assert_eq!(told.summary["warmed"]["read_bytes"], 1 << 20, "the other file");
    }
}

#[test]
fn where_sendfile_is_refused_a_buffer_does() {
    if !has("strace") {
        return;
    }
    let tree = Tree::new();
    let path = tree.file("file", vec![7; (1 << 20) + 5]);
    evict(&path);
    let arguments = [OsStr::new("--warm"), path.as_os_str()];
    let mut command = injected(&["inject=sendfile:error=EINVAL"], arguments);
    let told = Told::read(&command.arg("--json").output().unwrap());
    assert_eq!((told.code, &*told.stderr), (Some(0), ""));
    assert_eq!(told.summary["warmed"]["read_bytes"], (1 << 20) + 5);
}
