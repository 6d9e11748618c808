//! Real clients, as people use them: every byte of a file of several MiB.

use crate::harness::{AGED, Server, Tree, age, bytes, has};
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output},
};

const LEN: usize = (9 << 20) + 12_345;

/// A server of `/big.bin`, and an empty folder to download into.
struct Site {
    tree: Tree,
    here: Tree,
    server: Server,
    content: Vec<u8>,
    /// Of `/big.bin`.
    url: String,
}

impl Site {
    fn new() -> Self {
        let tree = Tree::new();
        let content = bytes(LEN);
        tree.aged("big.bin", &content);
        // A replaced file is to be seen at once, not after a second.
        let server = Server::start(&tree, &["--open-files-valid", "0ms"]);
        let url = server.url("/big.bin");
        Self { tree, here: Tree::new(), server, content, url }
    }

    /// Runs a client in the folder for downloads, untouched by what the user's settings are.
    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.here.path()).env("HOME", self.here.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().to_ascii_lowercase().ends_with("_proxy") {
                command.env_remove(name);
            }
        }
        command.output().unwrap()
    }

    fn downloaded(&self, name: &str) -> Vec<u8> {
        fs::read(self.here.path().join(name)).unwrap()
    }

    /// What an interrupted download leaves behind.
    fn begun(&self, name: &str, len: usize) -> PathBuf {
        self.here.file(name, &self.content[..len])
    }

    /// Puts another file in the place of the served one, as an editor or `mv` does.
    fn replace(&self) -> Vec<u8> {
        let mut other = self.content.clone();
        other.reverse();
        let next = self.tree.file("next", &other);
        age(&next, AGED + 1);
        fs::rename(next, self.tree.path().join("big.bin")).unwrap();
        other
    }
}

