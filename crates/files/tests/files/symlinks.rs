//! Symbolic links under each policy, with and without openat2.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use sendrail_files::{Found, Symlinks};

use crate::tree::{CANARY, Tree, contents, has_openat2, outcome};

fn linked() -> Tree {
    let tree = Tree::new();
    tree.write("file", "inside").write("dir/inner", "inside").mkdir("sub");
    tree.link("to-file", "file").link("to-dir", "dir").link("to-link", "to-file");
    tree.link("sub/across", "../file").link("sub/top", "..");
    tree.link("up-and-back", "../root/file");
    tree.link("absolute-inside", tree.at("file"));
    tree.link("absolute-outside", tree.outside().join("canary"));
    tree.link("relative-outside", "../outside/canary").link("dir-outside", "../outside");
    tree.link("dangling", "nowhere").link("loop", "loop");
    tree.link("loop-a", "loop-b").link("loop-b", "loop-a");
    tree.link("magic", "/proc/self/root").link("magic-fd", "/proc/self/fd/0");
    tree
}

/// Under each policy with openat2, and without it (where every policy gives the same).
#[rustfmt::skip]
const TABLE: [(&str, &str, &str, &str, &str); 19] = [
    // path                   deny         same root    follow       walk
    ("file",                 "file",      "file",      "file",      "file"),
    ("dir/inner",            "file",      "file",      "file",      "file"),
    ("to-file",              "forbidden", "file",      "file",      "forbidden"),
    ("to-link",              "forbidden", "file",      "file",      "forbidden"),
    ("to-dir",               "forbidden", "directory", "directory", "forbidden"),
    ("to-dir/inner",         "forbidden", "file",      "file",      "forbidden"),
    ("sub/across",           "forbidden", "file",      "file",      "forbidden"),
    ("sub/top",              "forbidden", "directory", "directory", "forbidden"),
    ("sub/top/dir/inner",    "forbidden", "file",      "file",      "forbidden"),
    ("up-and-back",          "forbidden", "forbidden", "file",      "forbidden"),
    ("absolute-inside",      "forbidden", "forbidden", "file",      "forbidden"),
    ("absolute-outside",     "forbidden", "forbidden", "file",      "forbidden"),
    ("relative-outside",     "forbidden", "forbidden", "file",      "forbidden"),
    ("dir-outside/canary",   "forbidden", "forbidden", "file",      "forbidden"),
    ("dangling",             "forbidden", "absent",    "absent",    "forbidden"),
    ("loop",                 "forbidden", "forbidden", "forbidden", "forbidden"),
    ("loop-a",               "forbidden", "forbidden", "forbidden", "forbidden"),
    ("magic",                "forbidden", "forbidden", "forbidden", "forbidden"),
    ("magic-fd",             "forbidden", "forbidden", "forbidden", "forbidden"),
];

const POLICIES: [Symlinks; 3] = [Symlinks::Deny, Symlinks::SameRoot, Symlinks::Follow];

#[test]
fn every_link_under_every_policy() {
    let tree = linked();
    if !has_openat2(&tree, "every_link_under_every_policy") {
        return;
    }
    for (path, deny, same_root, follow, _) in TABLE {
        for (symlinks, expected) in POLICIES.into_iter().zip([deny, same_root, follow]) {
            let found = tree.root(symlinks).find(path.as_bytes());
            assert_eq!(outcome(&found), expected, "{path} under {symlinks:?}");
        }
    }
    // The other way round too: the canary is really there to be found.
    let found = tree.root(Symlinks::Follow).find(b"relative-outside").unwrap();
    assert_eq!(contents(&found), CANARY);
}

#[test]
fn without_openat2_no_link_is_followed() {
    let tree = linked();
    for (path, _, _, _, expected) in TABLE {
        for symlinks in POLICIES {
            let found = tree.walking(symlinks).find(path.as_bytes());
            assert_eq!(outcome(&found), expected, "{path} under {symlinks:?}");
        }
    }
}

/// A listing shows exactly what a request would get.
#[test]
fn listings_and_requests_agree() {
    let tree = linked();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        tree.at("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    tree.write(".hidden", "").mkdir(".well-known").mkdir("sub/.well-known").write("caf\u{e9}", "");
    for root in tree.all_roots() {
        for directory in ["", "sub"] {
            let Found::Directory(listed) = root.find(directory.as_bytes()).unwrap() else {
                panic!("{directory} is a directory")
            };
            let shown: BTreeSet<_> =
                listed.list().unwrap().entries.into_iter().map(|entry| entry.name).collect();
            let there: BTreeSet<_> = fs::read_dir(tree.at(directory))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().as_bytes().to_vec())
                .filter(|name| {
                    let mut path = directory.as_bytes().to_vec();
                    path.extend(if directory.is_empty() { &b""[..] } else { b"/" });
                    path.extend(name);
                    root.find(&path).is_ok()
                })
                .collect();
            assert_eq!(shown, there, "{directory:?} under {:?}", root.options());
            assert!(!there.is_empty() || directory == "sub");
        }
    }
}
