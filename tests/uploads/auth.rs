//! Who may upload: tokens, by `sendrail token`, in both schemes; nobody by accident.

use super::{begin_put, client::Resumable, put};
use crate::harness::{Journal, Server, Tree, eventually};
use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Output,
};
use tempfile::TempDir;

/// Tokens in a directory that is not served.
struct Tokens(TempDir);

impl Tokens {
    fn new() -> Self {
        Self(TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("tokens")
    }

    /// Adds somebody as a person would: the line into the file, the token to whoever it is for.
    fn add(&self, name: &str) -> String {
        let made = Server::command().args(["token", name]).output().unwrap();
        assert!(made.status.success());
        let mut file = fs::File::options().append(true).create(true).open(self.path()).unwrap();
        file.write_all(&made.stdout).unwrap();
        fs::set_permissions(self.path(), fs::Permissions::from_mode(0o600)).unwrap();
        let said = String::from_utf8(made.stderr).unwrap();
        said.lines().last().unwrap().to_owned()
    }

    fn serve(&self, tree: &Tree, journal: &Journal) -> Server {
        let path = self.path().display().to_string();
        let auth = ["--uploads", ".", "--upload-auth", &path, "--upload-reserve", "0"];
        Server::logged(tree, journal, &auth)
    }
}

fn basic(name: &str, token: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{name}:{token}")))
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[test]
fn with_a_token_and_not_without() {
    let (tree, tokens, journal) = (Tree::new(), Tokens::new(), Journal::new());
    tree.file("a.txt", "old");
    let (alice, bob) = (tokens.add("alice"), tokens.add("bob"));
    let server = tokens.serve(&tree, &journal);
    let mut connection = server.connect();
    for (fields, status) in [
        (String::new(), 401),
        (bearer("nonsense"), 401),
        (basic("alice", &bob), 401),
        (basic("", &alice), 401),
        (format!("Authorization: Digest {alice}\r\n"), 401),
        (bearer(&alice), 204),
        (basic("bob", &bob), 204),
        (bearer(&bob[..42]), 401),
    ] {
        let response = put(&mut connection, "/a.txt", &fields, fields.as_bytes());
        assert_eq!(response.status, status, "{fields}: {}", response.head);
        let asks = response.field("WWW-Authenticate").unwrap_or_default();
        let both = asks.contains("Basic realm=") && asks.contains("Bearer realm=");
        assert_eq!(both, status == 401, "{}", response.head);
        if status == 204 {
            assert_eq!(connection.get("/a.txt", "").body, fields.as_bytes(), "GET is for all");
        }
    }
    let users: Vec<_> = journal
        .wait_for(10)
        .iter()
        .filter(|entry| entry["method"] == "PUT")
        .map(|entry| entry["user"].as_str().unwrap_or("-").to_owned())
        .collect();
    assert_eq!(users, ["-", "-", "-", "-", "-", "alice", "bob", "-"]);
    let (log, said) = (journal.text(), server.stderr());
    for secret in [alice, bob] {
        assert!(!log.contains(&secret) && !said.contains(&secret), "a token is in a log");
        assert!(!fs::read_to_string(tokens.path()).unwrap().contains(&secret));
    }
}

#[test]
fn without_a_token_no_body_is_asked_for_however_long() {
    let (tree, tokens, journal) = (Tree::new(), Tokens::new(), Journal::new());
    tokens.add("alice");
    let server = tokens.serve(&tree, &journal);
    for (target, fields) in [
        ("/a.bin", "Expect: 100-continue\r\n"),
        ("/a.bin", ""),
        ("/none/a.bin", "Expect: 100-continue\r\n"),
        ("/a.bin", "Expect: 100-continue\r\nIf-None-Match: *\r\n"),
    ] {
        let mut connection = server.connect();
        begin_put(&mut connection, target, fields, 5 << 30);
        let response = connection.response(false);
        assert_eq!(response.status, 401, "{target} {fields}: {}", response.head);
        assert_eq!(response.field("Connection"), Some("close"));
    }
}

#[test]
fn an_upload_is_of_whoever_began_it() {
    let (tree, tokens, journal) = (Tree::new(), Tokens::new(), Journal::new());
    let (alice, bob) = (tokens.add("alice"), tokens.add("bob"));
    let server = tokens.serve(&tree, &journal);
    let hers = Resumable::create(&server, "/a.bin", &bearer(&alice));
    let his = |method: &str, who: &str| server.connect().ask(method, &hers.location, who).status;
    for method in ["HEAD", "GET", "PATCH", "DELETE"] {
        assert_eq!(his(method, &bearer(&bob)), 404, "{method}");
        assert_eq!(his(method, ""), 401, "{method}");
    }
    assert_eq!(hers.append(&server, 0, b"hers", true).status, 201);
    assert_eq!(server.connect().get("/a.bin", "").body, b"hers");
    assert!(Resumable::try_create(&server, "/b.bin", "").is_err_and(|no| no.status == 401));
}

#[test]
fn a_hangup_reads_the_tokens_again() {
    let (tree, tokens, journal) = (Tree::new(), Tokens::new(), Journal::new());
    let alice = tokens.add("alice");
    let server = tokens.serve(&tree, &journal);
    fs::remove_file(tokens.path()).unwrap();
    let carol = tokens.add("carol");
    let mut connection = server.connect();
    assert_eq!(put(&mut connection, "/a.txt", &bearer(&carol), b"x").status, 401);
    server.signal("HUP");
    eventually("carol may", || {
        put(&mut server.connect(), "/a.txt", &bearer(&carol), b"x").status != 401
    });
    assert_eq!(put(&mut connection, "/a.txt", &bearer(&alice), b"x").status, 401);
    fs::write(tokens.path(), "nonsense").unwrap();
    server.signal("HUP");
    eventually("it says what is wrong", || server.stderr().contains(":1: must be NAME HASH"));
    assert_eq!(put(&mut connection, "/a.txt", &bearer(&carol), b"x").status, 204);
}

/// Starts a server that does not start: what it says.
fn refused(tree: &Path, arguments: &[&str]) -> String {
    let Output { status, stderr, .. } = Server::command()
        .arg("serve")
        .arg(tree)
        .args(["--listen", "127.0.0.1:0"])
        .args(arguments)
        .output()
        .unwrap();
    assert_eq!(status.code(), Some(1), "{arguments:?}");
    String::from_utf8(stderr).unwrap()
}

#[test]
fn what_makes_no_sense_is_refused_at_the_start() {
    let (tree, tokens) = (Tree::new(), Tokens::new());
    tree.file("in/a.txt", "a");
    let alice = tokens.add("alice");
    let file = tokens.path().display().to_string();
    let inside = tree.file("tokens", fs::read(tokens.path()).unwrap()).display().to_string();
    assert!(!alice.is_empty());
    for (arguments, why) in [
        (&["--uploads", "."][..], "say who may upload: --upload-auth FILE"),
        (&["--upload-auth", "none"], "no uploads are taken without --uploads"),
        (&["--uploads", "../x", "--upload-auth", "none"], "must be a path beneath DIR"),
        (&["--uploads", "/tmp", "--upload-auth", "none"], "must be a path beneath DIR"),
        (&["--uploads", "missing", "--upload-auth", "none"], "does not exist"),
        (&["--uploads", "in/a.txt", "--upload-auth", "none"], "not a directory"),
        (&["--uploads", ".", "--upload-auth", "/none"], "--upload-auth /none: cannot be read"),
        (&["--uploads", ".", "--upload-auth", &inside], "lies in the served directory"),
        (&["--uploads", ".", "--upload-auth", "none", "--upload-max", "0"], "nothing could be"),
        (&["--uploads", ".", "--upload-auth", "none", "--upload-idle", "0s"], "cut at once"),
    ] {
        let said = refused(tree.path(), arguments);
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
    fs::write(tokens.path(), "alice\n").unwrap();
    let said = refused(tree.path(), &["--uploads", ".", "--upload-auth", &file]);
    assert!(said.contains(&format!("{file}:1: must be NAME HASH")), "{said}");
    let config = tokens.0.path().join("sendrail.toml");
    fs::write(&config, "uploads = \".\"\nupload-auth = \"none\"\n\nupload-max = \"0\"\n").unwrap();
    let config = config.display().to_string();
    let said = refused(tree.path(), &["--config", &config]);
    assert!(said.contains(&format!("{config}:4: --upload-max 0")), "{said}");
}

#[test]
fn a_name_that_cannot_stand_in_a_log_gets_no_token() {
    for name in ["", "a b", "a:b", "../x", "\u{e9}"] {
        let made = Server::command().args(["token", name]).output().unwrap();
        assert!(!made.status.success() && made.stdout.is_empty(), "{name:?}");
    }
}
