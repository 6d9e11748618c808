//! The command line: what it says of itself, what it refuses, and what it says when it starts.

use crate::harness::{Server, Tree, bytes};
use std::{
    net::{Ipv6Addr, SocketAddr, TcpListener},
    process::{Command, Output, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, SystemTime},
};

/// Runs it to its end. One that serves instead of ending is killed, and the test fails.
pub(crate) fn run(arguments: &[&str]) -> Output {
    let mut command = Server::command();
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let pid = child.id().to_string();
    let (ended, end) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        if end.recv_timeout(Duration::from_secs(30)) == Err(RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-s", "KILL", &pid]).status();
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(ended);
    watchdog.join().unwrap();
    output
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What it says when it refuses to start: on standard error alone, with a status that is not 0.
fn refusal(arguments: &[&str]) -> String {
    let output = run(arguments);
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{arguments:?} was accepted");
    assert!(output.status.code().is_some(), "{arguments:?} ended by a signal: {said}");
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// The same, when it is one line that begins with the program's name.
pub(crate) fn one_line(arguments: &[&str]) -> String {
    let said = refusal(arguments);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("sendrail: "), "{said}");
    assert!(!said.contains("listening"), "{said}");
    said
}

#[test]
fn help_is_a_page_that_names_every_option() {
    let output = run(&["serve", "--help"]);
    assert!(output.status.success());
    let page = text(&output.stdout);
    for option in [
        "[DIR]",
        "--config <FILE>",
        "--listen <ADDR>",
        "--workers",
        "--max-connections",
        "--method",
        "--window",
        "--drop-behind-lag",
        "--ring-depth",
        "--small-files",
        "--small-files-memory",
        "--symlinks",
        "--dotfiles",
        "--listing",
        "--index",
        "--precompressed",
        "--cache-control",
        "--open-files",
        "--open-files-valid",
        "--access-log <FILE|-|off>",
        "--log-format",
        "--header-timeout",
        "--body-timeout",
        "--max-body",
        "--idle-timeout",
        "--send-timeout",
        "--min-send-rate",
        "--drain-timeout",
        "copy:",
        "mapped:",
        "sendfile:",
        "splice:",
        "same-root:",
        "json:",
        "Examples:",
        "Signals:",
        "[default: 127.0.0.1:8080]",
        "[default: 30s]",
    ] {
        assert!(page.contains(option), "{option} is not in the help:\n{page}");
    }
    // Every option says what it does: no line with an option alone followed by nothing.
    let lines: Vec<&str> = page.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        if line.trim_start().starts_with("--") {
            assert!(lines[at + 1].starts_with("          "), "{line} says nothing of itself");
        }
    }
    assert!(page.lines().all(|line| line.chars().count() <= 100), "wider than a terminal");
}

#[test]
fn help_and_version_of_the_whole() {
    let page = text(&run(&["--help"]).stdout);
    assert!(page.contains("serve") && page.contains("explain"), "{page}");
    assert_eq!(text(&run(&["--version"]).stdout).split(' ').next(), Some("sendrail"));
    let output = run(&[]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("Usage: sendrail"));
}

#[test]
fn wrong_options_and_values_name_themselves() {
    for (arguments, named) in [
        (&["serve", "--bogus"][..], "--bogus"),
        (&["bogus"], "bogus"),
        (&["serve", "--method", "teleport"], "teleport"),
        (&["serve", "--method", "teleport"], "sendfile"),
        (&["serve", "--listen", "nonsense"], "nonsense"),
        (&["serve", "--listen", "127.0.0.1:65536"], "65536"),
        (&["serve", "--window", "1t"], "use k, m or g"),
        (&["serve", "--send-timeout", "10"], "needs a unit"),
        (&["serve", "--log-format", "xml"], "combined"),
        (&["serve", "--workers", "many"], "--workers"),
        (&["serve", "a", "b"], "unexpected argument 'b'"),
        (&["explain"], "<PATH>"),
    ] {
        let said = refusal(arguments);
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
}

#[test]
fn values_that_make_no_sense_are_refused_in_one_line() {
    for (option, value, named) in [
        ("--workers", "0", "--workers 0"),
        ("--workers", "1025", "from 1 to 1024"),
        ("--window", "4095", "--window 4095"),
        ("--ring-depth", "0", "--ring-depth 0: must be from 1 to 64"),
        ("--ring-depth", "65", "--ring-depth 65: must be from 1 to 64"),
        ("--drop-behind-lag", "2097151", "--drop-behind-lag 2097151: must be at least 2m"),
        ("--max-connections", "0", "--max-connections 0"),
        ("--max-connections", "99999999999", "ulimit -n"),
        ("--header-timeout", "0s", "--header-timeout 0"),
        ("--body-timeout", "0s", "--body-timeout 0"),
        ("--idle-timeout", "0s", "--idle-timeout 0"),
        ("--send-timeout", "0ms", "--send-timeout 0"),
        ("--index", "a/b", "--index"),
        ("--cache-control", "max-age=1\r\nEvil: 1", "--cache-control"),
        ("--access-log", "", "--access-log"),
    ] {
        let said = one_line(&["serve", "--listen", "127.0.0.1:0", option, value]);
        assert!(said.contains(named), "{option} {value}: {said}");
    }
}

#[test]
fn a_directory_that_cannot_be_served() {
    let tree = Tree::new();
    let file = tree.file("file", "x").display().to_string();
    let missing = tree.path().join("missing").display().to_string();
    for (dir, why) in [(&missing, "does not exist"), (&file, "not a directory")] {
        let said = one_line(&["serve", dir, "--listen", "127.0.0.1:0"]);
        assert!(said.contains(why) && said.contains(dir.as_str()), "{said}");
    }
}

#[test]
fn a_directory_that_may_not_be_read() {
    use std::os::unix::{fs::PermissionsExt, process::CommandExt};
    const NOBODY: u32 = 65534;
    let tree = Tree::new();
    let closed = tree.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
    std::fs::set_permissions(tree.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Server::command();
    command.arg("serve").arg(&closed).args(["--listen", "127.0.0.1:0"]);
    if std::fs::read_dir(&closed).is_ok() {
        command.uid(NOBODY).gid(NOBODY); // root may read everything
    }
    let Ok(output) = command.output() else {
        eprintln!("skipped: another user cannot run a binary in this build folder");
        return;
    };
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("closed") && said.contains("may not"), "{said}");
}

#[test]
fn addresses_that_cannot_be_had() {
    let tree = Tree::new();
    let dir = tree.path().to_str().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = one_line(&["serve", dir, "--listen", &address]);
    assert!(said.contains(&address) && said.contains("in use"), "{said}");
    // The second of two: nothing is announced of the first.
    one_line(&["serve", dir, "--listen", "127.0.0.1:0", "--listen", &address]);
    // An address for documentation (RFC 5737), which no machine has.
    let said = one_line(&["serve", dir, "--listen", "192.0.2.1:8080"]);
    assert!(said.contains("192.0.2.1:8080"), "{said}");
    // Another server of ours must not share the port in silence (SO_REUSEPORT would let it).
    let server = Server::start(&tree, &[]);
    let said = one_line(&["serve", dir, "--listen", &server.address.to_string()]);
    assert!(said.contains("in use"), "{said}");
}

#[test]
fn a_log_that_cannot_be_written() {
    let tree = Tree::new();
    let dir = tree.path().to_str().unwrap();
    for path in [tree.path().join("no/such/dir/log"), tree.path().to_path_buf()] {
        let path = path.to_str().unwrap();
        let said = one_line(&["serve", dir, "--listen", "127.0.0.1:0", "--access-log", path]);
        assert!(said.contains("--access-log") && said.contains(path), "{said}");
    }
}

#[test]
fn the_start_says_where_and_how() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let (status, said) = Server::start(&tree, &["--method", "splice"]).stop();
    assert!(status.success(), "{said}");
    assert!(said.starts_with("sendrail 0."), "{said}");
    for expected in [
        &format!("serves {}", tree.path().display()),
        "listening on http://127.0.0.1:",
        "kernel       ",
        "confined by ",
        "splice, forced (--method)",
        "(--symlinks)",
        "(--dotfiles)",
        "(--listing)",
        "1 workers (--workers)",
        "(--max-connections)",
        "(--open-files)",
        "access log   off",
    ] {
        assert!(said.contains(expected), "{expected:?} is not said:\n{said}");
    }
}

#[test]
fn what_is_said_to_a_file_has_no_colours() {
    let tree = Tree::new();
    let mut command = Server::command();
    command.arg("serve").arg(tree.path()).args(["--listen", "127.0.0.1:0"]).env_remove("NO_COLOR");
    let (status, said) = Server::spawn(command).stop();
    assert!(status.success());
    assert!(said.contains("stopping") && !said.contains('\x1b'), "{said:?}");
}

#[test]
fn it_listens_on_every_address_with_every_worker() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let mut listen = vec!["127.0.0.1:0", "127.0.0.2:0"];
    let has_ipv6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if has_ipv6 {
        listen.push("[::1]:0");
    } else {
        eprintln!("skipped in part: this machine has no IPv6");
    }
    let mut command = Server::command();
    command.arg("serve").arg(tree.path()).args(["--workers", "3"]);
    for address in &listen {
        command.args(["--listen", address]);
    }
    let server = Server::spawn(command);
    let addresses = || -> Vec<SocketAddr> {
        let said = server.stderr();
        let urls = said.lines().filter_map(|line| line.strip_prefix("listening on http://"));
        urls.map(|url| url.trim_end_matches('/').parse().unwrap()).collect()
    };
    crate::harness::eventually("all addresses", || addresses().len() == listen.len());
    for address in addresses() {
        assert_ne!(address.port(), 0);
        for _ in 0..8 {
            let response = crate::harness::Connection::open(address).get("/a.txt", "");
            assert_eq!(response.body, b"hello", "{address}");
        }
    }
}

