//! Many uploads to one name at once: each is whole, and none is lost that was promised.

use std::fs;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use sendrail_files::{ArrivalError, Condition, Terms};

use crate::{arriving, both, landing, names, pattern, put, temp};

#[test]
fn whoever_looks_sees_one_of_them_whole() {
    let temp = temp();
    let landings = both(temp.path());
    let landing = &landings[0];
    let versions: Vec<_> =
        (0..4).map(|seed| pattern(20_000 + 1000 * seed as usize, seed)).collect();
    put(landing, "a", &versions[0]);
    let (path, done) = (temp.path().join("a"), AtomicU64::new(0));
    thread::scope(|scope| {
        for (index, version) in versions.iter().enumerate() {
            let (landing, done) = (&landings[index % 2], &done);
            scope.spawn(move || {
                for _ in 0..100 {
                    put(landing, "a", version);
                }
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        while done.load(Ordering::Relaxed) < versions.len() as u64 {
            let seen = fs::read(&path).unwrap();
            assert!(versions.contains(&seen), "{} bytes that nobody sent", seen.len());
        }
    });
    assert!(names(&temp.path().join(".uploads")).is_empty());
}

/// Also of two processes, which only the kernel can keep apart: two landings know nothing of each other.
#[test]
fn of_those_who_want_it_absent_one_gets_it() {
    let temp = temp();
    let landings = both(temp.path());
    for round in 0..200 {
        let path = format!("a{round}");
        let barrier = Barrier::new(4);
        let created = AtomicU64::new(0);
        thread::scope(|scope| {
            for index in 0..4 {
                let landing = &landings[index % 2];
                let (path, barrier, created) = (&path, &barrier, &created);
                scope.spawn(move || {
                    let terms = Terms { only_if_absent: true, ..Terms::default() };
                    let arrival = landing.begin(path.as_bytes(), terms).unwrap();
                    barrier.wait();
                    match arrival.finish() {
                        Ok(stored) => {
                            assert!(stored.created);
                            created.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => {
                            assert!(matches!(error, ArrivalError::PreconditionFailed), "{error}");
                        }
                    }
                });
            }
        });
        assert_eq!(created.into_inner(), 1);
    }
}

/// Read, change, put back if it is still what was read: the way to a counter, which shows any update that is lost.
#[test]
fn no_update_is_lost_that_was_guarded() {
    let temp = temp();
    let landing = landing(temp.path());
    put(&landing, "a", b"");
    let path = temp.path().join("a");
    let counted = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let before = fs::metadata(&path).unwrap().len();
                    let only_if =
                        Condition::new(move |now| now.is_some_and(|now| now.len == before));
                    let terms = Terms { only_if: Some(only_if), ..Terms::default() };
                    let Ok(arrival) = landing.begin(b"a", terms) else { continue };
                    arrival.file().set_len(before + 1).unwrap();
                    if arrival.finish().is_ok() {
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(fs::metadata(&path).unwrap().len(), counted.into_inner());
    drop(arriving(&landing, "a", b"x"));
}
