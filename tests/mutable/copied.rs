//! `--mutable copy`, and what takes the place of snapshots: of one version, or cut.

use super::{LEN, TICK, download_across_versions, version_of, versions::beside_a_writer};
use crate::harness::{
    Journal, Server, Tree,
    disk::{FileSystem, on},
    eventually,
};
use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{FileExt, PermissionsExt},
    path::Path,
    thread,
};

/// What is said of a file that changed while it was being sent.
fn assert_blames_the_file(server: &Server, journal: &Journal, target: &str, path: &Path) {
    assert_eq!(journal.of(target)["end"], "file-fault");
    eventually("it is said", || server.stderr().contains("cut short"));
    let said = server.stderr();
    let line = said.lines().find(|line| line.contains("cut short")).unwrap();
    assert!(line.contains("ERROR") && line.contains(path.to_str().unwrap()), "{line}");
    assert!(line.contains("changed while being sent"), "{line}");
}

/// Serves beside a writer. Whatever arrives whole is of one version, and so is what arrives in part of a version that
/// nobody was writing when it was asked for.
fn one_version_or_cut(folder: &Path, mutable: &str) {
    let tree = Tree::new_in(folder);
    let path = tree.path().join("a.bin");
    let journal = Journal::new();
    beside_a_writer(&path, LEN, |versions| {
        let server = Server::logged(&tree, &journal, &["--mutable", mutable]);
        for _ in 0..3 {
            let body = download_across_versions(&mut server.connect_narrow(), versions);
            assert!(body.len() < LEN, "whole, though it changed meanwhile");
        }
        assert_blames_the_file(&server, &journal, "/a.bin", &path);

        let mut connection = server.connect_narrow();
        let mut body = versions.between(|| {
            connection.begin("/a.bin?between");
            connection.take(100_000)
        });
        versions.wait_for_more(2);
        body.append(&mut connection.rest());
        assert!(body.len() < LEN);
        version_of(&body, "in part");
        assert_eq!(journal.of("/a.bin?between")["receipt"]["method"], "copy");

        // Several small ranges: the first is of the version, the others would not be.
        let fields = format!("Range: bytes=0-4095, {}-{}\r\n", LEN / 2, LEN / 2 + 4095);
        let response = versions.between(|| server.connect().get("/a.bin?ranges", &fields));
        assert_eq!(response.status, 206);
        let of_file = response.body.iter().map(|byte| usize::from(*byte == response.body[4096]));
        let of_file: usize = of_file.sum();
        assert!(of_file >= 8192, "{of_file} of 8192 bytes of one version");

        let quick = versions.between(|| server.connect().get("/a.bin?quick", ""));
        assert_eq!(quick.body.len(), LEN);
        version_of(&quick.body, "whole");
        assert_eq!(journal.of("/a.bin?quick")["end"], "complete");
    });
}

#[test]
fn copied_a_download_is_of_one_version_or_cut() {
    for file_system in [FileSystem::Ext4, FileSystem::Xfs, FileSystem::Btrfs, FileSystem::Tmpfs] {
        on(file_system, |folder| one_version_or_cut(folder, "copy"));
    }
}

#[test]
fn where_there_are_no_snapshots_it_says_so_and_copies() {
    for (file_system, name) in [(FileSystem::Ext4, "ext4"), (FileSystem::Tmpfs, "tmpfs")] {
        on(file_system, |folder| {
            one_version_or_cut(folder, "snapshot");
            let tree = Tree::new_in(folder);
            let path = tree.file("a.txt", "hello");
            let server = Server::start(&tree, &["--mutable", "snapshot"]);
            let why = format!("snapshots cannot be had on {name} (EOPNOTSUPP)");
            let note = format!(
                "mutable      {why}: files are copied, and a transfer of a file that changes is cut (--mutable)"
            );
            eventually("the note", || server.stderr().lines().any(|line| line == note));
            assert_eq!(server.connect().get("/a.txt", "").body, b"hello");
            assert!(!server.stderr().contains("WARN"), "once is enough: {}", server.stderr());
            let explained = Server::command()
                .args(["explain", "--mutable", "snapshot"])
                .arg(path)
                .output()
                .unwrap();
            let said = String::from_utf8(explained.stdout).unwrap();
            assert!(said.contains("method       copy: the file must not change"), "{said}");
            assert!(said.contains(&format!("short (copy): {why}\n")), "{said}");
        });
    }
}

#[test]
fn what_leaves_the_bytes_alone_cuts_nothing() {
    let tree = Tree::new();
    let path = tree.file("a.bin", vec![7; LEN]);
    let server = Server::start(&tree, &["--mutable", "copy"]);
    let mut connection = server.connect_narrow();
    connection.begin("/a.bin");
    let mut body = connection.take(100_000);
    thread::sleep(TICK);
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(&path, tree.path().join("b.bin")).unwrap();
    fs::rename(&path, tree.path().join("c.bin")).unwrap();
    fs::remove_file(tree.path().join("b.bin")).unwrap();
    fs::write(&path, "another file of that name").unwrap();
    body.append(&mut connection.take(LEN - body.len()));
    assert_eq!((body.len(), version_of(&body, "whole")), (LEN, 7));
}

#[test]
fn small_files_are_copied_into_memory_and_looked_at() {
    let tree = Tree::new();
    let path = tree.aged("a.txt", vec![b'a'; 2000]);
    let journal = Journal::new();
    let server =
        Server::logged(&tree, &journal, &["--mutable", "copy", "--open-files-valid", "50ms"]);
    let mut connection = server.connect();
    for _ in 0..10 {
        assert_eq!(connection.get("/a.txt", "").body, vec![b'a'; 2000]);
    }
    let methods: Vec<_> =
        journal.wait_for(10).iter().map(|line| line["receipt"]["method"].clone()).collect();
    assert!(methods.contains(&"memory".into()), "{methods:?}");
    File::options().write(true).open(path).unwrap().write_all_at(&vec![b'b'; 2000], 0).unwrap();
    eventually("the new version is served", || {
        let body = connection.get("/a.txt", "").body;
        version_of(&body, "from memory or not") == b'b'
    });
}
