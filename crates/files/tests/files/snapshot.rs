//! Snapshots: one moment of a file, whatever becomes of it; and what takes their place where there are none.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sendrail_files::{
    CacheOptions, CodingFlags, Entry, FileSystem, Found, Miss, Mutable, NoSnapshot, OpenFile,
    OpenFileCache, Root, RootOptions, Sibling, Siblings,
};

use crate::reflink::on_disks_that_clone;
use crate::tree::{StopOnDrop, Tree};

const SNAPSHOT: RootOptions = options(Mutable::Snapshot);

const fn options(mutable: Mutable) -> RootOptions {
    RootOptions {
        symlinks: sendrail_files::Symlinks::SameRoot,
        dotfiles: sendrail_files::Dotfiles::Deny,
        mutable,
    }
}

fn root_in(folder: &Path) -> Root {
    let root = Root::open(folder, SNAPSHOT).unwrap();
    assert_eq!(root.no_snapshots(), None);
    root
}

fn file_at(root: &Root, path: &str) -> OpenFile {
    match root.find(path.as_bytes()).unwrap() {
        Found::File(file) => file,
        Found::Directory(_) => panic!("{path} is a directory"),
    }
}

fn contents(file: &OpenFile) -> Vec<u8> {
    let mut bytes = vec![0; file.facts().len as usize + 1];
    let len = file.file().read_at(&mut bytes, 0).unwrap();
    bytes.truncate(len);
    bytes
}

/// Longer than a file must be left alone for its snapshot to be taken for the latest version.
fn let_it_rest() {
    thread::sleep(Duration::from_secs(4));
}

#[test]
fn a_snapshot_stays_what_it_was_and_has_the_facts_of_the_original() {
    on_disks_that_clone(
        "snapshot::a_snapshot_stays_what_it_was_and_has_the_facts_of_the_original",
        |folder| {
            let path = folder.join("a.txt");
            fs::write(&path, "version 1").unwrap();
            let there = fs::metadata(&path).unwrap();
            let root = root_in(folder);
            let file = file_at(&root, "a.txt");
            assert_eq!(file.mutable(), Mutable::Snapshot);
            assert_eq!(root.why_no_snapshot(&file), None);
            let facts = file.facts();
            assert_eq!(
                (facts.len, facts.device, facts.inode),
                (there.len(), there.dev(), there.ino())
            );
            assert_eq!(facts.modified.seconds, there.mtime());
            assert_eq!(root.path_of_original(file.file()).as_deref(), Some(&*path));
            let own = file.file().metadata().unwrap();
            assert_ne!(own.ino(), there.ino());
            assert_eq!((own.nlink(), own.mode() & 0o777), (0, 0o600));
            assert_eq!(file.media_type(), "text/plain; charset=utf-8");

            let original = File::options().write(true).open(&path).unwrap();
            let changes: [(&str, &dyn Fn()); 5] = [
                ("overwritten", &|| original.write_all_at(b"VERSION", 0).unwrap()),
                ("appended", &|| original.write_all_at(b"appended", 9).unwrap()),
                ("truncated", &|| original.set_len(0).unwrap()),
                ("replaced", &|| {
                    fs::write(folder.join("new"), "other").unwrap();
                    fs::rename(folder.join("new"), &path).unwrap();
                }),
                ("deleted", &|| fs::remove_file(&path).unwrap()),
            ];
            for (what, change) in changes {
                change();
                assert_eq!(contents(&file), b"version 1", "{what}");
            }
            assert_eq!(fs::read_dir(folder).unwrap().count(), 0, "it has left a name");
        },
    );
}

fn must_wait(cache: &mut OpenFileCache<()>, path: &[u8], now: Instant) -> Rc<Entry<()>> {
    match cache.lookup_at_once(path, now) {
        Err(Miss::MustWait(lookup, entry)) => {
            let looked = thread::spawn(|| lookup.make()).join().unwrap();
            cache.settle(looked, entry, now).entry.unwrap()
        }
        other => panic!("no snapshot had to be made: {other:?}"),
    }
}

fn open_file(entry: &Entry<()>) -> &OpenFile {
    let Found::File(file) = entry.found() else { panic!("{:?}", entry.found()) };
    file
}

