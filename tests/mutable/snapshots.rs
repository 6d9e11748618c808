//! `--mutable snapshot` on disks that can clone files: whatever becomes of a file, a download of it is whole.

use super::{LEN, METHODS, TICK, download_across_versions, version_of, versions::beside_a_writer};
use crate::harness::{
    Journal, Server, Tree,
    disk::{FileSystem, on},
    eventually, process,
};
use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::Command,
    thread,
};

/// The disks on which files can be cloned.
fn on_each_disk(body: impl Fn(&Path) + Sync) {
    for file_system in [FileSystem::Xfs, FileSystem::Btrfs] {
        println!("{file_system:?}"); // shown when it fails
        on(file_system, &body);
    }
}

const SNAPSHOT: [&str; 2] = ["--mutable", "snapshot"];

#[test]
fn every_download_beside_a_writer_is_wholly_one_version() {
    on_each_disk(|folder| {
        let tree = Tree::new_in(folder);
        beside_a_writer(&tree.path().join("a.bin"), LEN, |versions| {
            for method in METHODS {
                let journal = Journal::new();
                let arguments = [SNAPSHOT[0], SNAPSHOT[1], "--method", method];
                let server = Server::logged(&tree, &journal, &arguments);
                let download = || {
                    let body = download_across_versions(&mut server.connect_narrow(), versions);
                    assert_eq!(body.len(), LEN, "{method}: cut");
                    version_of(&body, method);
                };
                thread::scope(|scope| {
                    for _ in 0..3 {
                        scope.spawn(download);
                    }
                });
                assert!(journal.wait_for(3).iter().all(|line| line["end"] == "complete"));
            }
        });
    });
}

#[test]
fn ranges_of_one_answer_are_of_one_version() {
    on_each_disk(|folder| {
        let tree = Tree::new_in(folder);
        beside_a_writer(&tree.path().join("a.bin"), LEN, |versions| {
            let server = Server::start(&tree, &SNAPSHOT);
            let mut connection = server.connect();
            for _ in 0..20 {
                versions.wait_for_more(1);
                let one = connection.get("/a.bin", "Range: bytes=1000000-8999999\r\n");
                assert_eq!((one.status, one.body.len()), (206, 8_000_000));
                version_of(&one.body, "one range");
                let fields = format!("Range: bytes=0-9999, {}-\r\n", LEN - 10_000);
                let two = connection.get("/a.bin", &fields);
                assert_eq!(two.status, 206);
                let at = two.body.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
                let of_file = two.body.iter().map(|byte| usize::from(*byte == two.body[at]));
                let of_file: usize = of_file.sum();
                assert!(of_file >= 20_000, "two ranges: {of_file} bytes of one version");
            }
        });
    });
}

/// Non-zero everywhere, so that padding with zeroes would be seen.
fn content() -> Vec<u8> {
    (1_u8..=251).cycle().take(LEN).collect()
}

