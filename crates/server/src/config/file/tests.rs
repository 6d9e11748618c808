//! Options from files against the same options typed.

#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

use super::*;
use crate::cli::ExplainArguments;
use proptest::prelude::*;
use std::{fs, io::Write};
use tempfile::NamedTempFile;

fn file(text: impl AsRef<[u8]>) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_ref()).unwrap();
    file
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn parsed<A: Args>(typed: &[OsString]) -> A {
    let definition = A::augment_args(Command::new("sendrail"));
    A::from_arg_matches(&parse(&definition, typed.iter().cloned()).unwrap()).unwrap()
}

fn completed<A: Args>(files: &[&NamedTempFile], typed: &[&str]) -> Result<(A, Places), Problem> {
    let mut all = words(typed);
    for file in files {
        all.extend(["--config".into(), file.path().into()]);
    }
    complete(parsed::<A>(&all), &all)
}

/// What `serve` makes of files and words, but for the names of the files.
fn served(files: &[&NamedTempFile], typed: &[&str]) -> String {
    let (mut all, _) = completed::<ServeArguments>(files, typed).unwrap();
    all.config.clear();
    format!("{all:?}")
}

/// Why a file is refused, without its name.
fn refusal(text: impl AsRef<[u8]>) -> String {
    let file = file(text);
    let problem = completed::<ServeArguments>(&[&file], &[]).unwrap_err().to_string();
    let name = file.path().display().to_string();
    problem.strip_prefix(&name).unwrap_or(&problem).to_owned()
}

/// Each option, in a file and typed, with a value that it does not have by default.
const SAME: [(&str, &[&str]); 44] = [
    ("dir = '/srv/www'", &["/srv/www"]),
    ("dir = '-a folder'", &["./-a folder"]),
    ("listen = ['127.0.0.1:1', '[::1]:2']", &["--listen", "127.0.0.1:1", "--listen", "[::1]:2"]),
    ("listen = '127.0.0.1:0'", &["--listen", "127.0.0.1:0"]),
    ("workers = 3", &["--workers", "3"]),
    ("max-connections = 0x10", &["--max-connections", "16"]),
    ("method = 'copy'", &["--method", "copy"]),
    ("direct-above = '4m'", &["--direct-above", "4m"]),
    ("ring-depth = '16'", &["--ring-depth", "16"]),
    ("window = 1_048_576", &["--window", "1m"]),
    ("small-files = '64k'", &["--small-files", "64k"]),
    ("small-files-memory = '1m'", &["--small-files-memory", "1m"]),
    ("drop-behind = true", &["--drop-behind", "on"]),
    ("drop-behind-lag = '32m'", &["--drop-behind-lag", "32m"]),
    ("symlinks = 'deny'", &["--symlinks", "deny"]),
    ("dotfiles = 'serve'", &["--dotfiles", "serve"]),
    ("mutable = 'snapshot'", &["--mutable", "snapshot"]),
    ("snapshot-dir = '/srv'", &["--snapshot-dir", "/srv"]),
    (
        "live = false\nfinished-after = '1m'\nmax-wait = '0s'",
        &["--live", "off", "--finished-after", "1m", "--max-wait", "0s"],
    ),
    ("listing = false", &["--listing", "off"]),
    ("listing = 'off'", &["--listing", "off"]),
    ("index = ['a', '-b', '']", &["--index", "a", "--index=-b", "--index="]),
    ("precompressed = false", &["--precompressed", "off"]),
    ("cache-control = 'no-store, \"x\" = 1'", &["--cache-control", "no-store, \"x\" = 1"]),
    ("open-files = 0", &["--open-files", "0"]),
    ("open-files-valid = '5s'", &["--open-files-valid", "5s"]),
    ("uploads = 'in'", &["--uploads", "in"]),
    ("upload-auth = 'tokens'", &["--upload-auth", "tokens"]),
    ("upload-max = '1m'", &["--upload-max", "1m"]),
    ("upload-quota = '1g'", &["--upload-quota", "1g"]),
    ("upload-reserve = 0", &["--upload-reserve", "0"]),
    ("upload-sync = false", &["--upload-sync", "off"]),
    ("upload-keep = '1h'", &["--upload-keep", "1h"]),
    ("upload-idle = '5s'", &["--upload-idle", "5s"]),
    ("access-log = '-'", &["--access-log", "-"]),
    ("log-format = 'json'", &["--log-format", "json"]),
    ("header-timeout = '1m'", &["--header-timeout", "1m"]),
    ("body-timeout = '1m'", &["--body-timeout", "1m"]),
    ("max-body = 0", &["--max-body", "0"]),
    ("idle-timeout = '1h'", &["--idle-timeout", "1h"]),
    ("send-timeout = '1m'", &["--send-timeout", "1m"]),
    ("min-send-rate = 0", &["--min-send-rate", "0"]),
    ("disk-timeout = '1m'\ndisk-threads = 7", &["--disk-timeout", "1m", "--disk-threads", "7"]),
    ("drain-timeout = '0s'", &["--drain-timeout", "0s"]),
];