fn assert_success(output: &Output) {
    assert!(
        output.status.success(),
        "{}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// `compress` as a program, from `file` into `file` with its extension.
fn compress(program: &str, file: &Path) -> ExitStatus {
    Command::new(program).args([OsStr::new("-kfq"), file.as_os_str()]).status().unwrap()
}

#[test]
fn curl_downloads() {
    if !has("curl") {
        return;
    }
    let site = Site::new();
    assert_success(&site.run("curl", &["-sSfO", &site.url]));
    assert!(site.downloaded("big.bin") == site.content);
    // Two addresses on one connection, the second one a directory with its redirect followed.
    let (file, dir) = (&site.url, site.server.url("/dir?x=y"));
    site.tree.file("dir/index.html", "home");
    let arguments = ["-sSfL", "-o", "a", file, "-o", "b", &dir, "-w", "%{num_connects} "];
    let output = site.run("curl", &arguments);
    assert_success(&output);
    assert_eq!(output.stdout, b"1 0 ", "connections made for each");
    assert!(site.downloaded("a") == site.content && site.downloaded("b") == b"home");
}

#[test]
fn curl_takes_ranges() {
    if !has("curl") {
        return;
    }
    let site = Site::new();
    for (range, expected) in [
        ("0-99", &site.content[..100]),
        ("1000000-8000000", &site.content[1_000_000..=8_000_000]),
        ("9000000-", &site.content[9_000_000..]),
        ("-5000000", &site.content[LEN - 5_000_000..]),
    ] {
        let output = site.run("curl", &["-sSf", "-r", range, &site.url]);
        assert_success(&output);
        assert!(output.stdout == expected, "{range}");
    }
}

#[test]
fn curl_resumes() {
    if !has("curl") {
        return;
    }
    let site = Site::new();
    for len in [1, 4096, 5_000_001, LEN - 1] {
        site.begun("big.bin", len);
        assert_success(&site.run("curl", &["-sSf", "-C", "-", "-O", &site.url]));
        assert!(site.downloaded("big.bin") == site.content, "resumed at {len}");
    }
    // There is nothing more to have: curl takes the 416 for that, and must not spoil the file.
    site.run("curl", &["-sSf", "-C", "-", "-O", &site.url]);
    assert!(site.downloaded("big.bin") == site.content);
}

/// The validator of the first half guards the second: pieces of two files never become one.
#[test]
fn curl_resumes_only_the_same_file() {
    if !has("curl") {
        return;
    }
    let site = Site::new();
    let head = site.run("curl", &["-sSfI", &site.url]);
    let head = String::from_utf8(head.stdout).unwrap();
    let value = |name| head.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    for guard in [value("ETag: "), value("Last-Modified: ")] {
        let field = format!("If-Range: {guard}");
        let arguments = ["-sSf", "-C", "-", "-O", "-H", &field, &site.url];
        site.begun("big.bin", 4_000_000);
        assert_success(&site.run("curl", &arguments));
        assert!(site.downloaded("big.bin") == site.content, "{guard}");
    }
    let other = site.replace();
    for guard in [value("ETag: "), value("Last-Modified: ")] {
        let field = format!("If-Range: {guard}");
        site.begun("big.bin", 4_000_000);
        // 200 with all of it, which curl refuses to append.
        let output = site.run("curl", &["-sSf", "-C", "-", "-O", "-H", &field, &site.url]);
        assert_eq!(output.status.code(), Some(33), "{guard}: cannot resume");
        assert!(site.downloaded("big.bin") == site.content[..4_000_000], "{guard}");
    }
    assert_success(&site.run("curl", &["-sSfO", &site.url]));
    assert!(site.downloaded("big.bin") == other);
}

#[test]
fn curl_unpacks() {
    if !has("curl") {
        return;
    }
    let site = Site::new();
    let text = "Something that can be compressed, many times over.\n".repeat(100_000);
    for (program, extension, coding) in [("gzip", "gz", "gzip"), ("zstd", "zst", "zstd")] {
        let knows = site.run("curl", &["-V"]);
        let knows =
            String::from_utf8_lossy(&knows.stdout).contains(&coding.replace("gzip", "libz"));
        if !has(program) || !knows {
            eprintln!("skipped: {coding} with this curl");
            continue;
        }
        let file = site.tree.aged(&format!("{coding}.txt"), &text);
        assert!(compress(program, &file).success());
        let packed = fs::metadata(file.with_extension(format!("txt.{extension}"))).unwrap().len();
        let url = site.server.url(&format!("/{coding}.txt"));
        let format = "%{size_download}";
        let arguments = ["-sSf", "--compressed", "-o", "text", "-w", format, &url];
        let output = site.run("curl", &arguments);
        assert_success(&output);
        assert!(site.downloaded("text") == text.as_bytes(), "{coding}");
        assert_eq!(output.stdout, packed.to_string().as_bytes(), "{coding}: it came packed");
        // Without the option it comes as it is.
        assert!(site.run("curl", &["-sSf", &url]).stdout == text.as_bytes());
    }
}

#[test]
fn curl_asks_whether_it_changed() {
    if !has("curl") {
        return;
    }
    let site = Site::new();
    let arguments = ["-sSf", "--etag-save", "tag", "--etag-compare", "tag", "-o", "file"];
    let arguments = [&arguments[..], &["-w", "%{http_code}", &site.url]].concat();
    fs::write(site.here.path().join("tag"), "").unwrap();
    assert_eq!(site.run("curl", &arguments).stdout, b"200");
    assert_eq!(site.run("curl", &arguments).stdout, b"304");
    let other = site.replace();
    assert_eq!(site.run("curl", &arguments).stdout, b"200");
    assert!(site.downloaded("file") == other);
    // And by the time of the file.
    let by_time = ["-sSf", "-z", "file", "-o", "file2", "-w", "%{http_code}", &site.url];
    assert_eq!(site.run("curl", &by_time).stdout, b"304");
}

/// `curl -T` and `-d` wait for "100 Continue" before a large body; they get their answer at once.
#[test]
fn curl_is_told_that_uploads_are_not_taken() {
    if !has("curl") {
        return;
    }
    let site = Site::new();
    site.begun("upload", LEN);
    let format = "%{http_code}";
    for extra in [&["-T", "upload"][..], &["--data-binary", "@upload"], &["-d", "x=y"]] {
        let arguments = [&["-sS", "-o", "page", "-w", format], extra, &[&site.url]].concat();
        assert_eq!(site.run("curl", &arguments).stdout, b"405", "{extra:?}");
    }
    assert!(fs::read(site.tree.path().join("big.bin")).unwrap() == site.content);
}

#[test]
fn wget_resumes() {
    if !has("wget") {
        return;
    }
    let site = Site::new();
    let arguments = ["--no-config", "-nv", "-c", &site.url];
    assert_success(&site.run("wget", &arguments));
    assert!(site.downloaded("big.bin") == site.content);
    for len in [1, 3_000_000, LEN - 1] {
        site.begun("big.bin", len);
        assert_success(&site.run("wget", &arguments));
        assert!(site.downloaded("big.bin") == site.content, "resumed at {len}");
    }
    // "The file is already fully retrieved; nothing to do."
    assert_success(&site.run("wget", &arguments));
    assert!(site.downloaded("big.bin") == site.content);
}

/// The listing is made of links that a crawler can follow, names of all sorts included.
#[test]
fn wget_mirrors_a_tree() {
    if !has("wget") {
        return;
    }
    let site = Site::new();
    let names = ["a b.txt", "c:d.txt", "100%.txt", "what?#.txt", "grün.txt", "sub/deep/x.txt"];
    for name in names {
        site.tree.file(&format!("tree/{name}"), name);
    }
    let url = site.server.url("/tree/");
    let arguments = ["--no-config", "-nv", "-r", "-np", "-nH", "--restrict-file-names=nocontrol"];
    assert_success(&site.run("wget", &[&arguments[..], &[&url]].concat()));
    for name in names {
        assert_eq!(site.downloaded(&format!("tree/{name}")), name.as_bytes(), "{name}");
    }
}

#[test]
fn aria2c_takes_eight_pieces_at_once_and_resumes() {
    if !has("aria2c") {
        return;
    }
    let site = Site::new();
    // So slow that no piece has come before the last one is begun.
    let limit = "--max-overall-download-limit=30M";
    let arguments =
        ["--no-conf", "-q", "-x8", "-s8", "-k1M", "--file-allocation=none", "--log=log", limit];
    assert_success(&site.run("aria2c", &[&arguments[..], &[&site.url]].concat()));
    assert!(site.downloaded("big.bin") == site.content);
    let log = String::from_utf8_lossy(&site.downloaded("log")).into_owned();
    assert!(log.matches("206 Partial Content").count() >= 2, "it did take pieces: {log}");

    site.begun("half.bin", 5_000_000);
    let resume = [&arguments[..], &["-c", "-o", "half.bin", &site.url]].concat();
    assert_success(&site.run("aria2c", &resume));
    assert!(site.downloaded("half.bin") == site.content);
}
