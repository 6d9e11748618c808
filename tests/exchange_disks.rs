//! `sendrail recv` where the disk takes no more: full, over quota, gone read-only, not for this user. Both sides are told why, and
//! nothing has its name that is not whole.

use crate::harness::{
    Tree, build_folder, bytes,
    disk::{FileSystem, on},
    exchange::{Between, Meddle, Waiting, exchange, said, send},
    has,
};
use rustix::fs::{FallocateFlags, fallocate};
use std::{
    fs::{self, File, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};

const LARGE: usize = 40_000_000;

/// Both have said why, and neither has ended well.
#[track_caller]
fn assert_both_say(why: &[&str], sent: (Option<i32>, &str), received: (Option<i32>, &str)) {
    assert_eq!((sent.0, received.0), (Some(1), Some(1)), "{}{}", sent.1, received.1);
    for said in [sent.1, received.1] {
        assert!(why.iter().any(|why| said.contains(why)), "{why:?}: {said}");
    }
}

/// Sends a large file to `receiver`, whose disk will not have it.
#[track_caller]
fn refuses(receiver: Waiting, path: &Path, target: &Path, why: &str) {
    let output = send(receiver.address, [path]);
    let (code, heard) = receiver.end();
    assert_both_say(&[why], (output.status.code(), &said(&output)), (code, &heard));
    assert!(!target.join(path.file_name().unwrap()).exists(), "{heard}");
}

/// Sends it again, where nothing is in the way any more.
fn arrives(path: &Path, target: &Path) -> String {
    let receiver = Waiting::recv([target]);
    let output = send(receiver.address, [path]);
    let (code, heard) = receiver.end();
    assert!(output.status.success() && code == Some(0), "{}{heard}", said(&output));
    let arrived = fs::read(target.join(path.file_name().unwrap())).unwrap();
    assert!(arrived == fs::read(path).unwrap(), "the bytes differ");
    said(&output)
}

/// A file that takes all of a disk but some 10 MB.
fn fill(folder: &Path) -> File {
    let room = File::create(folder.join("room")).unwrap();
    fallocate(&room, FallocateFlags::empty(), 0, 10 << 20).unwrap();
    let filler = File::create(folder.join("filler")).unwrap();
    let (mut at, mut step) = (0, 64 << 20);
    while step >= 64 << 10 {
        match fallocate(&filler, FallocateFlags::empty(), at, step) {
            Ok(()) => at += step,
            Err(_) => step /= 2,
        }
    }
    fs::remove_file(folder.join("room")).unwrap();
    filler
}

fn command(program: &str, arguments: &[&str], last: &Path) {
    let output = Command::new(program).args(arguments).arg(last).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", said(&output));
}

#[test]
fn a_full_disk_of_any_kind_is_told_to_both() {
    for file_system in FileSystem::ON_DISK {
        println!("{file_system:?}"); // shown when it fails
        on(file_system, |folder| {
            let target = folder.join("in");
            fs::create_dir(&target).unwrap();
            let filler = fill(folder);
            let from = Tree::new();
            let path = from.file("large", bytes(LARGE));
            refuses(Waiting::recv([&target]), &path, &target, "No space left on device");
            filler.set_len(0).unwrap();
            filler.sync_all().unwrap();
            arrives(&path, &target);
        });
    }
}

#[test]
fn a_quota_is_told_to_both() {
    if !has("btrfs") {
        return;
    }
    on(FileSystem::Btrfs, |folder| {
        let target = folder.join("in");
        command("btrfs", &["-q", "quota", "enable"], folder);
        command("btrfs", &["-q", "subvolume", "create"], &target);
        command("btrfs", &["-q", "qgroup", "limit", "10M"], &target);
        let from = Tree::new();
        let path = from.file("large", bytes(LARGE));
        refuses(Waiting::recv([&target]), &path, &target, "Disk quota exceeded");
        command("btrfs", &["-q", "qgroup", "limit", "none"], &target);
        let sent = arrives(&path, &target);
        assert!(sent.contains("had been there before"), "it goes on: {sent}");
    });
}

/// What a disk does that has found itself broken: its file system is read-only from then on.
#[test]
fn a_file_system_that_becomes_read_only_in_the_middle_is_told_to_both() {
    on(FileSystem::Ext4, |target| {
        let from = Tree::new();
        let path = from.file("large", bytes(100_000_000));
        let receiver = Waiting::recv([target]);
        let between = Between::new(receiver.address, Meddle::Hold(1_000_000));
        let sender = exchange("send", [&between.address.to_string()])
            .arg(&path)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        between.wait_until_held();
        command("mount", &["-o", "remount,abort"], target);
        between.go_on();
        between.end();
        let output = sender.wait_with_output().unwrap();
        let (code, heard) = receiver.end();
        let why = ["Read-only file system", "Input/output error"];
        assert_both_say(&why, (output.status.code(), &said(&output)), (code, &heard));
        assert!(!target.join("large").exists());
    });
}

/// Without a word about it a process is ended by SIGXFSZ.
#[test]
fn a_limit_for_the_length_of_files_is_told_to_both() {
    let (from, to) = (Tree::new(), Tree::new());
    let path = from.file("large", bytes(LARGE));
    let recv = exchange("recv", ["--listen", "127.0.0.1:0"]);
    let mut limited = Command::new("sh");
    // In blocks of 512 bytes (sh(1)).
    limited.args(["-c", "ulimit -f 20000 && exec \"$@\"", "sh"]);
    limited.arg(recv.get_program()).args(recv.get_args()).arg(to.path());
    for (name, value) in recv.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    refuses(Waiting::of(limited), &path, to.path(), "File too large");
    let sent = arrives(&path, to.path());
    assert!(sent.contains("had been there before"), "it goes on: {sent}");
}

/// Somebody who owns nothing here.
const NOBODY: u32 = 65_534;

#[test]
fn a_directory_that_may_not_be_written_to_is_told_to_both() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: to become another user needs root");
    }
    let from = Tree::new();
    // Where everybody may look, and root alone may write.
    let target = tempfile::tempdir_in(build_folder()).unwrap();
    fs::set_permissions(target.path(), Permissions::from_mode(0o755)).unwrap();
    let path = from.file("large", bytes(1000));
    let mut recv = exchange("recv", ["--listen", "127.0.0.1:0"]);
    recv.arg(target.path()).uid(NOBODY).gid(NOBODY);
    refuses(Waiting::of(recv), &path, target.path(), "Permission denied");
    arrives(&path, target.path());
}

#[test]
fn an_immutable_directory_or_file_is_told_to_both_and_stays_as_it_is() {
    if !has("chattr") {
        return;
    }
    on(FileSystem::Ext4, |folder| {
        let from = Tree::new();
        let path = from.file("large", bytes(LARGE));
        let target = folder.join("in");
        fs::create_dir(&target).unwrap();
        command("chattr", &["+i"], &target);
        refuses(Waiting::recv([&target]), &path, &target, "Operation not permitted");
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
        command("chattr", &["-i"], &target);

        let there = target.join("large");
        fs::write(&there, "what was there").unwrap();
        command("chattr", &["+i"], &there);
        let receiver = Waiting::recv([&target]);
        let output = send(receiver.address, [&path]);
        let (code, heard) = receiver.end();
        let why = ["Operation not permitted"];
        assert_both_say(&why, (output.status.code(), &said(&output)), (code, &heard));
        assert_eq!(fs::read(&there).unwrap(), b"what was there");
        command("chattr", &["-i"], &there);
        arrives(&path, &target);
    });
}
