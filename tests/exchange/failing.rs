//! Files and disks that fail, on either side: both sides are told, and nothing half has a name.

use super::*;
use crate::harness::disk::{FileSystem, on};
use std::process::Command;

#[test]
fn a_full_disk_is_told_to_both() {
    on(FileSystem::Tmpfs, |folder| {
        // It holds 256 MiB.
        let filler = File::create(folder.join("filler")).unwrap();
        rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), 0, 250 << 20).unwrap();
        let target = folder.join("in");
        fs::create_dir(&target).unwrap();
        let from = Tree::new();
        let path = from.file("large", bytes(40_000_000));
        let receiver = Waiting::recv([&target]);
        let output = send(receiver.address, [&path]);
        let (code, heard) = receiver.end();
        assert_eq!((output.status.code(), code), (Some(1), Some(1)), "{}{heard}", said(&output));
        for said in [&heard, &said(&output)] {
            assert!(said.contains("No space left on device"), "{said}");
        }
        assert!(!target.join("large").exists());
        // When there is room again it goes on.
        filler.set_len(0).unwrap();
        let (sent, _) = arrives(&[&path], &target);
        assert!(sent.contains("had been there before"), "{sent}");
        assert_same(from.path(), &target);
    });
}

#[test]
fn a_read_only_file_system_is_told_to_both() {
    on(FileSystem::Tmpfs, |folder| {
        let remount = |how: &str| {
            let status = Command::new("mount").args(["-o", how]).arg(folder).status().unwrap();
            assert!(status.success(), "{how}");
        };
        remount("remount,ro");
        let from = Tree::new();
        let receiver = Waiting::recv([folder]);
        let output = send(receiver.address, [from.file("file", "x")]);
        let (code, heard) = receiver.end();
        assert_eq!((output.status.code(), code), (Some(1), Some(1)), "{}{heard}", said(&output));
        for said in [&heard, &said(&output)] {
            assert!(said.contains("Read-only file system"), "{said}");
        }
        remount("remount,rw");
    });
}

/// Holds the connection in the middle of a large file, lets `change` do what it wants with it, and lets go.
fn meanwhile(
    from: &Tree,
    to: &Tree,
    change: impl FnOnce(&Path),
) -> (Option<i32>, String, Option<i32>, String) {
    let path = from.aged("large", bytes(100_000_000));
    let after = from.file("small", "after it");
    let receiver = Waiting::recv([to.path()]);
    let between = Between::new(receiver.address, Meddle::Hold(1_000_000));
    let sender = exchange("send", [&between.address.to_string()])
        .args([&path, &after])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    between.wait_until_held();
    change(&path);
    between.go_on();
    between.end();
    let output = sender.wait_with_output().unwrap();
    let (code, heard) = receiver.end();
    (output.status.code(), said(&output), code, heard)
}

#[test]
fn a_file_that_becomes_shorter_is_named_on_both_sides() {
    let (from, to) = (Tree::new(), Tree::new());
    let truncate = |path: &Path| {
        File::options().write(true).open(path).unwrap().set_len(50_000_001).unwrap();
    };
    let (sender, sent, receiver, heard) = meanwhile(&from, &to, truncate);
    assert_eq!((sender, receiver), (Some(1), Some(1)), "{sent}{heard}");
    for said in [&sent, &heard] {
        assert!(said.contains("large: ") && said.contains("became shorter"), "{said}");
    }
    assert!(!to.path().join("large").exists());
    assert_eq!(fs::read(to.path().join("small")).unwrap(), b"after it", "the others arrive");
    assert_eq!(fs::metadata(to.path().join("large.part")).unwrap().len(), 50_000_001, "no zeros");
    let (sent, _) = arrives(&[&from.path().join("large")], to.path());
    assert!(sent.contains("50000001 bytes had been there"), "{sent}");
    assert!(fs::read(to.path().join("large")).unwrap() == bytes(100_000_000)[..50_000_001]);
}

#[test]
fn a_file_that_grows_is_sent_up_to_the_length_it_had() {
    let (from, to) = (Tree::new(), Tree::new());
    let grow = |path: &Path| {
        File::options().append(true).open(path).unwrap().write_all(b"more").unwrap();
    };
    let (sender, sent, receiver, heard) = meanwhile(&from, &to, grow);
    assert_eq!((sender, receiver), (Some(0), Some(0)), "{sent}{heard}");
    assert!(fs::read(to.path().join("large")).unwrap() == bytes(100_000_000));
}

