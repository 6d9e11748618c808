//! FIFOs, sockets and devices are looked at and never opened.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::fs::{
    CWD, FileType, Mode, OFlags, RenameFlags, fcntl_getfl, makedev, mknodat, renameat_with,
};
use rustix::io::Errno;
use sendrail_files::{FileKind, Found, OpenError, Symlinks};

use crate::tree::{StopOnDrop, Tree, contents};

/// Sees every open of one file, by whomever; O_PATH is none (open(2): "the file itself is not
/// opened").
struct OpenWatch {
    inotify: OwnedFd,
}

impl OpenWatch {
    fn on(path: &Path) -> Self {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&inotify, path, WatchFlags::OPEN).unwrap();
        Self { inotify }
    }

    fn opens(&self) -> usize {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut count = 0;
        loop {
            match reader.next() {
                Ok(_) => count += 1,
                Err(Errno::AGAIN) => return count,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn assert_refused(tree: &Tree, name: &str, expected: FileKind) {
    for root in tree.all_roots() {
        match root.find(name.as_bytes()) {
            Err(OpenError::NotAFile { kind }) => assert_eq!(kind, expected),
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// Opening it for reading would block, or wake a writer that waits for a reader.
#[test]
fn a_fifo_is_not_opened() {
    let tree = Tree::new();
    mknodat(CWD, tree.at("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let watch = OpenWatch::on(&tree.at("fifo"));
    assert_refused(&tree, "fifo", FileKind::Fifo);
    let root = tree.root(Symlinks::SameRoot);
    assert!(matches!(root.find(b"fifo/beneath"), Err(OpenError::NotFound)));
    assert_eq!(watch.opens(), 0);
}

/// Between the look and the open, the name may be given to a FIFO; O_NONBLOCK is what keeps the
/// open from waiting for a writer then.
#[test]
fn a_fifo_that_takes_the_name_at_the_last_moment() {
    let tree = Tree::new();
    tree.write("flip", "a file");
    mknodat(CWD, tree.at("other"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let root = tree.root(Symlinks::SameRoot);
    let Found::File(file) = root.find(b"flip").unwrap() else { panic!("a file") };
    assert!(fcntl_getfl(&file).unwrap().contains(OFlags::NONBLOCK));

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, tree.at("flip"), CWD, tree.at("other"), RenameFlags::EXCHANGE)
                    .unwrap();
            }
        });
        let _stop = StopOnDrop(&stop);
        for _ in 0..3000 {
            match root.find(b"flip") {
                Ok(found) => assert_eq!(contents(&found), b"a file"),
                Err(OpenError::NotAFile { kind }) => assert_eq!(kind, FileKind::Fifo),
                Err(error) => panic!("{error}"),
            }
        }
    });
}

/// The watch itself can fail: it must see a plain file being opened.
#[test]
fn the_watch_sees_what_is_opened() {
    let tree = Tree::new();
    tree.write("file", "");
    let watch = OpenWatch::on(&tree.at("file"));
    tree.root(Symlinks::SameRoot).find(b"file").unwrap();
    assert_eq!(watch.opens(), 1);
}

#[test]
fn a_canary_outside_is_not_even_opened() {
    let tree = Tree::new();
    tree.link("out", "../outside/canary").link("dir", tree.outside());
    let watch = OpenWatch::on(&tree.outside().join("canary"));
    for root in [tree.root(Symlinks::Deny), tree.root(Symlinks::SameRoot)] {
        for path in ["out", "dir/canary", "../outside/canary"] {
            root.find(path.as_bytes()).unwrap_err();
        }
    }
    assert_eq!(watch.opens(), 0);
}

#[test]
fn a_socket_is_not_a_file() {
    let tree = Tree::new();
    let _listener = UnixListener::bind(tree.at("socket")).unwrap();
    assert_refused(&tree, "socket", FileKind::Socket);
}

#[test]
fn a_device_is_not_opened() {
    let tree = Tree::new();
    let null = makedev(1, 3);
    if let Err(error) = mknodat(CWD, tree.at("null"), FileType::CharacterDevice, Mode::RUSR, null) {
        eprintln!("skipped: a_device_is_not_opened needs mknod: {error}");
        return;
    }
    let watch = OpenWatch::on(&tree.at("null"));
    assert_refused(&tree, "null", FileKind::CharDevice);
    assert_eq!(watch.opens(), 0);
}

/// A link may lead to a device as well; following it is allowed here, opening what it leads to not.
#[test]
fn a_link_to_a_device_is_a_device() {
    let tree = Tree::new();
    tree.link("null", "/dev/null");
    let found = tree.root(Symlinks::Follow).find(b"null");
    if let Err(OpenError::Forbidden { why }) = found {
        eprintln!("skipped: a_link_to_a_device_is_a_device needs openat2: {why}");
        return;
    }
    assert!(matches!(found, Err(OpenError::NotAFile { kind: FileKind::CharDevice })), "{found:?}");
}
