//! Looking up without waiting for a disk: what is known is found at once, and what is not, by a thread
//! that may sleep.

use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sendrail_files::{
    CacheCounts, CacheOptions, CodingFlags, Entry, FileSystem, Found, Lookup, Miss, Names,
    OpenError, OpenFileCache, Root, RootOptions, Settled, Symlinks,
};

use crate::tree::{Tree, contents};

const NO_MORE: Duration = Duration::from_secs(1);

/// Whether the kernel says at once what it does not know; says so if a test has to be skipped.
fn tells(root: &Root) -> bool {
    if root.names() != Names::AtOnce || root.file_system() == FileSystem::Tmpfs {
        eprintln!("skipped: {:?} on {}", root.names(), root.file_system().name());
        return false;
    }
    true
}

fn cache_of(root: Root, entries: usize) -> OpenFileCache<()> {
    OpenFileCache::new(Arc::new(root), CacheOptions { entries, ..CacheOptions::default() })
}

/// The lookup that is to be made elsewhere, and the entry that belongs to it.
fn must_wait<T: std::fmt::Debug>(
    outcome: Result<T, Miss<()>>,
) -> (Box<Lookup>, Option<Rc<Entry<()>>>) {
    match outcome {
        Err(Miss::MustWait(lookup, entry)) => (lookup, entry),
        other => panic!("it was known: {other:?}"),
    }
}

fn settle(
    cache: &mut OpenFileCache<()>,
    (lookup, entry): (Box<Lookup>, Option<Rc<Entry<()>>>),
    now: Instant,
) -> Settled<()> {
    let looked = std::thread::spawn(|| lookup.make()).join().unwrap();
    cache.settle(looked, entry, now)
}

/// A file system none of whose names is ever known (`proc_sys_revalidate`), with a file in it.
fn never_known() -> Option<(Root, &'static [u8])> {
    let root = Root::open(Path::new("/proc/sys"), RootOptions::default()).unwrap();
    let file = b"kernel/ostype";
    let known = matches!(root.find_at_once(file), Ok(Some(_)));
    if known || !tells(&root) {
        eprintln!("skipped: names of /proc/sys are known here");
        return None;
    }
    Some((root, file))
}

