//! `sendrail send` and `recv`: what is sent arrives, byte for byte, or is said not to have.

use crate::harness::{
    Tree, bytes,
    exchange::{Between, Meddle, Waiting, exchange, said, send},
    has,
};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    io::Write,
    net::{Ipv6Addr, SocketAddr, TcpListener},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    process::Stdio,
};

mod broken;
mod failing;
mod hostile;
mod looks;
mod raw;
mod silent;

/// Sends `paths` into `target` and looks that both sides are content. What both said.
fn arrives(paths: &[&Path], target: &Path) -> (String, String) {
    let receiver = Waiting::recv([target]);
    let output = send(receiver.address, paths);
    let (code, heard) = receiver.end();
    assert!(output.status.success(), "{}\n{heard}", said(&output));
    assert_eq!(code, Some(0), "{heard}");
    (said(&output), heard)
}

/// All names beneath a directory, with what they are.
fn everything(folder: &Path) -> BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)> {
    let mut all = BTreeMap::new();
    for found in fs::read_dir(folder).unwrap() {
        let found = found.unwrap();
        let facts = found.metadata().unwrap();
        let mut content = Vec::new();
        if facts.is_dir() {
            let inside = everything(&found.path());
            all.extend(
                inside.into_iter().map(|(name, it)| (Path::new(&found.file_name()).join(name), it)),
            );
        } else {
            content = fs::read(found.path()).unwrap();
        }
        let what = (facts.mode(), facts.mtime(), facts.mtime_nsec(), content);
        all.insert(found.file_name().into(), what);
    }
    all
}

fn assert_same(sent: &Path, arrived: &Path) {
    let (sent, arrived) = (everything(sent), everything(arrived));
    assert!(sent.keys().eq(arrived.keys()), "{:?}\n{:?}", sent.keys(), arrived.keys());
    for (name, what) in sent {
        let there = &arrived[&name];
        let facts = |it: &(u32, i64, i64, Vec<u8>)| (it.0, it.1, it.2, it.3.len());
        assert_eq!(facts(&what), facts(there), "{}", name.display());
        assert!(what.3 == there.3, "{} is not the same", name.display());
    }
}

#[test]
fn files_of_all_sizes_arrive_with_their_time_and_permissions() {
    let (from, to) = (Tree::new(), Tree::new());
    let mut paths = Vec::new();
    for (size, mode) in
        [(0, 0o600), (1, 0o644), (4097, 0o755), (300_000, 0o400), (5_000_001, 0o640)]
    {
        let path = from.aged(&format!("{size}.bin"), bytes(size));
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        paths.push(path);
    }
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let (sent, heard) = arrives(&paths, to.path());
    assert_same(from.path(), to.path());
    assert!(sent.contains("sent 5 files, 5304099 bytes"), "{sent}");
    assert!(heard.contains("received 5 files, 5304099 bytes"), "{heard}");
    assert!(sent.contains("splice") && heard.contains("splice"), "{sent}{heard}");
}

#[test]
fn a_tree_arrives_as_it_is() {
    let (from, to) = (Tree::new(), Tree::new());
    for at in 0..200 {
        from.aged(&format!("many/{}/{at}", at % 7), format!("file {at}"));
    }
    from.file("deep/a/b/c/d/e", "deep");
    from.file(".hidden/.file", "hidden");
    from.file("with space/and\nline\u{202e}", "odd");
    let odd = from.path().join(OsStr::from_bytes(b"not utf-8 \xff\xfe"));
    File::create(odd).unwrap().write_all(b"bytes").unwrap();
    fs::create_dir_all(from.path().join("empty/inside")).unwrap();
    fs::set_permissions(from.path().join("empty"), fs::Permissions::from_mode(0o700)).unwrap();
    arrives(&[&from.path().join(".")], to.path());
    assert_same(from.path(), to.path());

    // Named by itself, it comes under its name.
    let to = Tree::new();
    arrives(&[&from.path().join("deep"), &from.path().join("many/3/")], to.path());
    assert_eq!(fs::read(to.path().join("deep/a/b/c/d/e")).unwrap(), b"deep");
    assert_eq!(fs::read_dir(to.path().join("3")).unwrap().count(), 29);
}

