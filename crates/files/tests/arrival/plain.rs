//! Files that arrive in one go: what is there before, between and after.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use sendrail_files::{
    ArrivalError, Condition, Digest, Dotfiles, Found, Landing, LandingError, Root, RootOptions,
    Symlinks, Terms,
};

use crate::{arriving, both, landing, len, names, options, pattern, put, temp};

#[test]
fn nothing_is_there_until_all_of_it_is() {
    let temp = temp();
    let landing = landing(temp.path());
    let bytes = pattern(100_000, 1);
    let arrival = arriving(&landing, "a.bin", &bytes);
    assert!(names(temp.path()).iter().all(|name| name == ".uploads"));
    let stored = arrival.finish().unwrap();
    assert!(stored.created);
    assert_eq!(fs::read(temp.path().join("a.bin")).unwrap(), bytes);
    let metadata = fs::metadata(temp.path().join("a.bin")).unwrap();
    assert_eq!((stored.facts.len, stored.facts.inode), (100_000, metadata.ino()));
    let Found::File(found) =
        Root::open(temp.path(), RootOptions::default()).unwrap().find(b"a.bin").unwrap()
    else {
        panic!("it is a file")
    };
    assert!(found.facts().same_version(&stored.facts), "a GET sees the same version");
}

#[test]
fn what_is_dropped_leaves_nothing() {
    let temp = temp();
    for landing in both(temp.path()) {
        drop(arriving(&landing, "a.bin", b"some of it"));
        assert!(names(&temp.path().join(".uploads")).is_empty());
        assert_eq!(names(temp.path()).iter().filter(|name| *name != ".uploads").count(), 0);
        assert_eq!(landing.used(), 0);
    }
}

#[test]
fn a_file_is_replaced_and_its_readers_go_on() {
    let temp = temp();
    let path = temp.path().join("a");
    for landing in both(temp.path()) {
        assert!(put(&landing, "a", b"old").created);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o4640)).unwrap();
        let mut reader = File::open(&path).unwrap();
        assert!(!put(&landing, "a", b"newer").created);
        let mut old = String::new();
        reader.read_to_string(&mut old).unwrap();
        assert_eq!((old.as_str(), fs::read(&path).unwrap()), ("old", b"newer".to_vec()));
        let mode = fs::metadata(&path).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o640, "as the one before, but for the privilege");
        assert!(names(&temp.path().join(".uploads")).is_empty());
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_new_file_has_the_permissions_that_any_program_would_give_it() {
    let temp = temp();
    for landing in both(temp.path()) {
        put(&landing, "a", b"");
        File::create(temp.path().join("b")).unwrap();
        let mode = |name| fs::metadata(temp.path().join(name)).unwrap().mode();
        assert_eq!(mode("a"), mode("b"));
        fs::remove_file(temp.path().join("a")).unwrap();
    }
}

#[test]
fn shorter_or_longer_than_announced_is_nothing() {
    let temp = temp();
    let landing = landing(temp.path());
    for (announced, bytes) in [(4, &b"abc"[..]), (2, b"abc"), (0, b"abc")] {
        let arrival = landing.begin(b"a", len(announced)).unwrap();
        let mut file = arrival.file();
        file.write_all(bytes).unwrap();
        let error = arrival.finish().unwrap_err();
        let expected = (announced as u64, 3);
        assert!(
            matches!(error, ArrivalError::Length { announced, arrived } if (announced, arrived) == expected),
            "{error}"
        );
    }
    let mut arrival = landing.begin(b"a", len(3)).unwrap();
    assert_eq!(arrival.claim(3).unwrap(), 3);
    assert!(matches!(arrival.claim(4), Err(ArrivalError::Length { announced: 3, arrived: 4 })));
    drop(arrival);
    assert!(!temp.path().join("a").exists());
}

