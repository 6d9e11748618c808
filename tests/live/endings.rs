//! How a follow ends: by what is done to the file, and to its name.

use super::{Follower, NEVER, SOON, a_log, append, appending};
use crate::harness::{
    Journal, Server, Tree, bytes,
    disk::{FileSystem, on},
};
use std::{fs, io::Write, path::Path, time::Duration};

#[test]
fn a_writer_that_closes_has_finished() {
    let (_tree, server, mut writer) = a_log(SOON);
    let mut follower = Follower::of(&server, "/build.log?follow");
    // Quiet for much longer than the time, but open for writing.
    std::thread::sleep(Duration::from_secs(1));
    writer.write_all(b"second\n").unwrap();
    assert_eq!(follower.take(13), b"first\nsecond\n");
    drop(writer);
    assert_eq!(follower.end(), (Vec::new(), "finished".into()));
}

#[test]
fn a_file_that_was_finished_long_ago_ends_at_once() {
    let tree = Tree::new();
    tree.aged("old.log", "old\n");
    let server = Server::start(&tree, &["--finished-after", "1h"]);
    let mut follower = Follower::of(&server, "/old.log?follow");
    assert_eq!(follower.end(), (b"old\n".to_vec(), "finished".into()));
}

#[test]
fn of_several_writers_the_last_one_counts() {
    let (tree, server, first) = a_log(SOON);
    let mut second = appending(&tree.path().join("build.log"));
    let mut follower = Follower::of(&server, "/build.log?follow");
    assert_eq!(follower.take(6), b"first\n");
    drop(first);
    std::thread::sleep(Duration::from_secs(1));
    second.write_all(b"second\n").unwrap();
    drop(second);
    assert_eq!(follower.end(), (b"second\n".to_vec(), "finished".into()));
}

/// By `mv`, as logrotate does: the writer goes on in the old file until it is told.
#[test]
fn a_renamed_file_is_followed_until_its_writer_leaves() {
    for new_one in [false, true] {
        let (tree, server, mut writer) = a_log(NEVER);
        let path = tree.path().join("build.log");
        let mut follower = Follower::of(&server, "/build.log?follow");
        assert_eq!(follower.take(6), b"first\n");
        fs::rename(&path, tree.path().join("build.log.1")).unwrap();
        if new_one {
            fs::write(&path, "another\n").unwrap();
        }
        std::thread::sleep(Duration::from_millis(100));
        writer.write_all(b"late\n").unwrap();
        assert_eq!(follower.take(5), b"late\n");
        writer.write_all(b"last\n").unwrap();
        drop(writer);
        assert_eq!(follower.end(), (b"last\n".to_vec(), "renamed".into()));
        if new_one {
            let mut next = Follower::of(&server, "/build.log?follow");
            assert_eq!(next.take(8), b"another\n");
        }
    }
}

#[test]
fn so_is_a_removed_one() {
    let (tree, server, mut writer) = a_log(NEVER);
    let mut follower = Follower::of(&server, "/build.log?follow");
    assert_eq!(follower.take(6), b"first\n");
    fs::remove_file(tree.path().join("build.log")).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    writer.write_all(b"last\n").unwrap();
    drop(writer);
    assert_eq!(follower.end(), (b"last\n".to_vec(), "removed".into()));
}

#[test]
fn and_one_whose_name_is_given_to_another() {
    let (tree, server, mut writer) = a_log(NEVER);
    let mut follower = Follower::of(&server, "/build.log?follow");
    assert_eq!(follower.take(6), b"first\n");
    tree.file("new.log", "another\n");
    fs::rename(tree.path().join("new.log"), tree.path().join("build.log")).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    writer.write_all(b"last\n").unwrap();
    drop(writer);
    assert_eq!(follower.end(), (b"last\n".to_vec(), "replaced".into()));
    let mut next = Follower::of(&server, "/build.log?follow");
    assert_eq!(next.take(8), b"another\n");
}