/// What is done to a file while it is being sent.
type Change = (&'static str, fn(&Path));

const CHANGES: [Change; 6] = [
    ("overwritten", |path| {
        File::options().write(true).open(path).unwrap().write_all(&vec![0xee; LEN]).unwrap();
    }),
    ("truncated", |path| File::options().write(true).open(path).unwrap().set_len(1000).unwrap()),
    ("truncated to nothing", |path| drop(File::create(path).unwrap())),
    ("appended to", |path| {
        File::options().append(true).open(path).unwrap().write_all(b"more").unwrap();
    }),
    ("replaced", |path| {
        let new = path.with_file_name("new");
        fs::write(&new, "another file").unwrap();
        fs::rename(new, path).unwrap();
    }),
    ("deleted", |path| fs::remove_file(path).unwrap()),
];

#[test]
fn whatever_is_done_to_the_file_the_download_is_of_the_version_it_began_with() {
    let content = content();
    on_each_disk(|folder| {
        for method in METHODS {
            let tree = Tree::new_in(folder);
            let believed = ["--open-files-valid", "50ms"];
            let server =
                Server::start(&tree, &[&SNAPSHOT[..], &["--method", method], &believed].concat());
            let most = if method == "auto" { CHANGES.len() } else { 3 }; // it takes its time
            for (what, change) in &CHANGES[..most] {
                let path = tree.file("a.bin", &content);
                let mut connection = server.connect_narrow();
                // What was asked for is what is there now, once the last one is not believed any more.
                eventually("this version is served", || {
                    let head = connection.ask("HEAD", "/a.bin", "");
                    head.field("Content-Length") == Some(LEN.to_string().as_str())
                });
                eventually("its first bytes are", || {
                    connection.get("/a.bin", "Range: bytes=0-9\r\n").body == content[..10]
                });
                connection.begin("/a.bin");
                let mut body = connection.take(100_000);
                change(&path);
                body.append(&mut connection.take(LEN - body.len()));
                assert!(body == content, "{method}, {what}: {} bytes of {LEN}", body.len());
                // The connection lives on, and sees what is there now.
                eventually("what became of it is seen", || {
                    let response = connection.get("/a.bin", "");
                    match fs::read(&path) {
                        Ok(there) => response.status == 200 && response.body == there,
                        Err(_) => response.status == 404,
                    }
                });
            }
        }
    });
}

#[test]
fn what_is_kept_open_works_as_it_does_without() {
    on_each_disk(|folder| {
        let tree = Tree::new_in(folder);
        tree.aged("a.txt", "version 1");
        tree.aged("b.css", "p { color: red }");
        tree.aged("b.css.gz", "smaller 1");
        let journal = Journal::new();
        let server = Server::logged(
            &tree,
            &journal,
            &[SNAPSHOT[0], SNAPSHOT[1], "--open-files-valid", "100ms"],
        );
        let mut connection = server.connect();
        let first = connection.get("/a.txt", "");
        assert_eq!((first.status, &*first.body), (200, &b"version 1"[..]));
        let tag = first.field("ETag").unwrap().to_owned();
        assert!(tag.starts_with('"'), "strong: {tag}");
        let head = connection.ask("HEAD", "/a.txt", "");
        assert_eq!((head.field("ETag"), head.field("Content-Length")), (Some(&*tag), Some("9")));
        let seen = connection.get("/a.txt", &format!("If-None-Match: {tag}\r\n"));
        assert_eq!(seen.status, 304);
        let part = connection.get("/a.txt", &format!("If-Range: {tag}\r\nRange: bytes=8-\r\n"));
        assert_eq!((part.status, &*part.body), (206, &b"1"[..]));
        // Small ones come to be answered from memory.
        eventually("it is answered from memory", || {
            assert_eq!(connection.get("/a.txt", "").body, b"version 1");
            let last = journal.entries();
            last.last().is_some_and(|line| line["receipt"]["method"] == "memory")
        });
        let zipped = "Accept-Encoding: gzip\r\n";
        assert_eq!(connection.get("/b.css", zipped).body, b"smaller 1");

        tree.file("a.txt", "version 2");
        tree.file("b.css.gz", "smaller 2");
        eventually("the new versions are served", || {
            let (a, b) = (connection.get("/a.txt", ""), connection.get("/b.css", zipped));
            let new = a.body == b"version 2" && b.body == b"smaller 2";
            assert_eq!(a.field("ETag") == Some(&*tag), a.body == b"version 1");
            new
        });
        fs::remove_file(tree.path().join("a.txt")).unwrap();
        eventually("it is gone", || connection.get("/a.txt", "").status == 404);
    });
}

/// What the fewest system calls were that an answer was made with.
fn fewest_calls(tree: &Tree, mutable: &str) -> u64 {
    let journal = Journal::new();
    let arguments = ["--mutable", mutable, "--method", "sendfile", "--open-files-valid", "1h"];
    let server = Server::logged(tree, &journal, &arguments);
    let mut connection = server.connect();
    for _ in 0..20 {
        connection.get("/a.bin", "");
        thread::sleep(TICK); // what was looked at within a tick is not looked at again
    }
    let lines = journal.wait_for(20);
    lines.iter().map(|line| line["receipt"]["system_calls"].as_u64().unwrap()).min().unwrap()
}

#[test]
fn a_snapshot_is_not_looked_at_before_each_answer_and_the_receipt_knows() {
    on(FileSystem::Xfs, |folder| {
        let tree = Tree::new_in(folder);
        tree.file("a.bin", vec![7; 100_000]);
        assert_eq!(fewest_calls(&tree, "snapshot") + 1, fewest_calls(&tree, "share"));
    });
}

/// Descriptors of clones: files that have no name.
fn clones(server: &Server) -> usize {
    let open = process::descriptors(server.child.id());
    open.iter().filter(|target| target.ends_with(" (deleted)")).count()
}

#[test]
fn snapshots_that_nobody_uses_are_closed_before_long() {
    on(FileSystem::Xfs, |folder| {
        let tree = Tree::new_in(folder);
        for number in 0..50 {
            tree.file(&format!("{number}.txt"), "hello");
        }
        let servers = [0, 10].map(|kept| {
            let arguments = [SNAPSHOT[0], SNAPSHOT[1], "--open-files", &kept.to_string()];
            (kept, Server::start(&tree, &arguments))
        });
        for (_, server) in &servers {
            let mut connection = server.connect();
            for number in 0..50 {
                assert_eq!(connection.get(&format!("/{number}.txt"), "").body, b"hello");
            }
        }
        for (kept, server) in servers {
            eventually("they are closed", || clones(&server) <= kept);
            assert_eq!(server.connect().get("/1.txt", "").body, b"hello");
        }
    });
}

#[test]
fn another_file_system_beneath_is_copied_from_and_that_is_said_once() {
    on(FileSystem::Xfs, |folder| {
        let tree = Tree::new_in(folder);
        tree.file("a.txt", "on XFS");
        let memory = tree.path().join("memory");
        fs::create_dir(&memory).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&memory).status();
        assert!(mounted.unwrap().success());
        tree.file("memory/b.txt", "in memory");
        tree.file("memory/c.txt", "in memory too");
        let server = Server::start(&tree, &SNAPSHOT);
        let mut connection = server.connect();
        for _ in 0..2 {
            assert_eq!(connection.get("/a.txt", "").body, b"on XFS");
            assert_eq!(connection.get("/memory/b.txt", "").body, b"in memory");
            assert_eq!(connection.get("/memory/c.txt", "").body, b"in memory too");
        }
        eventually("it is said", || server.stderr().contains("WARN"));
        let said = server.stderr();
        let warnings: Vec<_> = said.lines().filter(|line| line.contains("WARN")).collect();
        assert_eq!(warnings.len(), 1, "{said}");
        assert!(warnings[0].contains("(EXDEV)") && warnings[0].contains("copied"), "{said}");
        drop(server);
        assert!(Command::new("umount").arg(&memory).status().unwrap().success());
    });
}