#[test]
fn every_option_of_a_file_is_as_if_it_were_typed() {
    let usual = served(&[], &[]);
    for (text, typed) in SAME {
        let expected = served(&[], typed);
        assert_eq!(served(&[&file(text)], &[]), expected, "{text}");
        assert_ne!(expected, usual, "{text} would say nothing, for it is the default");
    }
    let definition = ServeArguments::augment_args(Command::new("sendrail"));
    for key in definition.get_arguments().filter_map(key) {
        let is_said = |text: &str| text.lines().any(|line| line.starts_with(&format!("{key} =")));
        assert!(SAME.iter().any(|(text, _)| is_said(text)), "{key} is not in this test");
    }
}

#[test]
fn what_was_typed_wins_and_then_the_later_file() {
    let early = file("dir = '/early'\nwindow = '1m'\nindex = ['a', 'b']\nworkers = 2");
    let late = file("window = '4m'\nindex = 'c'\nlisten = '127.0.0.1:1'");
    let all = served(&[&early, &late], &["/typed", "--workers", "3", "--listen", "127.0.0.1:2"]);
    let expected = ["/typed", "--window", "4m", "--index", "c", "--workers", "3"];
    let expected = [&expected[..], &["--listen", "127.0.0.1:2"]].concat();
    assert_eq!(all, served(&[], &expected));
    // Typed as it is by default, it wins as well.
    assert_eq!(
        served(&[&early], &["/early", "--window", "2m", "--index", "a", "--workers", "2"]),
        { served(&[], &["/early", "--index", "a", "--workers", "2"]) }
    );
    assert_eq!(
        served(&[&file("# nothing\n")], &["--workers", "1"]),
        served(&[], &["--workers", "1"])
    );
}