#[test]
fn what_must_be_absent_is_not_replaced() {
    let temp = temp();
    let landing = landing(temp.path());
    let only_if_absent = || Terms { only_if_absent: true, ..Terms::default() };
    let first = landing.begin(b"a", only_if_absent()).unwrap();
    let second = landing.begin(b"a", only_if_absent()).unwrap();
    first.file().write_all(b"first").unwrap();
    assert!(first.finish().unwrap().created);
    assert!(matches!(second.finish(), Err(ArrivalError::PreconditionFailed)));
    assert!(matches!(landing.begin(b"a", only_if_absent()), Err(ArrivalError::PreconditionFailed)));
    assert_eq!(fs::read(temp.path().join("a")).unwrap(), b"first");
    symlink("nowhere", temp.path().join("link")).unwrap();
    let refused = landing.begin(b"link", only_if_absent());
    assert!(matches!(refused, Err(ArrivalError::PreconditionFailed)), "a link is something");
}

#[test]
fn what_is_there_must_be_what_was_asked_for_twice() {
    let temp = temp();
    let landing = landing(temp.path());
    let is_of_len = |len| Condition::new(move |now| now.is_some_and(|now| now.len == len));
    let terms = |len| Terms { only_if: Some(is_of_len(len)), ..Terms::default() };
    assert!(matches!(landing.begin(b"a", terms(3)), Err(ArrivalError::PreconditionFailed)));
    put(&landing, "a", b"abc");
    assert!(matches!(landing.begin(b"a", terms(4)), Err(ArrivalError::PreconditionFailed)));
    let arrival = landing.begin(b"a", terms(3)).unwrap();
    put(&landing, "a", b"abcd");
    assert!(matches!(arrival.finish(), Err(ArrivalError::PreconditionFailed)));
    assert!(landing.begin(b"a", terms(4)).unwrap().finish().is_ok());
}

#[test]
fn links_are_replaced_and_not_followed() {
    let (temp, outside) = (temp(), temp());
    fs::write(outside.path().join("secret"), "secret").unwrap();
    fs::write(temp.path().join("b"), "b").unwrap();
    fs::create_dir(temp.path().join("directory")).unwrap();
    for (name, to) in
        [("inside", "b".as_ref()), ("outside", outside.path().join("secret").as_path())]
    {
        symlink(to, temp.path().join(name)).unwrap();
    }
    symlink("directory", temp.path().join("to-directory")).unwrap();
    symlink(outside.path(), temp.path().join("away")).unwrap();
    for symlinks in [Symlinks::SameRoot, Symlinks::Follow, Symlinks::Deny] {
        let policy = RootOptions { symlinks, ..RootOptions::default() };
        let root = Root::open(temp.path(), policy).unwrap();
        let landing = Landing::open(&root, b"", options()).unwrap();
        for name in ["inside", "outside"] {
            put(&landing, name, b"new");
            let at = temp.path().join(name);
            assert!(!fs::symlink_metadata(&at).unwrap().is_symlink());
            assert_eq!(fs::read(at).unwrap(), b"new");
        }
        let refused = landing.begin(b"away/secret", Terms::default());
        assert!(matches!(refused, Err(ArrivalError::BadName { .. })), "{symlinks:?}: {refused:?}");
        if symlinks != Symlinks::Deny {
            let refused = landing.begin(b"to-directory", Terms::default());
            assert!(matches!(refused, Err(ArrivalError::IsDirectory)), "{refused:?}");
        }
    }
    assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"secret");
    assert_eq!(fs::read(temp.path().join("b")).unwrap(), b"b");
}

