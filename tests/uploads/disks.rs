//! Disks that take no more: full, over quota, read-only, of several file systems; each says so, before a body is asked for if it can.

use super::{OPEN, begin_put, chunked, client::Resumable, content, names, put, serve};
use crate::harness::{
    Server, Tree,
    disk::{FileSystem, on},
    eventually,
};
use rustix::fs::{FallocateFlags, fallocate};
use std::{
    fs::{self, File},
    path::Path,
    process::Command,
};

const LARGE: usize = 40_000_000;

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

fn serve_in(folder: &Path, arguments: &[&str]) -> Server {
    let mut command = Server::command();
    command.arg("serve").arg(folder).args(["--listen", "127.0.0.1:0", "--workers", "1"]);
    command.args(OPEN).args(arguments);
    Server::spawn(command)
}

#[test]
fn a_full_disk_takes_nothing_and_goes_on_when_there_is_room() {
    for file_system in FileSystem::ON_DISK {
        println!("{file_system:?}"); // shown when it fails
        on(file_system, |folder| {
            fs::create_dir(folder.join("in")).unwrap();
            let server = serve_in(folder, &[]);
            let body = content(LARGE);
            let upload = Resumable::create(&server, "/in/resumed.bin", "");
            let filler = fill(folder);
            let mut connection = server.connect();
            connection.send(chunked("/in/a.bin", "", &body, &[100_000]));
            assert_eq!(connection.response(false).status, 507);
            assert_eq!(names(&folder.join("in")), [""; 0]);
            let response = upload.append(&server, 0, &body, true);
            assert_eq!(response.status, 507, "{}", response.head);
            assert!(server.stderr().contains("no room for an upload"));
            filler.set_len(0).unwrap();
            filler.sync_all().unwrap();
            // btrfs(5) gives room back when it comes to it.
            eventually("there is room again", || {
                let at = upload.standing(&server).offset as usize;
                upload.append(&server, at as u64, &body[at..], true).status == 201
            });
            assert!(fs::read(folder.join("in/resumed.bin")).unwrap() == body);
            assert_eq!(put(&mut server.connect(), "/in/a.bin", "", &body).status, 201);
        });
    }
}

#[test]
fn what_does_not_fit_is_refused_before_its_body_is_asked_for() {
    on(FileSystem::Ext4, |folder| {
        let server = serve_in(folder, &[]);
        let _filler = fill(folder);
        let mut connection = server.connect();
        begin_put(&mut connection, "/a.bin", "Expect: 100-continue\r\n", LARGE);
        let response = connection.response(false);
        assert_eq!(response.status, 507, "{}", response.head);
        assert!(!folder.join("a.bin").exists());
    });
}

#[test]
fn a_file_system_that_becomes_read_only_is_told() {
    on(FileSystem::Ext4, |folder| {
        let server = serve_in(folder, &[]);
        assert_eq!(put(&mut server.connect(), "/a.txt", "", b"old").status, 201);
        let remount = Command::new("mount").args(["-o", "remount,ro"]).arg(folder).status();
        assert!(remount.unwrap().success());
        let response = put(&mut server.connect(), "/a.txt", "", b"new");
        assert_eq!(response.status, 403, "{}", response.head);
        let said = String::from_utf8(response.body).unwrap();
        assert!(said.contains("read-only"), "{said}");
        assert_eq!(server.connect().get("/a.txt", "").body, b"old");
        drop(server);
        let started = Server::command()
            .arg("serve")
            .arg(folder)
            .args(["--listen", "127.0.0.1:0"])
            .args(OPEN)
            .output()
            .unwrap();
        assert!(!started.status.success());
        let said = String::from_utf8(started.stderr).unwrap();
        assert!(said.contains("--uploads") && said.contains("read-only"), "{said}");
    });
}

#[test]
fn into_another_file_system_below_they_arrive_as_well() {
    on(FileSystem::Tmpfs, |folder| {
        let tree = Tree::new();
        let inside = tree.path().join("mounted");
        fs::create_dir(&inside).unwrap();
        let bind = Command::new("mount").arg("--bind").args([folder, &inside]).status();
        assert!(bind.unwrap().success());
        let server = serve(&tree, &[]);
        let body = content(10_000_000);
        assert_eq!(put(&mut server.connect(), "/mounted/a.bin", "", &body).status, 201);
        assert_eq!(put(&mut server.connect(), "/mounted/a.bin", "", b"new").status, 204);
        let upload = Resumable::create(&server, "/mounted/b.bin", "");
        assert_eq!(upload.append(&server, 0, &body, true).status, 201);
        assert_eq!(fs::read(folder.join("a.bin")).unwrap(), b"new");
        assert!(fs::read(folder.join("b.bin")).unwrap() == body);
        assert_eq!(names(folder), ["a.bin", "b.bin"]);
        drop(server);
        assert!(Command::new("umount").arg(&inside).status().unwrap().success());
    });
}

#[test]
fn a_quota_and_a_reserve_are_kept() {
    let tree = Tree::new();
    tree.file("there.bin", content(60_000));
    let server = serve(&tree, &["--upload-quota", "100k"]);
    let mut connection = server.connect();
    assert_eq!(put(&mut connection, "/a.bin", "", &content(30_000)).status, 201);
    let response = put(&mut connection, "/b.bin", "", &content(30_000));
    assert_eq!(response.status, 507, "{}", response.head);
    // In the place of one that is as long there is room, and in that of one that is gone.
    assert_eq!(put(&mut connection, "/a.bin", "", &content(10_000)).status, 204);
    assert_eq!(put(&mut connection, "/c.bin", "", &content(15_000)).status, 201);
    let mut connection = server.connect();
    connection.send(chunked("/d.bin", "", &content(50_000), &[5000]));
    assert_eq!(connection.response(false).status, 507);
    let upload = Resumable::create(&server, "/e.bin", "");
    assert_eq!(upload.append(&server, 0, &content(50_000), true).status, 507);
    drop(server);
    let mut arguments = OPEN.to_vec();
    arguments[5] = "1000000g";
    let server = Server::start(&tree, &arguments);
    let mut connection = server.connect();
    begin_put(&mut connection, "/f.bin", "Expect: 100-continue\r\n", 5);
    let response = connection.response(false);
    assert_eq!(response.status, 507);
    assert!(String::from_utf8(response.body).unwrap().contains("too little of the disk"));
    assert!(!tree.path().join("f.bin").exists());
}