#[test]
fn no_privilege_is_carried_over() {
    let (from, to) = (Tree::new(), Tree::new());
    let path = from.file("program", "x");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o6755)).unwrap();
    arrives(&[&path], to.path());
    assert_eq!(fs::metadata(to.path().join("program")).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn two_hundred_megabytes_arrive_byte_for_byte_by_every_method() {
    let (from, to) = (Tree::new(), Tree::new());
    let content = bytes(200_000_000);
    let path = from.file("large", &content);
    arrives(&[&path], to.path());
    assert!(fs::read(to.path().join("large")).unwrap() == content);
    let path = from.file("medium", &content[..3_000_001]);
    for method in ["copy", "uncached", "mapped", "sendfile", "splice", "direct"] {
        let to = Tree::new();
        let receiver = Waiting::recv([to.path()]);
        let drop_behind = ["--drop-behind", "on", "--method", method];
        let output = exchange("send", drop_behind)
            .args([receiver.address.to_string().as_ref(), path.as_os_str()])
            .output()
            .unwrap();
        assert_eq!(receiver.end().0, Some(0), "{method}");
        assert!(output.status.success() && said(&output).contains(method), "{}", said(&output));
        assert!(fs::read(to.path().join("medium")).unwrap() == content[..3_000_001], "{method}");
    }
}

#[test]
fn what_is_there_is_not_sent_again_and_what_differs_is_replaced() {
    let (from, to) = (Tree::new(), Tree::new());
    from.file("same", bytes(2_000_000));
    from.file("other", vec![1; 1000]);
    arrives(&[&from.path().join(".")], to.path());
    from.file("other", vec![2; 1000]);
    let (sent, _) = arrives(&[&from.path().join(".")], to.path());
    assert!(
        sent.contains("1000 bytes in") && sent.contains("2000000 bytes had been there"),
        "{sent}"
    );
    assert_same(from.path(), to.path());
}

#[test]
fn of_two_files_with_one_name_the_last_one_stays() {
    let (from, to) = (Tree::new(), Tree::new());
    let paths = [from.file("a/name", "first"), from.file("b/name", "the second")];
    let (sent, heard) = arrives(&[&paths[0], &paths[1]], to.path());
    assert!(sent.contains("sent 2 files") && heard.contains("received 2 files"), "{sent}{heard}");
    assert_eq!(fs::read(to.path().join("name")).unwrap(), b"the second");
    assert_eq!(fs::read_dir(to.path()).unwrap().count(), 1);
}

#[test]
fn standard_input_arrives_on_standard_output() {
    let content = bytes(10_000_001);
    for arguments in [&[][..], &["--no-checksum"]] {
        let mut command = exchange("recv", ["--listen", "127.0.0.1:0", "-"]);
        command.stdout(Stdio::piped());
        let receiver = Waiting::of(command);
        let mut command = exchange("send", arguments);
        command.args([&receiver.address.to_string(), "-"]).stdin(Stdio::piped());
        let mut sender = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = sender.stdin.take().unwrap();
        let theirs = content.clone();
        let writer = std::thread::spawn(move || stdin.write_all(&theirs).unwrap());
        let (code, out, heard) = receiver.end_with_output();
        writer.join().unwrap();
        assert!(sender.wait().unwrap().success() && code == Some(0), "{heard}");
        assert!(out == content);
    }
}

#[test]
fn standard_input_arrives_in_a_file() {
    let to = Tree::new();
    let target = to.path().join("file");
    for (target, name) in [(target.as_path(), &[][..]), (to.path(), &["--name", "file"])] {
        let receiver = Waiting::recv([target]);
        let input = to.file("input", "what a program says");
        let output = exchange("send", name)
            .args([&receiver.address.to_string(), "-"])
            .stdin(File::open(&input).unwrap())
            .output()
            .unwrap();
        assert_eq!(receiver.end().0, Some(0), "{}", said(&output));
        let arrived = to.path().join("file");
        assert_eq!(fs::read(&arrived).unwrap(), b"what a program says");
        // As any program makes a file: by the umask.
        assert_eq!(fs::metadata(&arrived).unwrap().mode(), fs::metadata(&input).unwrap().mode());
        fs::remove_file(to.path().join("file")).unwrap();
    }
    let receiver = Waiting::recv([to.path()]);
    let output = send(receiver.address, ["-"]);
    assert_eq!((output.status.code(), receiver.end().0), (Some(1), Some(1)));
    assert!(said(&output).contains("--name"), "{}", said(&output));
}

#[test]
fn who_has_the_files_may_be_the_one_that_waits() {
    let (from, to) = (Tree::new(), Tree::new());
    let path = from.file("file", "fetched");
    let mut command = exchange("send", ["--listen", "127.0.0.1:0"]);
    command.arg(&path);
    let sender = Waiting::of(command);
    let output = exchange("recv", ["--connect", &sender.address.to_string()])
        .arg(to.path().join("named"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(sender.end().0, Some(0));
    assert_eq!(fs::read(to.path().join("named")).unwrap(), b"fetched");
}

#[test]
fn one_sender_after_the_other() {
    let (from, to) = (Tree::new(), Tree::new());
    let receiver = Waiting::recv([OsStr::new("--keep"), to.path().as_os_str()]);
    for name in ["a", "b"] {
        let path = from.file(name, name);
        assert!(send(receiver.address, [path]).status.success());
    }
    assert_same(from.path(), to.path());
}

#[test]
fn over_ipv6_and_over_both() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        eprintln!("skipped: this machine has no IPv6");
        return;
    }
    let from = Tree::new();
    let path = from.file("file", "six");
    for (listen, connect) in [
        ("[::1]:0", "[::1]"),
        ("[::]:0", "[::1]"),
        ("[::]:0", "127.0.0.1"),
        ("[::]:0", "localhost"),
    ] {
        let to = Tree::new();
        let mut command = exchange("recv", ["--listen", listen]);
        command.arg(to.path());
        let receiver = Waiting::of(command);
        let address = format!("{connect}:{}", receiver.address.port());
        let output = exchange("send", [&address]).arg(&path).output().unwrap();
        assert!(output.status.success(), "{connect} on {listen}: {}", said(&output));
        assert_eq!(receiver.end().0, Some(0));
        assert_same(from.path(), to.path());
    }
}