#[test]
fn the_cache_makes_snapshots_where_it_may_sleep_and_only_for_new_versions() {
    on_disks_that_clone(
        "snapshot::the_cache_makes_snapshots_where_it_may_sleep_and_only_for_new_versions",
        |folder| {
            const SECOND: Duration = Duration::from_secs(1);
            let path = folder.join("a");
            fs::write(&path, "one").unwrap();
            let root = Arc::new(root_in(folder));
            let mut cache = OpenFileCache::<()>::new(Arc::clone(&root), CacheOptions::default());
            let mut now = Instant::now();
            let first = must_wait(&mut cache, b"a", now);
            assert_eq!(contents(open_file(&first)), b"one");
            // Believed like any other; nobody looks.
            fs::write(&path, "two").unwrap();
            let again = cache.lookup_at_once(b"a", now).unwrap();
            assert!(Rc::ptr_eq(&first, &again));
            // Changed, and when that is seen for the first time, a moment ago.
            now += SECOND;
            let second = must_wait(&mut cache, b"a", now);
            assert_eq!(contents(open_file(&second)), b"two");
            // Another change in the same tick of the clock would not be seen in its times.
            now += SECOND;
            let third = must_wait(&mut cache, b"a", now);
            assert_eq!(contents(open_file(&third)), b"two");
            assert_eq!(cache.counts().replaced, 2);

            let_it_rest();
            now += SECOND;
            let rested = must_wait(&mut cache, b"a", now);
            for _ in 0..3 {
                now += SECOND;
                let again = cache.lookup_at_once(b"a", now).expect("the version is the same");
                assert!(Rc::ptr_eq(&rested, &again));
            }
            assert_eq!((cache.counts().replaced, cache.counts().revalidated), (3, 3));
            // Another worker's cache shares the snapshot, and need not wait for it.
            let mut other = OpenFileCache::<()>::new(root, CacheOptions::default());
            let shared = other.lookup_at_once(b"a", now).expect("it is there");
            assert!(Arc::ptr_eq(open_file(&shared).file(), open_file(&rested).file()));
        },
    );
}

#[test]
fn many_who_ask_at_once_share_what_was_made_since() {
    on_disks_that_clone("snapshot::many_who_ask_at_once_share_what_was_made_since", |folder| {
        const MANY: usize = 16;
        let content = vec![7; 20 << 20];
        let root = root_in(folder);
        let mut made = 0;
        for round in 0..5 {
            let path = folder.join(format!("{round}"));
            fs::write(&path, &content).unwrap(); // to be written to the disk by the first of them
            let start = Barrier::new(MANY);
            let files: Vec<OpenFile> = thread::scope(|scope| {
                let ask = || {
                    start.wait();
                    file_at(&root, &round.to_string())
                };
                let asking: Vec<_> = (0..MANY).map(|_| scope.spawn(ask)).collect();
                asking.into_iter().map(|asking| asking.join().unwrap()).collect()
            });
            let mut inodes: Vec<u64> =
                files.iter().map(|file| file.file().metadata().unwrap().ino()).collect();
            inodes.sort_unstable();
            inodes.dedup();
            made += inodes.len();
            for file in files {
                assert_eq!(file.facts().len, content.len() as u64);
            }
        }
        // One each, or two where somebody came late to the first.
        assert!(made <= 5 * MANY / 2, "{made} snapshots of 5 versions");
    });
}

