//! Limits: of one file, of the directory, of the disk.

use std::fs;
use std::io::Write;

use proptest::prelude::*;
use sendrail_files::{ArrivalError, LandingOptions, NoSpace, ResumableTerms, Terms};

use crate::{landing_with, len, options, put, temp};

fn is_quota<T>(result: &Result<T, ArrivalError>) -> bool {
    matches!(result, Err(ArrivalError::NoSpace(NoSpace::Quota)))
}

#[test]
fn one_file_may_be_so_long() {
    let temp = temp();
    let landing = landing_with(temp.path(), LandingOptions { most: Some(10), ..options() });
    put(&landing, "a", &[0; 10]);
    assert!(matches!(landing.begin(b"b", len(11)), Err(ArrivalError::TooLarge { most: 10 })));
    let mut arrival = landing.begin(b"b", Terms::default()).unwrap();
    assert_eq!(arrival.claim(1).unwrap(), 10);
    assert!(matches!(arrival.claim(11), Err(ArrivalError::TooLarge { most: 10 })));
    arrival.file().write_all(&[0; 11]).unwrap();
    let error = arrival.finish().unwrap_err();
    assert!(
        matches!(error, ArrivalError::TooLarge { most: 10 }),
        "who does not ask is told: {error}"
    );
    let mut upload = landing.create(b"b", Terms::default(), ResumableTerms::default()).unwrap();
    upload.file().write_all(&[0; 11]).unwrap();
    upload.advanced(11).unwrap();
    assert!(matches!(upload.complete(None), Err(ArrivalError::TooLarge { most: 10 })));
    assert!(!temp.path().join("b").exists());
}

#[test]
fn all_files_together_may_be_so_long() {
    let temp = temp();
    fs::create_dir(temp.path().join("d")).unwrap();
    fs::write(temp.path().join("d/before"), [0; 40]).unwrap();
    let with_quota = LandingOptions { quota: Some(100), ..options() };
    let landing = landing_with(temp.path(), with_quota);
    assert_eq!(landing.used(), 40);
    let first = landing.begin(b"a", len(50)).unwrap();
    assert!(is_quota(&landing.begin(b"b", len(11))), "what was announced counts at once");
    drop(first);
    let upload = landing.create(b"b", len(30), ResumableTerms::default()).unwrap();
    let mut unknown = landing.begin(b"c", Terms::default()).unwrap();
    assert_eq!(unknown.claim(1).unwrap(), 30, "all that is left");
    assert!(is_quota(&unknown.claim(31)));
    drop((upload, unknown));
    assert_eq!(landing.used(), 70, "an upload that nobody goes on with");
    drop(landing);
    let landing = landing_with(temp.path(), with_quota);
    assert_eq!(landing.used(), 70, "after a restart as well");
    put(&landing, "d/before", &[0; 30]);
    assert_eq!(landing.used(), 60, "it takes the place of 40");
    fs::remove_file(temp.path().join("d/before")).unwrap();
    landing.sweep().unwrap();
    assert_eq!(landing.used(), 30);
}

#[test]
fn so_much_of_the_disk_must_stay_free() {
    let temp = temp();
    let disk = rustix::fs::statvfs(temp.path()).unwrap();
    let free = disk.f_bavail * disk.f_frsize;
    let landing = landing_with(temp.path(), options());
    let refused = landing.begin(b"a", Terms { len: Some(free * 2), ..Terms::default() });
    assert!(matches!(refused, Err(ArrivalError::NoSpace(NoSpace::Disk))), "{refused:?}");
    let landing = landing_with(temp.path(), LandingOptions { reserve: free * 2, ..options() });
    let refused = landing.begin(b"a", len(1));
    assert!(matches!(refused, Err(ArrivalError::NoSpace(NoSpace::Reserve))), "{refused:?}");
    let mut arrival = landing.begin(b"a", Terms::default()).unwrap();
    assert!(matches!(arrival.claim(1), Err(ArrivalError::NoSpace(NoSpace::Reserve))));
    assert_eq!(landing.used(), 0);
    let landing = landing_with(temp.path(), LandingOptions { reserve: free / 2, ..options() });
    put(&landing, "a", b"abc");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever arrives, is given up or removed, in whatever order: the sum is what a look at the disk gives.
    #[test]
    fn the_sum_is_what_is_there(steps in prop::collection::vec((0u8..5, 0u8..4, 0usize..60), 1..40)) {
        let temp = temp();
        let quota = 120;
        let landing = landing_with(temp.path(), LandingOptions { quota: Some(quota), ..options() });
        let mut arriving = Vec::new();
        for (what, name, size) in steps {
            let path = format!("f{name}");
            match what {
                0 | 1 => if let Ok(arrival) = landing.begin(path.as_bytes(), len(size)) {
                    arrival.file().write_all(&vec![1; size]).unwrap();
                    arriving.push(arrival);
                },
                2 => if let Some(arrival) = arriving.pop() {
                    arrival.finish().unwrap();
                },
                3 => drop(arriving.pop()),
                _ => if let Ok(mut upload) =
                    landing.create(path.as_bytes(), Terms::default(), ResumableTerms::default())
                {
                    if upload.claim(size as u64).is_ok() {
                        upload.file().write_all(&vec![2; size]).unwrap();
                        upload.advanced(size as u64).unwrap();
                        upload.complete(None).unwrap();
                    } else {
                        upload.cancel().unwrap();
                    }
                },
            }
            prop_assert!(landing.used() <= quota);
        }
        arriving.clear();
        let known = landing.used();
        landing.sweep().unwrap();
        prop_assert_eq!(known, landing.used());
        let there: u64 = (0..4)
            .filter_map(|name| fs::metadata(temp.path().join(format!("f{name}"))).ok())
            .map(|metadata| metadata.len())
            .sum();
        prop_assert_eq!(known, there);
    }
}
