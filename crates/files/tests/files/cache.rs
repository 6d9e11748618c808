//! The open-file cache: believed within its validity, right after it, bounded always.

use std::cell::Cell;
use std::fs;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use sendrail_files::{CacheCounts, CacheOptions, Entry, Found, OpenError, OpenFileCache, Symlinks};

use crate::tree::{Tree, contents};

/// What a server would keep with an entry.
type Extra = Cell<u32>;

const JUST_VALID: Duration = Duration::from_millis(999);
const NO_MORE: Duration = Duration::from_secs(1);

fn cache(tree: &Tree, entries: usize) -> (OpenFileCache<Extra>, Instant) {
    let root = Arc::new(tree.root(Symlinks::SameRoot));
    let options = CacheOptions { entries, ..CacheOptions::default() };
    (OpenFileCache::new(root, options), Instant::now())
}

fn text(entry: &Entry<Extra>) -> String {
    String::from_utf8(contents(entry.found())).unwrap()
}

#[test]
fn a_hit_asks_nobody() {
    let tree = Tree::new();
    tree.write("a", "here");
    let (mut cache, start) = cache(&tree, 10);
    let first = cache.lookup(b"a", start).unwrap();
    fs::remove_file(tree.at("a")).unwrap();
    let second = cache.lookup(b"a", start + JUST_VALID).unwrap();
    assert!(Rc::ptr_eq(&first, &second));
    assert_eq!(text(&second), "here");
    assert_eq!(
        cache.counts(),
        CacheCounts { hits: 1, misses: 1, open: 1, ..CacheCounts::default() }
    );

    let gone = cache.lookup(b"a", start + NO_MORE);
    assert!(matches!(gone, Err(OpenError::NotFound)), "{gone:?}");
    let counts = cache.counts();
    assert_eq!((counts.replaced, counts.open), (1, 0));
}

#[test]
fn the_same_version_keeps_its_entry_and_what_the_server_put_there() {
    let tree = Tree::new();
    tree.write("a", "same").age("a", 100);
    let (mut cache, start) = cache(&tree, 10);
    let first = cache.lookup(b"a", start).unwrap();
    first.extra.set(42);
    let second = cache.lookup(b"a", start + NO_MORE).unwrap();
    assert!(Rc::ptr_eq(&first, &second));
    assert_eq!(second.extra.get(), 42);
    // It was confirmed, so it is believed for another second.
    cache.lookup(b"a", start + NO_MORE + JUST_VALID).unwrap();
    let counts = cache.counts();
    assert_eq!((counts.misses, counts.revalidated, counts.hits), (1, 1, 1));
}

/// The facts of a file that was changed a moment ago allow only a weak validator; the next look
/// may allow a strong one, so that nothing made from the old facts may stay.
#[test]
fn a_file_not_settled_yet_gets_a_new_entry_over_the_same_descriptor() {
    let tree = Tree::new();
    tree.write("a", "fresh");
    let (mut cache, start) = cache(&tree, 10);
    let first = cache.lookup(b"a", start).unwrap();
    first.extra.set(42);
    assert!(!first.facts().settled());
    let second = cache.lookup(b"a", start + NO_MORE).unwrap();
    assert_eq!(second.extra.get(), 0);
    assert!(second.facts().observed > first.facts().observed);
    assert!(second.facts().same_version(first.facts()));
    let (Found::File(before), Found::File(after)) = (first.found(), second.found()) else {
        panic!("a file")
    };
    assert!(Arc::ptr_eq(before.file(), after.file()));
    let counts = cache.counts();
    assert_eq!((counts.revalidated, counts.replaced, counts.open), (1, 0, 1));
}

#[test]
fn each_way_of_changing_a_file_is_seen_after_the_validity() {
    type Change = fn(&Tree);
    let link_b: Change = |tree| {
        fs::remove_file(tree.at("a")).unwrap();
        fs::hard_link(tree.at("b"), tree.at("a")).unwrap();
    };
    let changes: [(&str, Change, &str); 6] = [
        ("renamed over", |tree| _ = tree.replace("a", "NEW"), "NEW"),
        ("rewritten in place", |tree| _ = tree.write("a", "NEW"), "NEW"),
        ("truncated", |tree| _ = tree.write("a", ""), ""),
        ("grown", |tree| _ = tree.write("a", "old and more"), "old and more"),
        // As by `cp -p` or a restored archive.
        ("rewritten and dated back", |tree| _ = tree.write("a", "NEW").age("a", 100), "NEW"),
        ("linked elsewhere", link_b, "bbb"),
    ];
    for (how, change, expected) in changes {
        let tree = Tree::new();
        tree.write("a", "old").age("a", 100).write("b", "bbb").age("b", 100);
        let (mut cache, start) = cache(&tree, 10);
        let before = cache.lookup(b"a", start).unwrap();
        before.extra.set(42);
        change(&tree);
        let within = cache.lookup(b"a", start + JUST_VALID).unwrap();
        assert!(Rc::ptr_eq(&before, &within), "{how}");
        let after = cache.lookup(b"a", start + NO_MORE).unwrap();
        assert_eq!(text(&after), expected, "{how}");
        assert_eq!(after.facts().len, expected.len() as u64, "{how}");
        assert_eq!(after.extra.get(), 0, "{how}");
        assert_eq!(cache.counts().replaced, 1, "{how}");
    }
}