#[test]
fn of_a_file_that_never_rests_it_is_one_moment() {
    on_disks_that_clone("snapshot::of_a_file_that_never_rests_it_is_one_moment", |folder| {
        const LEN: usize = 3 << 20;
        let path = folder.join("a");
        fs::write(&path, vec![0; LEN]).unwrap();
        let root = root_in(folder);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let file = File::options().write(true).open(&path).unwrap();
                for version in (0_u8..=255).cycle() {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    // Of changing length, so that whatever the facts say has to be the clone's.
                    let len = LEN + 1000 * usize::from(version);
                    file.set_len(len as u64).unwrap();
                    file.write_all_at(&vec![version; len], 0).unwrap();
                }
            });
            let _stop = StopOnDrop(&stop);
            for _ in 0..50 {
                let file = file_at(&root, "a");
                let contents = contents(&file);
                assert_eq!(contents.len() as u64, file.facts().len);
                // Between the cut and the write it is the version before, cut or filled up with zeroes.
                let first = contents[0];
                let mixed = contents.iter().position(|byte| *byte != first && *byte != 0);
                assert_eq!(mixed, None, "a moment that never was");
            }
        });
    });
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn what_nobody_uses_is_closed_when_it_is_told_to_be() {
    on_disks_that_clone("snapshot::what_nobody_uses_is_closed_when_it_is_told_to_be", |folder| {
        let root = root_in(folder);
        let before = descriptors();
        assert!(!root.has_unused_snapshots());
        for name in ["a", "b", "c"] {
            fs::write(folder.join(name), name).unwrap();
        }
        let [a, b] = ["a", "b"].map(|name| file_at(&root, name));
        let c = file_at(&root, "c");
        drop((a, b));
        assert_eq!(descriptors(), before + 3, "closed by whoever came last");
        assert!(root.has_unused_snapshots());
        root.close_unused_snapshots();
        assert_eq!(descriptors(), before + 1);
        assert!(!root.has_unused_snapshots());
        assert_eq!(contents(&c), b"c");
        // An older version that is in use, too.
        fs::write(folder.join("c"), "C").unwrap();
        assert_eq!(contents(&file_at(&root, "c")), b"C");
        root.close_unused_snapshots();
        assert_eq!((contents(&c), descriptors()), (b"c".to_vec(), before + 1));
    });
}

#[test]
fn those_that_nobody_uses_make_room_when_no_descriptor_is_left() {
    on_disks_that_clone(
        "snapshot::those_that_nobody_uses_make_room_when_no_descriptor_is_left",
        |folder| {
            let root = Arc::new(root_in(folder));
            let mut cache = OpenFileCache::<()>::new(root, CacheOptions::default());
            let before = getrlimit(Resource::Nofile);
            setrlimit(Resource::Nofile, Rlimit { current: Some(40), ..before }).unwrap();
            for number in 0..100 {
                let name = number.to_string();
                fs::write(folder.join(&name), &name).unwrap();
                let entry = cache.lookup(name.as_bytes(), Instant::now()).unwrap();
                assert_eq!(contents(open_file(&entry)), name.as_bytes());
            }
            assert!(cache.counts().evicted > 0, "{:?}", cache.counts());
        },
    );
}

#[test]
fn a_look_at_siblings_takes_no_snapshots() {
    on_disks_that_clone("snapshot::a_look_at_siblings_takes_no_snapshots", |folder| {
        let root = root_in(folder);
        fs::write(folder.join("a.css"), "p {}").unwrap();
        fs::write(folder.join("a.css.gz"), "smaller").unwrap();
        let original = *file_at(&root, "a.css").facts();
        root.close_unused_snapshots();
        let siblings = Siblings::inspect(&root, b"a.css", &original);
        assert_eq!((siblings.gzip, siblings.zstd), (Sibling::Present, Sibling::Missing));
        assert!(Siblings::inspect_at_once(&root, b"a.css", &original).is_some());
        assert!(!root.has_unused_snapshots());
        let flags = CodingFlags { gzip: true, ..CodingFlags::default() };
        assert_eq!(siblings.flags(), flags);
    });
}

/// What the files say that there is no snapshot of: one line.
fn why(root: &Root, path: &str) -> Option<String> {
    let file = file_at(root, path);
    assert_eq!(file.mutable() == Mutable::Copy, root.why_no_snapshot(&file).is_some());
    root.why_no_snapshot(&file).as_ref().map(NoSnapshot::to_string)
}