#[test]
fn explain_tells_how_a_hot_file_would_be_sent() {
    let tree = Tree::new();
    let path = tree.file("a.html", bytes(1 << 20));
    std::fs::read(&path).unwrap();
    let output = run(&["explain", path.to_str().unwrap()]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}");
    for expected in [
        &path.canonicalize().unwrap().display().to_string(),
        "1048576 bytes",
        "text/html",
        "of 256 pages resident",
        "method       splice",
        "TCP_CORK",
        ".gz: none",
        "what this kernel offers for this file",
        "openat2",
    ] {
        assert!(said.contains(expected), "{expected:?} is not said:\n{said}");
    }
    let small = tree.file("small.txt", "x");
    let said = text(&run(&["explain", small.to_str().unwrap()]).stdout);
    assert!(said.contains("one send of head and body"), "{said}");
}

#[test]
fn explain_knows_forced_methods_and_variants() {
    let tree = Tree::new();
    let path = tree.file("a.js", bytes(10_000));
    tree.file("a.js.gz", "fresh");
    let stale = tree.file("a.js.br", "stale");
    let old = SystemTime::now() - Duration::from_hours(1);
    std::fs::File::options().write(true).open(stale).unwrap().set_modified(old).unwrap();
    for method in ["copy", "mapped", "sendfile", "splice"] {
        let output = run(&["explain", path.to_str().unwrap(), "--method", method]);
        let said = text(&output.stdout);
        assert!(output.status.success());
        assert!(said.contains(&format!("method       {method}: ")), "{said}");
        assert!(said.contains("by name"), "{said}");
        assert!(said.contains(".gz: there, and served"), "{said}");
        assert!(said.contains(".br: older than the file"), "{said}");
        assert!(said.contains(".zst: none"), "{said}");
    }
}