/// A name that is gone for a moment, and attributes that change, are no end.
#[test]
fn a_name_that_comes_back_is_no_end() {
    use std::os::unix::fs::PermissionsExt;
    let (tree, server, mut writer) = a_log(NEVER);
    let path = tree.path().join("build.log");
    let mut follower = Follower::of(&server, "/build.log?follow");
    assert_eq!(follower.take(6), b"first\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(&path, tree.path().join("other")).unwrap();
    fs::rename(&path, tree.path().join("away")).unwrap();
    fs::rename(tree.path().join("away"), &path).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    writer.write_all(b"second\n").unwrap();
    assert_eq!(follower.take(7), b"second\n");
}

/// Copied and truncated, as logrotate's `copytruncate` does: all that was there had been sent.
#[test]
fn a_truncated_file_ends_for_those_who_had_all_of_it() {
    for len in [0, 3] {
        let (tree, server, mut writer) = a_log(NEVER);
        let mut follower = Follower::of(&server, "/build.log?follow");
        assert_eq!(follower.take(6), b"first\n");
        writer.set_len(len).unwrap();
        assert_eq!(follower.end(), (Vec::new(), "truncated".into()));
        writer.write_all(b"again\n").unwrap();
        let mut next = Follower::of(&server, "/build.log?follow");
        let expected = fs::read(tree.path().join("build.log")).unwrap();
        assert_eq!(next.take(expected.len()), expected);
    }
}

/// What was to be sent is gone: no last chunk.
#[test]
fn a_truncated_file_is_cut_for_those_who_had_not() {
    let tree = Tree::new();
    let content = bytes(16 << 20);
    let path = tree.file("large.bin", &content);
    let journal = Journal::new();
    let server = Server::logged(&tree, &journal, NEVER);
    let mut connection = server.connect_narrow();
    connection.send("GET /large.bin?follow HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut behind = Follower::on(connection);
    let mut whole = Follower::of(&server, "/large.bin?follow&whole");
    assert!(whole.take(content.len()) == content);
    appending(&path).set_len(1).unwrap();
    assert!(behind.cut().len() < content.len());
    assert_eq!(whole.end().1, "truncated");
    assert_eq!(journal.of("/large.bin?follow")["end"], "file-fault");
    assert_eq!(journal.of("/large.bin?follow&whole")["end"], "complete");
}

/// The path leads to nothing any more when the follower comes; the cache of open files does not know yet.
#[test]
fn of_a_file_that_was_just_deleted_there_is_nothing_to_follow() {
    let (tree, server, _writer) = a_log(&["--open-files-valid", "1h"]);
    let mut client = server.connect();
    assert_eq!(client.get("/build.log", "").body, b"first\n");
    fs::remove_file(tree.path().join("build.log")).unwrap();
    assert_eq!(client.get("/build.log?follow", "").status, 404);
}

fn endings_in(folder: &Path) {
    let tree = Tree::new_in(folder);
    let path = tree.file("build.log", "first\n");
    let server = Server::start(&tree, SOON);
    let follow = || {
        let mut follower = Follower::of(&server, "/build.log?follow");
        assert_eq!(follower.take(6), b"first\n");
        follower
    };
    let writer = appending(&path);
    let mut follower = follow();
    append(&path, "second\n");
    assert_eq!(follower.take(7), b"second\n");
    writer.set_len(6).unwrap();
    assert_eq!(follower.end().1, "truncated");
    let mut follower = follow();
    drop(writer);
    assert_eq!(follower.end().1, "finished");
    let writer = appending(&path);
    let mut follower = follow();
    fs::rename(&path, tree.path().join("old")).unwrap();
    drop(writer);
    assert_eq!(follower.end().1, "renamed");
    for (how, replaced) in [("removed", false), ("replaced", true)] {
        fs::write(&path, "first\n").unwrap();
        let writer = appending(&path);
        let mut follower = follow();
        if replaced {
            fs::rename(tree.file("new", "new"), &path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        drop(writer);
        assert_eq!(follower.end().1, how);
    }
}

#[test]
fn on_every_file_system() {
    for file_system in
        FileSystem::ON_DISK.into_iter().chain([FileSystem::Tmpfs, FileSystem::Overlay])
    {
        println!("{file_system:?}"); // shown when it fails
        on(file_system, endings_in);
    }
}
