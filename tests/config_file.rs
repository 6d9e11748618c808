//! `--config FILE`: what a file says is done, what was typed wins, and what is wrong is said of its line.

use crate::{
    command_line::{one_line, run, text},
    harness::{Journal, Server, Tree, bytes, process},
};
use std::{net::TcpListener, path::Path};

/// Writes a file of options outside of what is served.
fn config(tree: &Tree, name: &str, content: impl AsRef<[u8]>) -> String {
    tree.file(name, content).display().to_string()
}

/// Serves as these files and words say.
fn serve(files: &[&str], typed: &[&str]) -> Server {
    let mut command = Server::command();
    command.arg("serve").args(files.iter().flat_map(|file| ["--config", file])).args(typed);
    Server::spawn(command)
}

#[test]
fn what_a_file_says_is_done() {
    let (tree, options) = (Tree::new(), Tree::new());
    tree.file("start.html", "the start");
    tree.file("more/a.bin", bytes(3 << 20));
    let journal = Journal::new();
    let log = journal.arguments();
    let file = config(
        &options,
        "sendrail.toml",
        format!(
            "# what this server is to do\n\
             dir = {:?}\n\
             listen = ['127.0.0.1:0', '127.0.0.2:0']\n\
             workers = 2\n\
             method = \"copy\"\n\
             small-files = 0\n\
             listing = false\n\
             index = ['none.html', 'start.html']\n\
             cache-control = \"max-age=77\"\n\
             {} = {:?}\n\
             {} = {:?}\n\
             disk-threads = 3\n",
            tree.path(),
            log[0].trim_start_matches('-'),
            log[1],
            log[2].trim_start_matches('-'),
            log[3],
        ),
    );
    let server = serve(&[&file], &[]);
    let said = server.stderr();
    let mut client = server.connect();
    let start = client.get("/", "");
    assert_eq!((start.status, start.body.as_slice()), (200, &b"the start"[..]));
    assert_eq!(start.field("Cache-Control"), Some("max-age=77"));
    assert_eq!(client.get("/more/", "").status, 403, "listing = false");
    assert_eq!(client.get("/more/a.bin", "").body, bytes(3 << 20));
    assert_eq!(journal.wait_for(3)[2]["receipt"]["method"], "copy");
    drop(client);
    let (status, rest) = server.stop();
    assert!(status.success());
    let said = if rest.len() > said.len() { rest } else { said };
    for expected in [
        &format!("serves {}", tree.path().display()),
        &format!("configured   by {file} (--config)"),
        "listening on http://127.0.0.2:",
        "method       copy, forced (--method)",
        "listings not shown",
        "2 workers (--workers)",
        "disks        3 threads each",
    ] {
        assert!(said.contains(expected), "{expected:?} is not said:\n{said}");
    }
}

#[test]
fn what_was_typed_wins_and_then_the_later_file() {
    let (one, other, options) = (Tree::new(), Tree::new(), Tree::new());
    one.file("a.txt", "one");
    other.file("a.txt", "other");
    let dir = |tree: &Tree| format!("dir = {:?}\n", tree.path());
    // An address that is taken: who listened on it would not start.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _taken = TcpListener::bind(taken).unwrap();
    let early = config(
        &options,
        "early.toml",
        format!("{}listen = '{taken}'\nworkers = 2\nmethod = 'splice'\n", dir(&one)),
    );
    let late = config(&options, "late.toml", format!("{}method = 'mapped'\n", dir(&other)));
    let typed = ["--listen", "127.0.0.1:0", "--workers", "1"];
    for (files, words, body, method) in [
        ([&*early, &*late], vec![], "other", "mapped, forced"),
        ([&*late, &*early], vec![], "one", "splice, forced"),
        ([&*early, &*late], vec!["--method", "copy"], "other", "copy, forced"),
        // What is the default is typed, too.
        ([&*early, &*late], vec!["--method", "auto"], "other", "auto: sendfile"),
        ([&*late, &*late], vec![one.path().to_str().unwrap()], "one", "mapped, forced"),
    ] {
        let server = serve(&files, &[&typed[..], &words].concat());
        assert_eq!(server.connect().get("/a.txt", "").body, body.as_bytes(), "{files:?} {words:?}");
        let (_, said) = server.stop();
        assert!(said.contains(&format!("method       {method}")), "{files:?} {words:?}: {said}");
        assert!(said.contains("1 workers"), "{said}");
    }
}