#[test]
fn what_cannot_be_cloned_is_copied_and_the_rest_is_not() {
    on_disks_that_clone(
        "snapshot::what_cannot_be_cloned_is_copied_and_the_rest_is_not",
        |folder| {
            fs::write(folder.join("a"), "a").unwrap();
            fs::create_dir(folder.join("memory")).unwrap();
            let mount = Command::new("mount")
                .args(["-t", "tmpfs", "none"])
                .arg(folder.join("memory"))
                .status()
                .unwrap();
            assert!(mount.success());
            fs::write(folder.join("memory/b"), "b").unwrap();
            let root = root_in(folder);
            assert_eq!(why(&root, "a"), None);
            let refusal = "there are no snapshots from one file system to another (EXDEV)";
            assert_eq!(why(&root, "memory/b").as_deref(), Some(refusal));
            // From then on it is known, and nobody has to wait to hear it.
            let at_once = root.find_at_once(b"memory/b").unwrap();
            assert!(matches!(at_once, Some(Found::File(file)) if contents(&file) == b"b"));
            assert_eq!(why(&root, "a"), None);

            if root.file_system() == FileSystem::Btrfs {
                fs::create_dir(folder.join("nocow")).unwrap();
                let changed = Command::new("chattr").arg("+C").arg(folder.join("nocow")).status();
                assert!(changed.unwrap().success());
                fs::write(folder.join("nocow/c"), "c").unwrap();
                let refusal = "btrfs cannot make snapshots of every kind of file (EINVAL)";
                assert_eq!(why(&root, "nocow/c").as_deref(), Some(refusal));
                assert_eq!(why(&root, "a"), None);
            }
            // Made in another directory of the same file system they do as well, on another one they do not.
            fs::create_dir(folder.join("snapshots")).unwrap();
            let made_in = |directory: &str| {
                Root::open_with_snapshots_in(folder, SNAPSHOT, &folder.join(directory)).unwrap()
            };
            assert_eq!(why(&made_in("snapshots"), "a"), None);
            let elsewhere = made_in("memory");
            let refusal = elsewhere.no_snapshots().expect("tmpfs").to_string();
            assert_eq!(refusal, "snapshots cannot be had on tmpfs (EOPNOTSUPP)");
            assert_eq!(why(&elsewhere, "a"), Some(refusal));
        },
    );
}

#[test]
fn from_one_disk_to_another_there_are_none() {
    on_disks_that_clone("snapshot::from_one_disk_to_another_there_are_none", |folder| {
        // Another of the same kind, which could clone files of its own.
        let (image, at) = (folder.join("image"), folder.join("at"));
        fs::create_dir(&at).unwrap();
        File::create(&image).unwrap().set_len(400 << 20).unwrap();
        let made = Command::new("mkfs.xfs").arg("-qf").arg(&image).status();
        let mounted = Command::new("mount").args(["-o", "loop"]).args([&image, &at]).status();
        if !made.is_ok_and(|made| made.success()) || !mounted.unwrap().success() {
            eprintln!("skipped: no second disk");
            return;
        }
        fs::write(folder.join("a"), "a").unwrap();
        let root = Root::open_with_snapshots_in(folder, SNAPSHOT, &at).unwrap();
        let refusal = root.no_snapshots().expect("another file system");
        assert_eq!(refusal.errno(), rustix::io::Errno::XDEV.raw_os_error());
        assert_eq!(file_at(&root, "a").mutable(), Mutable::Copy);
    });
}

#[test]
fn where_there_are_none_files_are_to_be_copied_and_nobody_waits() {
    let tree = Tree::new();
    tree.write("a", "here");
    let root = Root::open(&tree.top(), SNAPSHOT).unwrap();
    let Some(refusal) = root.no_snapshots() else {
        eprintln!("skipped: files can be cloned on {}", root.file_system().name());
        return;
    };
    let name = root.file_system().name();
    assert_eq!(refusal.to_string(), format!("snapshots cannot be had on {name} (EOPNOTSUPP)"));
    let found = root.find_at_once(b"a").unwrap();
    let Some(Found::File(file)) = found else { panic!("{found:?}") };
    assert_eq!((file.mutable(), contents(&file)), (Mutable::Copy, b"here".to_vec()));
    assert_eq!(root.why_no_snapshot(&file), Some(refusal));
    assert!(!root.has_unused_snapshots());
}

#[test]
fn where_no_file_can_be_made_there_are_none() {
    let root = Root::open(Path::new("/proc"), SNAPSHOT).unwrap();
    let refusal = root.no_snapshots().expect("nobody can make files in /proc").to_string();
    assert!(refusal.starts_with("snapshots cannot be made "), "{refusal}");
    assert_eq!(file_at(&root, "version").mutable(), Mutable::Copy);
}

#[test]
fn what_was_not_asked_for_is_not_done() {
    let tree = Tree::new();
    tree.write("a", "here");
    for mutable in [Mutable::Share, Mutable::Copy] {
        let root = Root::open(&tree.top(), options(mutable)).unwrap();
        assert_eq!((file_at(&root, "a").mutable(), root.no_snapshots()), (mutable, None));
        assert_eq!(root.why_no_snapshot(&file_at(&root, "a")), None);
    }
    let missing = Root::open_with_snapshots_in(&tree.top(), SNAPSHOT, &tree.at("absent"));
    assert!(missing.unwrap_err().to_string().ends_with("root/absent does not exist"));
}
