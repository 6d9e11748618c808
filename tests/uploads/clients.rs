//! Real clients, as people use them.

use super::{OPEN, content, names, serve};
use crate::harness::{Server, Tree, eventually, has};
use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Output, Stdio},
};

const LEN: usize = (9 << 20) + 12_345;

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env("HOME", folder);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().to_ascii_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command.output().unwrap()
}

#[test]
fn curl_uploads() {
    if !has("curl") {
        return;
    }
    let (tree, here) = (Tree::new(), Tree::new());
    let server = serve(&tree, &[]);
    for len in [0, 1, 60_000, LEN] {
        here.file("file", content(len));
        let url = server.url("/there.bin");
        let shown = ["-sS", "-o", "page", "-w", "%{http_code}"];
        let output = run(here.path(), "curl", &[&shown[..], &["-T", "file", &url]].concat());
        let code = String::from_utf8(output.stdout).unwrap();
        assert!(code == "201" || code == "204", "{len}: {code}");
        assert!(fs::read(tree.path().join("there.bin")).unwrap() == content(len), "{len}");
        // From a pipe, of which curl does not know how long it is.
        let line = format!("cat file | curl {} -T - {}", shown.join(" "), server.url("/piped.bin"));
        let output = run(here.path(), "sh", &["-c", &line]);
        let code = String::from_utf8(output.stdout).unwrap();
        assert!(code == "201" || code == "204", "{len}: {code}");
        assert!(fs::read(tree.path().join("piped.bin")).unwrap() == content(len), "{len}");
    }
    // It would be a part for the whole.
    let url = server.url("/there.bin");
    let part = ["-sS", "-o", "page", "-w", "%{http_code}", "-C", "1000", "-T", "file", &url];
    assert_eq!(run(here.path(), "curl", &part).stdout, b"400");
    assert!(fs::read(tree.path().join("there.bin")).unwrap() == content(LEN));
    assert_eq!(names(tree.path()), ["piped.bin", "there.bin"]);
}

/// The script of docs/uploads.md, killed in the middle, with the server as well.
#[test]
fn the_script_of_the_documentation_goes_on() {
    if !has("python3") {
        return;
    }
    let (tree, here) = (Tree::new(), Tree::new());
    let body = content(60_000_000);
    here.file("file", &body);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/resume.py");
    // The same address for both servers.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let start = || {
        let mut command = Server::command();
        command.arg("serve").arg(tree.path()).args(["--listen", &address]).args(OPEN);
        Server::spawn(command)
    };
    let url = format!("http://{address}/there.bin");
    for kills_server in [false, true] {
        let mut server = start();
        let mut client = Command::new("python3")
            .args([script, "file", &url])
            .current_dir(here.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let unfinished = tree.path().join(".uploads");
        eventually("some has come", || {
            let found = fs::read_dir(&unfinished).into_iter().flatten();
            found
                .map(|entry| entry.unwrap().metadata().map_or(0, |facts| facts.len()))
                .any(|len| len > 1_000_000)
                || tree.path().join("there.bin").exists()
        });
        if kills_server {
            server.child.kill().unwrap();
            server.child.wait().unwrap();
            server = start();
        } else {
            client.kill().unwrap();
        }
        let _ = client.wait().unwrap();
        let output = run(here.path(), "python3", &[script, "file", &url]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(fs::read(tree.path().join("there.bin")).unwrap() == body);
        assert!(!here.path().join("file.upload").exists());
        fs::remove_file(tree.path().join("there.bin")).unwrap();
        drop(server);
    }
}