#[test]
fn a_transfer_keeps_the_version_it_began_with() {
    let tree = Tree::new();
    tree.write("a", "old and whole");
    let (mut cache, start) = cache(&tree, 10);
    let old = cache.lookup(b"a", start).unwrap();
    tree.replace("a", "new");
    let new = cache.lookup(b"a", start + NO_MORE).unwrap();
    assert_eq!((text(&old).as_str(), text(&new).as_str()), ("old and whole", "new"));
}

#[test]
fn a_file_that_becomes_a_directory() {
    let tree = Tree::new();
    tree.write("a", "file");
    let (mut cache, start) = cache(&tree, 10);
    cache.lookup(b"a", start).unwrap();
    fs::remove_file(tree.at("a")).unwrap();
    tree.mkdir("a");
    let after = cache.lookup(b"a", start + NO_MORE).unwrap();
    assert!(matches!(after.found(), Found::Directory(_)));
}

#[test]
fn errors_are_not_remembered() {
    let tree = Tree::new();
    let (mut cache, start) = cache(&tree, 10);
    cache.lookup(b"a", start).unwrap_err();
    tree.write("a", "now");
    assert_eq!(text(&cache.lookup(b"a", start).unwrap()), "now");
    assert_eq!((cache.counts().misses, cache.counts().open), (2, 1));
}

#[test]
fn it_never_holds_more_than_it_may() {
    let tree = Tree::new();
    for number in 0..40 {
        tree.write(format!("{number}"), "x");
    }
    for entries in [1, 2, 8] {
        let (mut cache, start) = cache(&tree, entries);
        for round in 0..3 {
            for number in 0..40 {
                cache.lookup(format!("{number}").as_bytes(), start).unwrap();
                assert!(cache.counts().open <= entries as u64, "{entries}, round {round}");
            }
        }
        let counts = cache.counts();
        assert!(counts.open > 0, "{entries}: {counts:?}");
        assert_eq!(counts.misses, counts.evicted + counts.open, "{entries}: {counts:?}");
    }
}

#[test]
fn zero_entries_turn_it_off() {
    let tree = Tree::new();
    tree.write("a", "one").age("a", 100);
    let (mut cache, start) = cache(&tree, 0);
    cache.lookup(b"a", start).unwrap();
    tree.replace("a", "two");
    assert_eq!(text(&cache.lookup(b"a", start).unwrap()), "two");
    assert_eq!(cache.counts(), CacheCounts { misses: 2, ..CacheCounts::default() });
}

#[test]
fn idle_entries_let_go_of_their_files() {
    let tree = Tree::new();
    tree.write("hot", "").write("idle", "").age("hot", 100);
    let (mut cache, start) = cache(&tree, 10);
    cache.lookup(b"hot", start).unwrap();
    cache.lookup(b"idle", start).unwrap();
    let later = start + Duration::from_secs(30);
    cache.lookup(b"hot", later).unwrap();
    assert_eq!(cache.release_idle(later, Duration::from_secs(30)), 1);
    assert_eq!((cache.counts().open, cache.counts().evicted), (1, 1));
    cache.clear();
    assert_eq!((cache.counts().open, cache.counts().evicted), (0, 2));
}

#[derive(Clone, Debug)]
enum Step {
    Replace(usize),
    Delete(usize),
    Lookup(usize),
    Wait(u64),
    ReleaseIdle,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..3_usize).prop_map(Step::Replace),
        1 => (0..3_usize).prop_map(Step::Delete),
        4 => (0..3_usize).prop_map(Step::Lookup),
        2 => (0..1500_u64).prop_map(Step::Wait),
        1 => Just(Step::ReleaseIdle),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a model: what a lookup gives was true at some time within the validity.
    #[test]
    fn nothing_older_than_the_validity_is_believed(
        steps in prop::collection::vec(step(), 1..40),
        entries in 0..4_usize,
    ) {
        let tree = Tree::new();
        let (mut cache, start) = cache(&tree, entries);
        let mut now = start;
        // For each path: what it led to, and until when.
        let mut past: [Vec<(Option<String>, Instant)>; 3] = Default::default();
        let mut present: [Option<String>; 3] = Default::default();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Replace(path) => {
                    let contents = format!("version {number}");
                    tree.replace(&path.to_string(), &contents);
                    past[path].push((present[path].replace(contents), now));
                }
                Step::Delete(path) => {
                    if present[path].is_some() {
                        fs::remove_file(tree.at(path.to_string())).unwrap();
                        past[path].push((present[path].take(), now));
                    }
                }
                Step::Wait(milliseconds) => now += Duration::from_millis(milliseconds),
                Step::ReleaseIdle => _ = cache.release_idle(now, Duration::from_secs(2)),
                Step::Lookup(path) => {
                    let seen = match cache.lookup(path.to_string().as_bytes(), now) {
                        Ok(entry) => Some(text(&entry)),
                        Err(OpenError::NotFound) => None,
                        Err(error) => return Err(TestCaseError::fail(error.to_string())),
                    };
                    let was_true = |(version, until): &(Option<String>, Instant)| {
                        *version == seen && now < *until + NO_MORE
                    };
                    prop_assert!(seen == present[path] || past[path].iter().any(was_true));
                    prop_assert!(entries > 0 || seen == present[path]);
                }
            }
            prop_assert!(cache.counts().open <= entries as u64);
        }
    }
}