#[test]
fn explain_honours_what_would_be_given_to_serve() {
    let tree = Tree::new();
    let path = tree.file("a.bin", bytes(5000)).display().to_string();
    for (arguments, expected) in [
        (&["--window", "8k"][..], "calls of at most 8 KiB"),
        (&["--small-files", "5000"], "one send from memory while"),
        (&["--small-files", "4999"], "moved by     MSG_MORE"),
    ] {
        let said = text(&run(&[&["explain", &path], arguments].concat()).stdout);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    let said = text(&run(&["explain", &path, "--ring-depth", "3"]).stdout);
    let line = said.lines().find(|line| line.starts_with("past cache")).unwrap();
    assert!(!line.contains("reads of") || line.contains("up to 3 reads of 512 KiB"), "{line}");
    for (arguments, why) in [
        (["--window", "1"], "--window 1: must be at least 4k"),
        (["--ring-depth", "65"], "--ring-depth 65: must be from 1 to 64"),
    ] {
        let said = one_line(&[&["explain", &path], &arguments[..]].concat());
        assert!(said.contains(why), "{said}");
    }
    let both = ["explain", &path, "--method", "copy", "--direct-above", "1m"];
    assert!(one_line(&both).contains("--direct-above: --method copy is for files of every size"));
}

#[test]
fn explain_refuses_what_is_no_file() {
    let tree = Tree::new();
    let dir = tree.path().to_str().unwrap();
    assert!(one_line(&["explain", dir]).contains("is a directory"));
    let missing = tree.path().join("missing");
    let said = one_line(&["explain", missing.to_str().unwrap()]);
    assert!(said.contains("missing") && said.contains("No such file"), "{said}");
    assert!(one_line(&["explain", "/"]).contains("is a directory"));
    assert!(one_line(&["explain", "/dev/null"]).contains("/dev/null"));
}