#[test]
fn a_folder_of_their_own_has_to_be_on_the_same_file_system() {
    on_each_disk(|folder| {
        let (tree, other, memory) =
            (Tree::new_in(folder), Tree::new_in(folder), Tree::new_in(Path::new("/dev/shm")));
        let path = tree.file("a.txt", "hello");
        let directory = other.path().to_str().unwrap();
        let server =
            Server::start(&tree, &[&SNAPSHOT[..], &["--snapshot-dir", directory]].concat());
        eventually("the note", || {
            server.stderr().contains("mutable      each version of a file is sent from a snapshot")
        });
        assert_eq!(server.connect().get("/a.txt", "").body, b"hello");
        let open = process::descriptors(server.child.id());
        let there = open.iter().any(|target| target.starts_with(directory));
        assert!(there, "{open:?}");
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0, "they have no names");

        let run = |arguments: &[&str], path: &Path| {
            let output = Server::command().args(arguments).arg(path).output().unwrap();
            [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap())
        };
        let [explained, _] = run(&["explain", "--mutable", "snapshot"], &path);
        assert!(explained.contains("a copy-on-write clone (snapshot)"), "{explained}");
        let elsewhere = memory.path().to_str().unwrap();
        let arguments = ["serve", SNAPSHOT[0], SNAPSHOT[1], "--snapshot-dir", elsewhere];
        let [_, refused] = run(&arguments, tree.path());
        let expected = format!("--snapshot-dir {elsewhere}: snapshots cannot be had on tmpfs");
        assert!(refused.contains(&expected), "{refused}");
    });
}