#[test]
fn a_sparse_file_arrives() {
    let (from, to) = (Tree::new(), Tree::new());
    let path = from.path().join("sparse");
    let file = File::create(&path).unwrap();
    file.set_len(30_000_000).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"not a hole", 20_000_000).unwrap();
    arrives(&[&path], to.path());
    assert_same(from.path(), to.path());
}

#[test]
fn who_reads_standard_output_may_have_enough() {
    let from = Tree::new();
    let path = from.file("large", bytes(30_000_000));
    let mut command = exchange("recv", ["--listen", "127.0.0.1:0", "-"]);
    command.stdout(Stdio::piped());
    let mut receiver = Waiting::of(command);
    drop(receiver.child.stdout.take());
    let output = send(receiver.address, [&path]);
    let (code, heard) = receiver.end();
    assert_eq!((output.status.code(), code), (Some(1), Some(1)), "{}{heard}", said(&output));
    for said in [&heard, &said(&output)] {
        assert!(said.contains("has closed it"), "{said}");
    }
}

#[test]
fn what_cannot_be_read_is_said_and_the_rest_is_sent() {
    let (from, to) = (Tree::new(), Tree::new());
    from.file("tree/file", "x");
    from.link("tree/link", "file");
    from.file("tree/download.part", "of somebody else's");
    let receiver = Waiting::recv([to.path()]);
    let output = send(receiver.address, [from.path().join("tree")]);
    let (code, heard) = receiver.end();
    assert_eq!((output.status.code(), code), (Some(1), Some(1)), "{}{heard}", said(&output));
    assert!(said(&output).contains("link: not sent: it is a symbolic link"), "{}", said(&output));
    assert!(said(&output).contains("download.part: refused"), "{}", said(&output));
    assert_eq!(fs::read_dir(to.path().join("tree")).unwrap().count(), 1);
}

#[test]
fn a_file_that_hides_its_length_is_not_sent_as_an_empty_one() {
    let (from, to) = (Tree::new(), Tree::new());
    let (empty, hiding) = (from.file("empty", ""), Path::new("/proc/version"));
    let receiver = Waiting::recv([to.path()]);
    let output = send(receiver.address, [&empty, hiding]);
    let (code, heard) = receiver.end();
    assert_eq!((output.status.code(), code), (Some(1), Some(0)), "{}{heard}", said(&output));
    assert!(said(&output).contains("version: not sent: it says that it is empty"), "{heard}");
    assert_eq!(fs::read_dir(to.path()).unwrap().count(), 1, "what is empty has arrived");
    let receiver = Waiting::recv([OsStr::new("--raw"), to.path().join("raw").as_os_str()]);
    let address = receiver.address.to_string();
    let output = exchange("send", ["--raw", &address]).arg(hiding).output().unwrap();
    let (code, heard) = receiver.end();
    assert!(!output.status.success() && code != Some(0), "{}{heard}", said(&output));
    assert!(!to.path().join("raw").exists());
}

#[test]
fn what_was_mistyped_is_said_with_exit_code_one() {
    let tree = Tree::new();
    for (which, arguments) in [
        ("send", &[][..]),
        ("send", &["127.0.0.1:1"]),
        ("send", &["--method", "magic", "127.0.0.1:1", "x"]),
        ("send", &["127.0.0.1:1", "/no/such/file"]),
        ("send", &["no:such:port", "/dev/null"]),
        ("send", &["127.0.0.1:1", "-", "-"]),
        ("recv", &["--listen", "127.0.0.1:0", "/no/such/directory/"]),
        ("recv", &["--listen", "127.0.0.1:0", "/no/such/directory/file"]),
        ("recv", &["--listen", "nonsense:x"]),
        ("recv", &["--listen", "127.0.0.1:0", "--connect", "127.0.0.1:1"]),
    ] {
        let output = exchange(which, arguments).current_dir(tree.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", said(&output));
        assert!(!said(&output).is_empty());
    }
}
