//! What is left behind, and when it goes.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use sendrail_files::{
    ArrivalError, Dotfiles, Found, LandingOptions, OpenError, Order, ResumableTerms, Resumed, Root,
    RootOptions, Terms,
};

use crate::{landing, landing_with, len, names, options, temp};

fn set_back(path: &std::path::Path, by: Duration) {
    let file = File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now().checked_sub(by).unwrap()).unwrap();
}

#[test]
fn what_nobody_goes_on_with_is_kept_for_a_while() {
    let temp = temp();
    let landing = landing(temp.path());
    let ids = ["old", "young", "held"].map(|name| {
        let upload = landing.create(name.as_bytes(), len(3), ResumableTerms::default()).unwrap();
        upload.file().write_all(&name.as_bytes()[..1]).unwrap();
        upload.id()
    });
    let at = |id| temp.path().join(format!(".uploads/{id}"));
    for id in [ids[0], ids[2]] {
        set_back(&at(id), Duration::from_hours(1));
    }
    assert!(matches!(landing.resume(ids[0], None), Err(ArrivalError::NotFound)), "expired");
    set_back(&at(ids[2]), Duration::from_mins(59));
    let Resumed::Open(held) = landing.resume(ids[2], None).unwrap() else { panic!() };
    set_back(&at(ids[2]), Duration::from_hours(1));
    assert_eq!(landing.used(), 9);
    let swept = landing.sweep().unwrap();
    assert_eq!((swept.removed, swept.bytes, swept.unfinished), (1, 1, 2));
    assert_eq!(landing.used(), 6);
    drop(held);
    assert_eq!(landing.sweep().unwrap().removed, 1);
    let left = [format!("{}", ids[1]), format!("{}.about", ids[1])];
    assert_eq!(names(&temp.path().join(".uploads")), left);
}

#[test]
fn results_are_remembered_for_a_while() {
    let temp = temp();
    let landing = landing(temp.path());
    let mut upload = landing.create(b"a", Terms::default(), ResumableTerms::default()).unwrap();
    upload.complete(None).unwrap();
    let id = upload.id();
    drop(upload);
    assert_eq!(landing.sweep().unwrap().removed, 0);
    assert!(matches!(landing.resume(id, None), Ok(Resumed::Completed(_))));
    set_back(&temp.path().join(format!(".uploads/{id}.about")), Duration::from_hours(1));
    assert_eq!(landing.sweep().unwrap().removed, 1);
    assert!(matches!(landing.resume(id, None), Err(ArrivalError::NotFound)));
    assert!(temp.path().join("a").exists());
}

#[test]
fn what_a_killed_process_left_goes_at_once_and_nothing_else_does() {
    let temp = temp();
    let directory = temp.path().join(".uploads");
    fs::create_dir(&directory).unwrap();
    let id = "00112233445566778899aabbccddeeff";
    for name in [id, &format!("{id}.part"), &format!("{id}.new")] {
        fs::write(directory.join(name), "left").unwrap();
    }
    let foreign = ["README", "00112233", "00112233445566778899aabbccddeeff.txt", "x.about"];
    for name in foreign {
        fs::write(directory.join(name), "not ours").unwrap();
    }
    let held = File::create(directory.join(format!("{}.part", id.replace('0', "f")))).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    landing(temp.path());
    let mut left: Vec<_> = foreign.map(str::to_owned).into();
    left.push(format!("{}.part", id.replace('0', "f")));
    left.sort();
    assert_eq!(names(&directory), left);
    assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o7777, 0o700, "whoever made it");
}

#[test]
fn damaged_uploads_go_when_their_time_has_come() {
    let temp = temp();
    let keep = Duration::from_mins(1);
    let landing = landing_with(temp.path(), LandingOptions { keep, ..options() });
    let id = landing.create(b"a", len(5), ResumableTerms::default()).unwrap().id();
    fs::write(temp.path().join(format!(".uploads/{id}.about")), "damaged").unwrap();
    assert_eq!(landing.sweep().unwrap().removed, 0);
    set_back(&temp.path().join(format!(".uploads/{id}")), keep);
    landing.sweep().unwrap();
    assert!(names(&temp.path().join(".uploads")).is_empty());
}

#[test]
fn the_hidden_directory_may_be_removed_by_somebody() {
    let temp = temp();
    let landing = landing(temp.path());
    let first = landing.create(b"a", Terms::default(), ResumableTerms::default()).unwrap();
    let id = first.id();
    drop(first);
    fs::remove_dir_all(temp.path().join(".uploads")).unwrap();
    assert!(matches!(landing.resume(id, None), Err(ArrivalError::NotFound)));
    let mut second = landing.create(b"a", Terms::default(), ResumableTerms::default()).unwrap();
    second.complete(None).unwrap();
    assert!(temp.path().join("a").exists());
}

/// Whoever may read the directory would else find the names that are to be guessed by nobody.
#[test]
fn unfinished_uploads_are_served_under_no_policy() {
    let temp = temp();
    let landing = landing(temp.path());
    let id = landing.create(b"a", Terms::default(), ResumableTerms::default()).unwrap().id();
    for dotfiles in [Dotfiles::Deny, Dotfiles::Serve] {
        let root =
            Root::open(temp.path(), RootOptions { dotfiles, ..RootOptions::default() }).unwrap();
        for path in
            [".uploads".to_owned(), format!(".uploads/{id}"), format!(".uploads/{id}.about")]
        {
            assert!(matches!(root.find(path.as_bytes()), Err(OpenError::NotFound)), "{path}");
        }
        let Found::Directory(directory) = root.find(b"").unwrap() else { panic!() };
        let listed = directory.list().unwrap().json("/", Order::default());
        assert!(!String::from_utf8(listed).unwrap().contains("uploads"));
    }
}