#[test]
fn a_relative_name_is_taken_from_where_the_server_was_started() {
    let (tree, options) = (Tree::new(), Tree::new());
    tree.file("www/a.txt", "hello");
    let file =
        config(&options, "a.toml", "dir = 'www'\nlisten = '127.0.0.1:0'\naccess-log = 'log'\n");
    let mut command = Server::command();
    command.args(["serve", "--config", &file]).current_dir(tree.path());
    let server = Server::spawn(command);
    assert_eq!(server.connect().get("/a.txt", "").body, b"hello");
    assert!(server.stop().0.success());
    assert!(std::fs::read_to_string(tree.path().join("log")).unwrap().contains("GET /a.txt"));
}

#[test]
fn thresholds_of_a_file_reach_the_engine() {
    let (tree, options) = (Tree::new(), Tree::new());
    tree.file("a.bin", bytes(12 << 20));
    let file = config(&options, "a.toml", "method = 'direct'\nring-depth = 5\n");
    let server = serve(&[&file], &[tree.path().to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    let mut client = server.connect_narrow();
    client.begin("/a.bin");
    client.take(100_000);
    let pid = server.child.id();
    if !process::descriptors(pid).iter().any(|name| name == "anon_inode:[io_uring]") {
        eprintln!("skipped: no direct reads by io_uring here");
        return;
    }
    assert_eq!(process::pinned_memory(pid), 5 * (512 << 10));
}

#[test]
fn what_is_wrong_in_a_file_is_said_of_its_line() {
    let (tree, options) = (Tree::new(), Tree::new());
    let dir = tree.path().to_str().unwrap();
    for (content, said) in [
        // What clap refuses.
        ("\nwindow = '1t'\n", "2: window = \"1t\": \"t\" is no unit of size: use k, m or g"),
        ("method = 'teleport'", "1: method = \"teleport\": must be one of auto, copy,"),
        ("index = [\n  'a',\n  1.5]", "3: index: must be a string or a whole number"),
        ("windo = '2m'", "1: \"windo\" is no option; did you mean window?"),
        ("qqqq = 1", "1: \"qqqq\" is no option; there are dir, listen, workers, "),
        ("window = 1\nwindow = 2", "2: duplicate key: window"),
        ("window = 2m", "1: "),
        // What only is known when all is put together.
        ("# small\n\nwindow = '1'", "3: --window 1: must be at least 4k"),
        ("workers = 0", "1: --workers 0: must be from 1 to 1024"),
        ("ring-depth = 65", "1: --ring-depth 65: must be from 1 to 64"),
        ("drop-behind-lag = '1m'", "1: --drop-behind-lag 1048576: must be at least 2m"),
        ("\nidle-timeout = '0s'", "2: --idle-timeout 0: "),
        ("index = 'a/b'", "1: --index \"a/b\": "),
        ("snapshot-dir = '/'", "1: --snapshot-dir /: there are no snapshots"),
        ("\nmethod = 'copy'\ndirect-above = '1m'", "3: --direct-above: --method copy is for"),
        ("access-log = '/no/such/log'", "1: --access-log /no/such/log: No such file"),
        ("access-log = ''", "1: --access-log: the file's name is empty"),
        ("cache-control = \"a\\nb\"", "1: --cache-control \"a\\nb\": only printable ASCII"),
    ] {
        let file = config(&options, "a.toml", content);
        let refused = one_line(&["serve", dir, "--listen", "127.0.0.1:0", "--config", &file]);
        assert!(refused.starts_with(&format!("sendrail: {file}:{said}")), "{content:?}: {refused}");
    }
    let file = config(&options, "a.toml", "\ndir = '/no/such/folder'\nlisten = '127.0.0.1:0'");
    let refused = one_line(&["serve", "--config", &file]);
    assert!(refused.starts_with(&format!("sendrail: {file}:2: /no/such/folder")), "{refused}");
    // An address for documentation (RFC 5737), which no machine has.
    let file = config(&options, "a.toml", "workers = 1\nlisten = '192.0.2.1:80'");
    let refused = one_line(&["serve", dir, "--config", &file]);
    assert!(refused.starts_with(&format!("sendrail: {file}:2: cannot listen on ")), "{refused}");
    // Checked though what was typed would win; and of two files it is the one that is wrong.
    let wrong = config(&options, "wrong.toml", "\n\nworkers = 'x'");
    let good = config(&options, "good.toml", "workers = 2");
    let both = ["serve", dir, "--workers", "1", "--config", &good, "--config", &wrong];
    assert!(one_line(&both).starts_with(&format!("sendrail: {wrong}:3: workers = \"x\": ")));
    // What was typed is nobody else's fault.
    let typed = ["serve", dir, "--config", &good, "--window", "1"];
    assert!(one_line(&typed).starts_with("sendrail: --window 1: "));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let options = Tree::new();
    let folder = options.path().to_str().unwrap();
    let missing = options.path().join("missing.toml").display().to_string();
    for (file, why) in
        [(folder, "Is a directory"), (&missing, "No such file"), ("/dev/zero", "1 MiB")]
    {
        let refused = one_line(&["serve", "--listen", "127.0.0.1:0", "--config", file]);
        assert!(refused.starts_with(&format!("sendrail: --config {file}: ")), "{refused}");
        assert!(refused.contains(why), "{refused}");
    }
    let latin = config(&options, "latin.toml", b"\n# caf\xe9\n");
    let refused = one_line(&["serve", "--listen", "127.0.0.1:0", "--config", &latin]);
    assert!(refused.starts_with(&format!("sendrail: {latin}:2: is not UTF-8")), "{refused}");
}

#[test]
fn a_file_that_may_not_be_read_is_named() {
    use std::os::unix::{fs::PermissionsExt, process::CommandExt};
    const NOBODY: u32 = 65534;
    let options = Tree::new();
    let file = config(&options, "closed.toml", "workers = 1");
    let allow = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode));
    allow(Path::new(&file), 0o000).unwrap();
    allow(options.path(), 0o755).unwrap();
    let mut command = Server::command();
    command.args(["serve", "--listen", "127.0.0.1:0", "--config", &file]);
    if std::fs::read(&file).is_ok() {
        command.uid(NOBODY).gid(NOBODY); // root may read everything
    }
    let Ok(output) = command.output() else {
        eprintln!("skipped: another user cannot run a binary in this build folder");
        return;
    };
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with(&format!("sendrail: --config {file}: cannot be read: ")), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn explain_takes_the_same_file() {
    let (tree, options) = (Tree::new(), Tree::new());
    let path = tree.file("a.bin", bytes(1 << 20)).display().to_string();
    let file = config(&options, "a.toml", "workers = 2\nmethod = 'copy'\nwindow = '8k'\n");
    let explained = |typed: &[&str]| {
        text(&run(&[&["explain", &path, "--config", &file], typed].concat()).stdout)
    };
    assert!(explained(&[]).contains("method       copy: the method was asked for by name"));
    assert!(explained(&[]).contains("calls of at most 8 KiB"));
    assert!(explained(&["--method", "sendfile"]).contains("method       sendfile: "));
    let refused = one_line(&["explain", &path, "--config", &file, "--direct-above", "1m"]);
    assert!(refused.starts_with(&format!("sendrail: {file}:2: --direct-above: ")), "{refused}");
}

#[test]
fn the_examples_of_the_documents_are_accepted() {
    let (tree, options) = (Tree::new(), Tree::new());
    let dir = tree.path().to_str().unwrap();
    for document in ["README.md", "docs/configuration.md"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(document);
        let page = std::fs::read_to_string(path).unwrap();
        let example = page.split("```toml\n").nth(1).expect("an example").split("```").next();
        let file = config(&options, "a.toml", example.unwrap());
        let typed = [dir, "--listen", "127.0.0.1:0", "--access-log", "off"];
        let (status, said) = serve(&[&file], &typed).stop();
        assert!(status.success() && said.contains("configured   by "), "{document}: {said}");
    }
}