#[test]
fn what_is_wrong_is_said_of_its_line() {
    for (text, said) in [
        ("\nwindow = '1t'", ":2: window = \"1t\": \"t\" is no unit of size: use k, m or g"),
        ("window = -1", ":1: window = -1: not a size"),
        ("\r\n\r\nworkers = 'many'", ":3: workers = \"many\": must be a whole number, 0 or more"),
        ("method = 'x'", ":1: method = \"x\": must be one of auto, copy, uncached"),
        ("listing = 1", ":1: listing = 1: must be one of on, off"),
        ("send-timeout = 10", ":1: send-timeout = 10: a duration needs a unit"),
        ("listen = [\n'127.0.0.1:0',\n'x']", ":3: listen = \"x\": invalid socket address"),
        ("dir = ''", ":1: dir = \"\": a value is required"),
        ("cache-control = 'x'\nwindo = 1", ":2: \"windo\" is no option; did you mean window?"),
        ("disk_threads = 1", ":1: \"disk_threads\" is no option; did you mean disk-threads?"),
        ("zzz = 1", ":1: \"zzz\" is no option; there are dir, listen, "),
        ("'listen=1' = 1", ":1: \"listen=1\" is no option; there are dir, "),
        ("help = 1", ":1: \"help\" is no option; there are dir, "),
        ("\"a\\nb\" = 1", ":1: \"a\\nb\" is no option; there are dir, "),
        ("[serve]\nwindow = 1", ":1: \"serve\" is no option; "),
        ("config = 'a'", ":1: config: a file cannot name another"),
        ("window = 1.5", ":1: window: must be a string or a whole number, not a number with"),
        ("window = 2026-11-22", ":1: window: must be a string or a whole number, not a date"),
        ("window.a = 1", ":1: window: must be a string or a whole number, not a table"),
        ("window = ['1m']", ":1: window: takes one value, not a list"),
        ("window = true", ":1: window: true and false are for options that are on or off"),
        ("index = [['a']]", ":1: index: must be a string or a whole number, not a list"),
        ("listen = []", ":1: listen: the list is empty"),
        ("window = 1\n\nwindow = 2", ":3: duplicate key: window"),
        ("window = 2m", ":1: "),
        ("window", ":1: "),
        ("window = '1m", ":1: "),
    ] {
        let problem = refusal(text);
        assert!(problem.starts_with(said), "{text:?}: {problem}");
        assert_eq!(problem.lines().count(), 1, "{problem}");
    }
    assert_eq!(refusal(b"window = 1\n# \xff"), ":2: is not UTF-8");
    // The first line that is wrong, whatever the names.
    assert!(refusal("zz = 1\naa = 1").starts_with(":1: \"zz\""));
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.toml");
    let large = folder.path().join("large.toml");
    fs::write(&large, vec![b'#'; LONGEST as usize + 1]).unwrap();
    let just = folder.path().join("just.toml");
    fs::write(&just, vec![b'#'; LONGEST as usize]).unwrap();
    assert!(read(&just).unwrap().is_empty());
    for (path, why) in [
        (missing.as_path(), "No such file"),
        (folder.path(), "Is a directory"),
        (&large, "over 1 MiB"),
        (Path::new("/dev/zero"), "over 1 MiB"),
    ] {
        let said = read(path).unwrap_err().to_string();
        assert!(said.starts_with(&format!("--config {}: ", path.display())), "{said}");
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn later_problems_find_their_line() {
    let file = file("\nwindow = 1\nmutable = 'copy'\ndir = '/x'\nopen-files = 9");
    let typed = ["--open-files", "8"];
    let (_, places) = completed::<ServeArguments>(&[&file], &typed).unwrap();
    let at = |line: usize, sentence: &str| format!("{}:{line}: {sentence}", file.path().display());
    let of = |sentence: &str| places.of(Problem::new(sentence)).to_string();
    assert_eq!(of("--window 1: too little"), at(2, "--window 1: too little"));
    assert_eq!(of("no (see --mutable)"), at(3, "no (see --mutable)"));
    assert_eq!(
        of("--method x: not with --mutable copy"),
        at(3, "--method x: not with --mutable copy")
    );
    for sentence in ["--open-files 8", "--window-x 1", "/x: none", "--", "--workers 0"] {
        assert_eq!(of(sentence), sentence);
    }
    assert_eq!(places.of(Problem::new("/x: none").about("dir")).to_string(), at(4, "/x: none"));
    assert_eq!(places.of(Problem::new("x").about("listen")).to_string(), "x");
}

#[test]
fn explain_takes_what_it_knows_of_a_file_and_checks_the_rest() {
    let usual = file("workers = 2\ndir = '/srv'\nring-depth = 3\nmutable = 'copy'");
    let (explained, _) = completed::<ExplainArguments>(&[&usual], &["a.html"]).unwrap();
    assert_eq!((explained.path.to_str(), explained.sending.ring_depth), (Some("a.html"), 3));
    assert_eq!(explained.mutable.mutable, crate::cli::MutableChoice::Copy);
    let wrong = file("workers = 'x'");
    let problem = completed::<ExplainArguments>(&[&wrong], &["a.html"]).unwrap_err();
    assert!(problem.to_string().contains(":1: workers = \"x\""), "{problem}");
}

proptest! {
    #[test]
    fn whatever_a_file_says_ends_in_options_or_in_one_line(text in "[a-z\\-='\"\\[\\]0-9 \n.#]{0,60}") {
        let file = file(&text);
        if let Err(problem) = completed::<ServeArguments>(&[&file], &[]) {
            let said = problem.to_string();
            prop_assert_eq!(said.lines().count(), 1, "{}", said);
            prop_assert!(said.starts_with(&format!("{}:", file.path().display())), "{}", said);
        }
    }

    #[test]
    fn a_text_reaches_its_option_as_it_is(value in "\\PC{1,40}") {
        let quoted = toml_string(&value);
        let file = file(format!("cache-control = {quoted}\nindex = [{quoted}]"));
        let (all, _) = completed::<ServeArguments>(&[&file], &[]).unwrap();
        prop_assert_eq!(all.cache_control.as_deref(), Some(value.as_str()));
        prop_assert_eq!(all.index, vec![value]);
    }
}

/// A basic string of TOML: printable characters need no escape but these two.
fn toml_string(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
