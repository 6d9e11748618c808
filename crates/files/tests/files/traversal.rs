//! No path leads out of the root, and each kind of refusal has its name.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use sendrail_files::{Dotfiles, Found, OpenError, Root, RootError, RootOptions, Symlinks};

use crate::tree::{CANARY, StopOnDrop, Tree, contents, outcome, permissions_bind};

#[test]
fn plain_paths() {
    let tree = Tree::new();
    tree.write("a.txt", "hello").write("sub/dir/b.html", "deep").mkdir("empty");
    for root in tree.all_roots() {
        assert_eq!(outcome(&root.find(b"")), "directory");
        assert_eq!(outcome(&root.find(b"empty")), "directory");
        assert_eq!(contents(&root.find(b"a.txt").unwrap()), b"hello");
        let Found::File(deep) = root.find(b"sub/dir/b.html").unwrap() else { panic!() };
        assert_eq!(deep.media_type(), "text/html; charset=utf-8");
        let metadata = fs::metadata(tree.at("sub/dir/b.html")).unwrap();
        let facts = deep.facts();
        assert_eq!((facts.len, facts.inode, facts.device), (4, metadata.ino(), metadata.dev()));
        assert_eq!(facts.modified.seconds, metadata.mtime());
        assert_eq!(i64::from(facts.modified.nanoseconds), metadata.mtime_nsec());
        assert_eq!(facts.file_system, root.file_system());
        assert!(facts.observed >= facts.modified);

        assert_eq!(outcome(&root.find(b"absent")), "absent");
        assert_eq!(outcome(&root.find(b"sub/absent/b.html")), "absent");
        assert_eq!(outcome(&root.find(b"a.txt/b")), "absent", "a file has nothing beneath it");
    }
}

#[test]
fn paths_that_want_to_leave() {
    let tree = Tree::new();
    tree.write("sub/a.txt", "inside");
    let absolute = tree.outside().join("canary");
    let absolute = absolute.to_str().unwrap();
    for root in tree.all_roots() {
        for path in [
            "..",
            "../",
            "../outside/canary",
            "sub/../../outside/canary",
            "/",
            "/etc/passwd",
            "//etc/passwd",
            absolute,
            "./../outside/canary",
            "sub/./a.txt",
            "sub//a.txt",
            "sub/",
            "sub/..",
            "\0",
            "sub/a.txt\0.png",
            "sub\0/../../outside/canary",
        ] {
            assert_eq!(outcome(&root.find(path.as_bytes())), "forbidden", "{path:?}");
        }
        // Not special to the kernel, and so not here.
        for path in ["..\\outside\\canary", "%2e%2e/outside/canary", "...", "..;/outside/canary"] {
            assert_eq!(outcome(&root.find(path.as_bytes())), "absent", "{path:?}");
        }
    }
}

#[test]
fn names_are_bytes() {
    let tree = Tree::new();
    let names: [&[u8]; 9] = [
        b"<script>",
        b"a&b",
        b"\"x",
        b"c:d",
        b"%41",
        b"new\nline",
        b"caf\xe9",
        "日本".as_bytes(),
        b" ",
    ];
    for name in names {
        tree.write(name, name);
    }
    for root in tree.all_roots() {
        for name in names {
            assert_eq!(contents(&root.find(name).unwrap()), name);
        }
        assert_eq!(outcome(&root.find(b"A")), "absent", "%41 is a name here, not an escape");
    }
}

#[test]
fn names_have_a_greatest_length() {
    let tree = Tree::new();
    tree.write([b'a'; 255], "longest");
    for root in tree.all_roots() {
        assert_eq!(contents(&root.find(&[b'a'; 255]).unwrap()), b"longest");
        assert_eq!(outcome(&root.find(&[b'a'; 256])), "too long");
        assert_eq!(outcome(&root.find(&b"a/".repeat(3000)[..5999])), "too long");
        assert_eq!(outcome(&root.find(&b"a/".repeat(2000)[..3999])), "absent");
    }
}

#[test]
fn dot_files_are_hidden_unless_asked_for() {
    let tree = Tree::new();
    tree.write(".env", "secret").write(".git/config", "").write("sub/.htpasswd", "");
    tree.write(".well-known/security.txt", "public").write(".well-known/.secret", "");
    for root in tree.all_roots() {
        for path in [".env", ".git", ".git/config", "sub/.htpasswd", ".well-known/.secret"] {
            assert_eq!(outcome(&root.find(path.as_bytes())), "absent", "{path}");
        }
        assert_eq!(contents(&root.find(b".well-known/security.txt").unwrap()), b"public");
    }
    let open = RootOptions { dotfiles: Dotfiles::Serve, ..RootOptions::default() };
    let root = Root::open(&tree.top(), open).unwrap();
    assert_eq!(contents(&root.find(b".env").unwrap()), b"secret");
}

#[test]
fn an_open_file_outlives_its_name() {
    let tree = Tree::new();
    tree.write("a", "old and whole");
    let found = tree.root(Symlinks::SameRoot).find(b"a").unwrap();
    tree.replace("a", "new");
    assert_eq!(contents(&found), b"old and whole");
    assert_eq!(found.facts().len, 13);
    fs::remove_file(tree.at("a")).unwrap();
    assert_eq!(contents(&found), b"old and whole");
}