#[test]
fn what_the_kernel_knows_is_found_at_once_and_is_what_is_found_otherwise() {
    let tree = Tree::new();
    tree.write("a.txt", "here").mkdir("folder").write(".hidden", "x").write("folder/b", "b");
    std::os::unix::fs::symlink("a.txt", tree.at("link")).unwrap();
    std::os::unix::fs::symlink("../outside/canary", tree.at("leads-out")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        tree.at("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let name_too_long = "n".repeat(300);
    for symlinks in [Symlinks::Deny, Symlinks::SameRoot, Symlinks::Follow] {
        for root in
            [tree.root(symlinks), Root::open_by_walk(&tree.top(), RootOptions::default()).unwrap()]
        {
            for path in [
                "",
                "a.txt",
                "folder",
                "folder/b",
                "absent",
                "folder/absent",
                "a.txt/absent",
                ".hidden",
                "link",
                "leads-out",
                "fifo",
                "../outside/canary",
                &name_too_long,
            ] {
                let usual = root.find(path.as_bytes());
                let at_once = match root.find_at_once(path.as_bytes()) {
                    Ok(Some(found)) => Ok(found),
                    // A file in the place of a folder (ENOTDIR) is found by asking again, elsewhere.
                    Ok(None) if usual.is_err() => continue,
                    Ok(None) => panic!("{path}: it has just been looked up"),
                    Err(error) => Err(error),
                };
                match (usual, at_once) {
                    (Ok(usual), Ok(at_once)) => {
                        assert!(usual.facts().same_version(at_once.facts()), "{path}");
                        if let Found::File(_) = at_once {
                            assert_eq!(contents(&at_once), contents(&usual), "{path}");
                        }
                    }
                    (Err(usual), Err(at_once)) => {
                        assert_eq!(usual.to_string(), at_once.to_string(), "{path}");
                    }
                    (usual, at_once) => panic!("{path}: {usual:?} but {at_once:?}"),
                }
            }
        }
    }
}

#[test]
fn a_name_that_nobody_has_asked_for_is_looked_up_elsewhere_and_then_known() {
    let tree = Tree::new();
    let root = tree.root(Symlinks::SameRoot);
    if !tells(&root) {
        return;
    }
    let (mut cache, now) = (cache_of(root.clone(), 10), Instant::now());
    let waiting = must_wait(cache.lookup_at_once(b"absent", now));
    assert_eq!(waiting.0.path(), b"absent");
    assert_eq!(waiting.0.device(), root.device());
    let settled = settle(&mut cache, waiting, now);
    assert!(matches!(settled.entry, Err(OpenError::NotFound)), "{settled:?}");
    assert_eq!(&*settled.path, b"absent");
    let known = cache.lookup_at_once(b"absent", now);
    assert!(matches!(known, Err(Miss::Refused(OpenError::NotFound))), "{known:?}");
}

#[test]
fn what_is_found_elsewhere_is_remembered_for_as_long_as_all_else() {
    let Some((root, file)) = never_known() else { return };
    let (mut cache, start) = (cache_of(root, 10), Instant::now());
    let waiting = must_wait(cache.lookup_at_once(file, start));
    assert!(waiting.1.is_none());
    let first = settle(&mut cache, waiting, start).entry.unwrap();
    let hit = cache.lookup_at_once(file, start).unwrap();
    assert!(Rc::ptr_eq(&first, &hit));

    // The same version is confirmed, and the entry is the one that was there.
    let waiting = must_wait(cache.lookup_at_once(file, start + NO_MORE));
    assert!(Rc::ptr_eq(waiting.1.as_ref().unwrap(), &first));
    let second = settle(&mut cache, waiting, start + NO_MORE).entry.unwrap();
    assert!(second.facts().same_version(first.facts()));
    assert!(cache.lookup_at_once(file, start + NO_MORE).is_ok());
    let expected =
        CacheCounts { hits: 2, misses: 1, revalidated: 1, open: 1, ..CacheCounts::default() };
    assert_eq!(cache.counts(), expected);
}

#[test]
fn two_that_wait_for_the_same_name_get_the_same_entry() {
    let Some((root, file)) = never_known() else { return };
    let (mut cache, now) = (cache_of(root, 10), Instant::now());
    let one = must_wait(cache.lookup_at_once(file, now));
    let other = must_wait(cache.lookup_at_once(file, now));
    let one = settle(&mut cache, one, now).entry.unwrap();
    let other = settle(&mut cache, other, now).entry.unwrap();
    assert!(Rc::ptr_eq(&one, &other));
}

#[test]
fn without_a_cache_what_is_found_elsewhere_is_handed_on_and_forgotten() {
    let Some((root, file)) = never_known() else { return };
    let (mut cache, now) = (cache_of(root, 0), Instant::now());
    let waiting = must_wait(cache.lookup_at_once(file, now));
    assert!(settle(&mut cache, waiting, now).entry.is_ok());
    let (_lookup, entry) = must_wait(cache.lookup_at_once(file, now));
    assert!(entry.is_none() && cache.counts().open == 0);
}

#[test]
fn another_version_takes_the_place_of_the_one_that_was_known() {
    let tree = Tree::new();
    tree.write("a", "old");
    let (mut cache, start) = (cache_of(tree.root(Symlinks::SameRoot), 10), Instant::now());
    let old = cache.lookup(b"a", start).unwrap();
    tree.replace("a", "newer");
    let new = cache.lookup_at_once(b"a", start + NO_MORE).unwrap();
    assert!(!Rc::ptr_eq(&old, &new));
    assert_eq!((contents(new.found()), cache.counts().replaced), (b"newer".to_vec(), 1));
    fs::remove_file(tree.at("a")).unwrap();
    // The kernel forgets the name of what is deleted while it is open.
    let gone = match cache.lookup_at_once(b"a", start + 2 * NO_MORE) {
        Err(Miss::MustWait(lookup, entry)) => {
            settle(&mut cache, (lookup, entry), start + 2 * NO_MORE).entry
        }
        Err(Miss::Refused(error)) => Err(error),
        Ok(entry) => Ok(entry),
    };
    assert!(matches!(gone, Err(OpenError::NotFound)), "{gone:?}");
    assert_eq!((cache.counts().replaced, cache.counts().open), (2, 0));
}

#[test]
fn siblings_that_nobody_has_asked_for_are_looked_up_elsewhere() {
    let tree = Tree::new();
    tree.write("a.css", "p {}").write("a.css.gz", "…");
    let root = tree.root(Symlinks::SameRoot);
    if !tells(&root) {
        return;
    }
    let gzip = CodingFlags { gzip: true, ..CodingFlags::default() };
    let (mut cache, now) = (cache_of(root, 10), Instant::now());
    let entry = cache.lookup_at_once(b"a.css", now).unwrap(); // it has just been made
    let waiting = must_wait(cache.siblings_at_once(b"a.css", &entry, now));
    let settled = settle(&mut cache, waiting, now);
    assert_eq!(settled.siblings, Some(gzip));
    assert!(Rc::ptr_eq(&settled.entry.unwrap(), &entry));
    assert_eq!(cache.siblings_at_once(b"a.css", &entry, now).unwrap(), gzip);
    // From now on the kernel knows which of them are absent.
    assert_eq!(cache.siblings_at_once(b"a.css", &entry, now + NO_MORE).unwrap(), gzip);
}

#[test]
fn one_wait_is_enough_for_a_file_and_its_siblings() {
    let Some((root, file)) = never_known() else { return };
    let (mut cache, now) = (cache_of(root, 10), Instant::now());
    let mut waiting = must_wait(cache.lookup_at_once(file, now));
    waiting.0.add_siblings();
    let settled = settle(&mut cache, waiting, now);
    assert_eq!(settled.siblings, Some(CodingFlags::default()));
    let entry = settled.entry.unwrap();
    assert!(cache.siblings_at_once(file, &entry, now).is_ok());
    // A directory has none.
    let mut waiting = must_wait(cache.lookup_at_once(b"kernel", now));
    waiting.0.add_siblings();
    let settled = settle(&mut cache, waiting, now);
    assert!(settled.siblings.is_none() && settled.entry.is_ok());
}

#[test]
fn what_is_mounted_beneath_the_root_is_not_trusted_before_it_is_known() {
    let root = Root::open(Path::new("/"), RootOptions::default()).unwrap();
    let shared_memory = Path::new("/dev/shm");
    let mounted = rustix::fs::stat(shared_memory).is_ok_and(|stat| stat.st_dev != root.device());
    if !mounted || !tells(&root) {
        eprintln!("skipped: there is no /dev/shm");
        return;
    }
    let file = tempfile::NamedTempFile::with_prefix_in("at_once-", shared_memory).unwrap();
    let path = file.path().strip_prefix("/").unwrap().as_os_str().as_encoded_bytes();
    // Its name is in memory, but it might be a network's.
    assert!(root.find_at_once(path).unwrap().is_none());
    root.find(path).unwrap();
    assert!(root.find_at_once(path).unwrap().is_some());
}

#[test]
fn the_device_of_a_path_is_that_of_what_is_known_of_it() {
    let tree = Tree::new();
    let root = tree.root(Symlinks::SameRoot);
    let deep = "a/".repeat(2000);
    for path in ["", "x", "x/y/z", deep.trim_end_matches('/'), "..", ".hidden/a"] {
        assert_eq!(root.device_towards(path.as_bytes()), root.device(), "{path}");
    }
    let proc = Root::open(Path::new("/"), RootOptions::default()).unwrap();
    let there = rustix::fs::stat("/proc/self").unwrap().st_dev;
    if proc.names() == Names::AtOnce && there != proc.device() {
        assert_eq!(proc.device_towards(b"proc/absent/absent"), there);
    } else {
        eprintln!("skipped: {:?}, or /proc is not mounted", proc.names());
    }
}