#[test]
fn names_that_no_file_can_have() {
    let temp = temp();
    fs::create_dir_all(temp.path().join("a/b")).unwrap();
    fs::write(temp.path().join("file"), "").unwrap();
    let long = "n".repeat(256);
    for dotfiles in [Dotfiles::Deny, Dotfiles::Serve] {
        let policy = RootOptions { dotfiles, ..RootOptions::default() };
        let root = Root::open(temp.path(), policy).unwrap();
        let landing = Landing::open(&root, b"", options()).unwrap();
        let refused = |path: &[u8]| landing.begin(path, Terms::default()).unwrap_err();
        for path in [
            &b"../a"[..],
            b"/a",
            b"a//b",
            b"a/../b",
            b"a\0b",
            b".",
            b".uploads",
            b"a/.uploads/x",
            long.as_bytes(),
        ] {
            let error = refused(path);
            let shown = String::from_utf8_lossy(path);
            assert!(matches!(error, ArrivalError::BadName { .. }), "{shown}: {error:?}");
        }
        for path in ["", "a", "a/b"] {
            assert!(matches!(refused(path.as_bytes()), ArrivalError::IsDirectory), "{path}");
        }
        for path in ["c/d", "file/d"] {
            assert!(matches!(refused(path.as_bytes()), ArrivalError::NoParent), "{path}");
        }
        let hidden = landing.begin(b"a/.hidden", Terms::default());
        assert_eq!(hidden.is_ok(), dotfiles == Dotfiles::Serve);
        put(&landing, "a/b/c", b"deep");
    }
    assert_eq!(fs::read(temp.path().join("a/b/c")).unwrap(), b"deep");
    let fifo = temp.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    let refused = landing(temp.path()).begin(b"fifo", Terms::default());
    assert!(matches!(refused, Err(ArrivalError::NotAFile { .. })), "{refused:?}");
}

#[test]
fn a_directory_that_vanishes_while_a_file_arrives() {
    let temp = temp();
    fs::create_dir(temp.path().join("d")).unwrap();
    let landing = landing(temp.path());
    let arrival = arriving(&landing, "d/a", b"abc");
    fs::remove_dir(temp.path().join("d")).unwrap();
    let error = arrival.finish().unwrap_err();
    assert!(matches!(error, ArrivalError::NoParent), "{error:?}");
}

#[test]
fn digests_are_of_all_that_arrived() {
    let temp = temp();
    let landing = landing(temp.path());
    // printf abc | sha256sum; printf abc | sha512sum (FIPS 180-4, appendix)
    let sha256 = unhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    let sha512 = unhex(
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
         2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    );
    let both = [("sha-256", &sha256), ("sha-512", &sha512)];
    let digests: Vec<_> = both.map(|(name, sum)| Digest::new(name, sum).unwrap()).into();
    arriving(&landing, "a", b"abc").verify(&digests).unwrap();
    for wrong in &digests {
        let error =
            arriving(&landing, "a", b"abd").verify(std::slice::from_ref(wrong)).unwrap_err();
        assert!(
            matches!(error, ArrivalError::Digest { algorithm } if algorithm == wrong.algorithm()),
            "{error}"
        );
    }
    // Longer than what is read at once, and no multiple of it.
    let bytes = pattern(1_000_003, 7);
    let mut digesting = sendrail_files::Digesting::new(digests.clone());
    digesting.update(&bytes);
    assert!(digesting.finish().is_err());
    assert!(arriving(&landing, "a", &bytes).verify(&digests).is_err());
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte| (byte as char).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

#[test]
fn a_landing_that_is_none_says_why() {
    let temp = temp();
    fs::write(temp.path().join("file"), "").unwrap();
    fs::create_dir(temp.path().join(".hidden")).unwrap();
    let root = Root::open(temp.path(), RootOptions::default()).unwrap();
    let open = |path: &[u8]| Landing::open(&root, path, options()).unwrap_err();
    assert!(matches!(open(b"absent"), LandingError::DoesNotExist { .. }));
    assert!(matches!(open(b"file"), LandingError::NotADirectory { .. }));
    assert!(matches!(open(b".hidden"), LandingError::Forbidden { .. }));
    assert!(open(b"absent").to_string().ends_with("absent does not exist"));
}