#[test]
fn a_root_outlives_its_name_too() {
    let tree = Tree::new();
    tree.write("a", "still here");
    let root = tree.root(Symlinks::SameRoot);
    fs::rename(tree.top(), tree.outside().join("moved")).unwrap();
    assert_eq!(contents(&root.find(b"a").unwrap()), b"still here");
}

#[test]
fn permissions_are_a_refusal_not_a_fault() {
    if !permissions_bind("permissions_are_a_refusal_not_a_fault") {
        return;
    }
    let tree = Tree::new();
    tree.write("secret", "").write("closed/a", "").write("no-listing/a", "fine");
    let chmod = |name: &str, mode| {
        fs::set_permissions(tree.at(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    chmod("secret", 0o000);
    chmod("closed", 0o000);
    chmod("no-listing", 0o111);
    for root in tree.all_roots() {
        assert_eq!(outcome(&root.find(b"secret")), "forbidden");
        assert_eq!(outcome(&root.find(b"closed/a")), "forbidden");
        assert_eq!(contents(&root.find(b"no-listing/a").unwrap()), b"fine");
        let Found::Directory(directory) = root.find(b"no-listing").unwrap() else { panic!() };
        assert!(matches!(directory.list(), Err(OpenError::Forbidden { .. })));
    }
    let closed = Root::open(&tree.at("closed"), RootOptions::default());
    assert!(matches!(closed, Err(RootError::NotReadable { .. })), "{closed:?}");
    let closed = Root::open_by_walk(&tree.at("closed"), RootOptions::default());
    assert!(matches!(closed, Err(RootError::NotReadable { .. })), "{closed:?}");
    chmod("closed", 0o700); // so that the tree can be removed
}

#[test]
fn what_cannot_be_a_root_says_why_in_one_line() {
    let tree = Tree::new();
    tree.write("a.txt", "");
    for open in [Root::open, Root::open_by_walk] {
        let absent = open(&tree.at("absent"), RootOptions::default()).unwrap_err();
        assert!(matches!(absent, RootError::DoesNotExist { .. }), "{absent:?}");
        let file = open(&tree.at("a.txt"), RootOptions::default()).unwrap_err();
        assert!(matches!(file, RootError::NotADirectory { .. }), "{file:?}");
        for (error, end) in [(absent, "absent does not exist"), (file, "a.txt is not a directory")]
        {
            let line = error.to_string();
            assert!(line.ends_with(end) && !line.contains('\n'), "{line}");
        }
    }
}

/// Someone swaps a directory for a link to the outside, as fast as the kernel can, while it is
/// being opened.
#[test]
fn a_race_cannot_be_won() {
    let tree = Tree::new();
    tree.write("flip/canary", "inside").link("other", tree.outside());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, tree.at("flip"), CWD, tree.at("other"), RenameFlags::EXCHANGE)
                    .unwrap();
            }
        });
        let _stop = StopOnDrop(&stop);
        for root in [tree.root(Symlinks::SameRoot), tree.walking(Symlinks::SameRoot)] {
            for _ in 0..3000 {
                match root.find(b"flip/canary") {
                    Ok(found) => assert_eq!(contents(&found), b"inside"),
                    Err(OpenError::Forbidden { .. } | OpenError::NotFound) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    });
}

fn any_path() -> impl Strategy<Value = Vec<u8>> {
    let segment = prop_oneof![
        4 => prop::sample::select(vec![
            "", ".", "..", "sub", "a.txt", "out", "abs", "up", "back", "loop", "canary", "outside",
            "root", "proc", "..\u{0}", "\u{0}",
        ])
        .prop_map(|name| name.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(segment, 0..8).prop_map(|segments| segments.join(&b'/'))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever the path, what opens is not the canary, and is beneath the root.
    #[test]
    fn no_path_opens_anything_outside(path in any_path()) {
        thread_local! {
            static SETTING: (Tree, Vec<Root>) = {
                let tree = Tree::new();
                tree.write("a.txt", "inside").write("sub/a.txt", "inside");
                tree.link("out", "../outside").link("abs", tree.outside()).link("up", "..");
                tree.link("sub/back", "../sub").link("sub/up", "../..").link("loop", "loop");
                tree.link("proc", "/proc/self/root");
                let mut roots = tree.all_roots();
                // Following links out of the root is what `Follow` is for.
                roots.retain(|root| root.options().symlinks != Symlinks::Follow);
                (tree, roots)
            };
        }
        SETTING.with(|(tree, roots)| {
            let outside = fs::metadata(tree.outside()).unwrap().ino();
            for root in roots {
                match root.find(&path) {
                    Ok(found @ Found::File(_)) => {
                        prop_assert_eq!(contents(&found), b"inside");
                        prop_assert_ne!(contents(&found), CANARY);
                    }
                    Ok(Found::Directory(directory)) => {
                        let inode = directory.facts().inode;
                        let top = fs::metadata(tree.top()).unwrap().ino();
                        let sub = fs::metadata(tree.at("sub")).unwrap().ino();
                        prop_assert!(inode == top || inode == sub);
                        prop_assert_ne!(inode, outside);
                    }
                    Err(OpenError::Io { doing, error }) => {
                        return Err(TestCaseError::fail(format!("{doing}: {error}")));
                    }
                    Err(_) => {}
                }
            }
            Ok(())
        })?;
    }
}
