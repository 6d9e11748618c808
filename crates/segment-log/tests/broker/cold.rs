//! A consumer that reads what is not in the page cache: the bytes are right, nobody waits for it, and it leaves the cache as it was.

use crate::{common::*, served::Served};
use sendrail_segment_log::{Options, broker::ServeOptions};
use sendrail_sys::{Advice, cachestat, fadvise};
use sendrail_transfer::DropBehind;
use std::{fs::File, os::fd::AsFd, path::Path, time::Duration};

/// Pages of the file that are in the page cache; `None` if that cannot be seen here.
fn resident(path: &Path) -> Option<u64> {
    let file = File::open(path).unwrap();
    Some(cachestat(file.as_fd(), 0, 0).ok()?.cached)
}

fn evict(path: &Path) {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    fadvise(file.as_fd(), 0, 0, Advice::DontNeed).unwrap();
}

#[test]
fn cold_segments_are_read_by_the_pool_and_given_back() {
    let mut serve = ServeOptions::default();
    serve.send.drop_behind = DropBehind::On;
    let served = Served::begin(Options { segment_bytes: 24 << 20, ..Options::default() }, serve);
    let record = vec![7; 1000];
    while served.log.end() < 70_000 {
        served.log.append((0..100).map(|_| &record[..])).unwrap();
    }
    let all = segments(served.path());
    for segment in &all[..2] {
        evict(segment);
    }
    match resident(&all[0]) {
        Some(0) => {}
        other => return eprintln!("skipped: this file system keeps its pages: {other:?}"),
    }
    let mut client = served.client();
    let mut next = 0;
    let end = all[2].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    while next < end {
        let batch = client.fetch(next, 1 << 20, Duration::ZERO).unwrap();
        for read in batch.records() {
            assert!(read.unwrap().payload == record);
        }
        next = batch.next;
    }
    assert!(served.stats.disk_waits() > 0 && served.stats.cold() > 0, "{}", served.stats);
    drop(client);
    // The last pages go when they are acknowledged, a little later.
    let left = || all[..2].iter().filter_map(|path| resident(path)).sum::<u64>() * 4096;
    for _ in 0..200 {
        if left() < 4 << 20 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("{} KiB of 48 MiB are left in the page cache; {}", left() >> 10, served.stats);
    assert!(left() < 12 << 20, "{} bytes are left", left());
    assert!(resident(&all[2]).unwrap() > 0, "what was not its own is still there");
}
