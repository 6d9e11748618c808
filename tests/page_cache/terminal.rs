//! What a person sees: on a terminal, and where it goes elsewhere.

use super::*;
use crate::harness::terminal::on_terminal;

/// A tree in memory of `files` files with long names, each resident in part.
fn tree(files: u64) -> Option<TempDir> {
    let directory = in_memory()?;
    let deep = directory.path().join("a-directory-with-a-long-name/and-another-one-beneath-it");
    fs::create_dir_all(&deep).unwrap();
    for at in 0..files {
        sparse(&deep.join(format!("{at:0>40}")), 100, 0..50 + at % 50);
    }
    Some(directory)
}

/// What is on a line, without colours.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut parts = line.split("\u{1b}[");
    plain.push_str(parts.next().unwrap());
    for part in parts {
        plain.push_str(part.split_once(['m', 'K', 'G']).map_or("", |(_, rest)| rest));
    }
    plain
}

#[test]
fn it_fits_the_terminal() {
    let Some(directory) = tree(100) else { return };
    for (columns, rows) in [(60, 24), (80, 24), (120, 50), (300, 5)] {
        let (status, said) = on_terminal(cache([directory.path()]), columns, rows);
        assert!(status.success(), "{said}");
        for line in said.lines() {
            let width = line.chars().count();
            assert!(width <= columns as usize, "{width} of {columns} columns: {line}");
        }
        let lines = said.lines().count();
        assert!(lines < usize::from(rows.max(20)), "{lines} lines of {rows}:\n{said}");
        assert!(said.contains("more files") && said.contains("100 files, in"), "{said}");
        let clipped = said.lines().nth(1).unwrap();
        assert_eq!(clipped.contains('…'), columns < 300, "{clipped}");
    }
    // A file has no width and no height: nothing is cut.
    let said = table([directory.path()]);
    assert_eq!(said.lines().filter(|line| line.contains("/a-directory-with")).count(), 100);
    assert!(!said.contains("more files"), "{said}");
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let Some(directory) = tree(3) else { return };
    let with = |name: Option<&str>, value: &str| {
        let mut command = cache([directory.path()]);
        command.env_remove("NO_COLOR").env("TERM", "xterm");
        if let Some(name) = name {
            command.env(name, value);
        }
        command
    };
    let (_, coloured) = on_terminal(with(None, ""), 100, 30);
    assert!(coloured.contains("\u{1b}[32m█"), "{coloured:?}");
    let (_, coloured) = on_terminal(with(Some("NO_COLOR"), ""), 100, 30);
    assert!(coloured.contains('\u{1b}'), "an empty NO_COLOR is none (no-color.org)");
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let (_, said) = on_terminal(with(Some(name), value), 100, 30);
        assert!(!said.contains('\u{1b}'), "{name}={value}: {said:?}");
    }
    let elsewhere = with(None, "").output().unwrap();
    assert!(!String::from_utf8(elsewhere.stdout).unwrap().contains('\u{1b}'));
    let mut machine = with(None, "");
    machine.arg("--json");
    let (_, said) = on_terminal(machine, 100, 30);
    assert!(said.lines().all(|line| line.starts_with('{')), "{said:?}");
}

#[test]
fn progress_is_shown_on_a_terminal_while_it_lasts() {
    if !has("strace") {
        return;
    }
    let tree = Tree::new();
    let read = |json: bool| {
        for at in 0..8 {
            evict(&tree.file(&format!("file{at}"), vec![7; 9 << 20]));
        }
        // Each call takes a tenth of a second longer, so that it takes long enough to be shown.
        let slow = ["inject=sendfile:delay_exit=100000"];
        let arguments = [OsStr::new("--warm"), OsStr::new("--jobs=1"), tree.path().as_os_str()];
        let mut command = injected(&slow, arguments);
        if json {
            command.arg("--json");
        }
        command.env("TERM", "xterm");
        command
    };
    let (status, said) = on_terminal(read(false), 100, 30);
    assert!(status.success(), "{said}");
    assert!(said.contains("reading [") && said.contains("of 72.00 MiB"), "{said:?}");
    let table = said.lines().map(plain).collect::<Vec<_>>().join("\n");
    assert!(table.contains("8 files, in"), "{table}");
    let (_, said) = on_terminal(read(true), 100, 30);
    assert!(!said.contains("reading"), "machines need none: {said:?}");
    let output = read(false).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "nor does a file");
}
