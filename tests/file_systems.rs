//! File systems: what is promised of files holds on each that a server meets.

use crate::{
    harness::{
        Journal, Server, Tree, bytes,
        disk::{FileSystem, Pinned, methods, on},
        eventually, evict,
    },
    replaced, truncation,
};
use sendrail_sys::{mincore::resident_pages, statfs::file_system};
use serde_json::Value;
use std::{fs::File, os::fd::AsFd, path::Path, thread, time::Duration};

fn on_each_disk(body: impl Fn(&Path) + Sync) {
    for file_system in FileSystem::ON_DISK {
        println!("{file_system:?}"); // shown when it fails
        on(file_system, &body);
    }
}

#[test]
fn a_file_truncated_while_being_sent_is_cut_short() {
    on_each_disk(truncation::truncate_in);
}

#[test]
fn a_file_truncated_to_nothing_while_being_sent_is_cut_short() {
    on_each_disk(truncation::truncate_to_nothing_in);
}

#[test]
fn a_file_replaced_or_deleted_while_being_sent_arrives_whole() {
    on_each_disk(replaced::replace_and_delete_in);
}

#[test]
fn an_appended_file_keeps_the_promised_length() {
    on_each_disk(replaced::append_in);
}

#[test]
fn a_file_changed_in_place_while_being_sent_keeps_its_length() {
    on_each_disk(replaced::change_in_place_in);
}

#[test]
fn a_rewrite_in_place_changes_the_entity_tag() {
    on_each_disk(replaced::rewrite_in_place_in);
}

/// Around the sizes from where on another method is chosen, and of several windows.
const SIZES: [usize; 5] = [1, 4097, 100_000, 1 << 20, 5_000_000];

/// A packet on its way may hold a page for a moment longer than it is on its way.
fn evict_to_the_last_page(path: &Path) {
    let file = File::open(path).unwrap();
    let len = file.metadata().unwrap().len() as usize;
    if file_system(file.as_fd()).unwrap() == sendrail_sys::FileSystem::Tmpfs {
        return;
    }
    eventually("it is evicted", || {
        evict(path);
        resident_pages(file.as_fd(), 0, len).unwrap() == 0 // right on overlayfs as well (mincore(2))
    });
}

/// Serves files with each method, hot and cold, byte for byte. Gives the method, the size, and the
/// receipts of the hot answer and of the cold one.
fn serve_hot_and_cold(folder: &Path) -> Vec<(String, usize, [Value; 2])> {
    let content = bytes(5_000_000);
    let mut receipts = Vec::new();
    for method in methods() {
        let tree = Tree::new_in(folder);
        let journal = Journal::new();
        let server = Server::logged(&tree, &journal, &["--method", &method]);
        let mut connection = server.connect();
        // By the second time the server knows it, and it is in the page cache.
        let paths = SIZES.map(|size| tree.file(&format!("{size}.bin"), &content[..size]));
        let mut kept = Some(Pinned::all_of(&paths));
        for state in ["first", "hot", "cold"] {
            if state == "cold" {
                drop(kept.take());
                for path in &paths {
                    evict_to_the_last_page(path);
                }
                // What was found in the page cache is taken to be there for a moment.
                thread::sleep(Duration::from_millis(200));
            }
            for size in SIZES {
                let response = connection.get(&format!("/{size}.bin?{state}"), "");
                assert!(response.body == content[..size], "{method}, {size}, {state}: differs");
            }
        }
        let entries = journal.wait_for(3 * SIZES.len());
        let (hot, cold) = entries[SIZES.len()..].split_at(SIZES.len());
        for ((size, hot), cold) in SIZES.into_iter().zip(hot).zip(cold) {
            assert_eq!((&hot["end"], &cold["end"]), (&"complete".into(), &"complete".into()));
            receipts.push((
                method.clone(),
                size,
                [hot["receipt"].clone(), cold["receipt"].clone()],
            ));
        }
    }
    receipts
}

/// To direct I/O nothing is hot.
fn passes_the_page_cache_by(method: &str) -> bool {
    method == "direct"
}

/// Hot files leave at once; for cold ones the disk is waited for, by a thread that may.
fn assert_hot_inline_and_cold_not(folder: &Path) {
    for (method, size, [hot, cold]) in serve_hot_and_cold(folder) {
        let number = |receipt: &Value, name: &str| receipt[name].as_u64().unwrap();
        if !passes_the_page_cache_by(&method) {
            assert_eq!(number(&hot, "disk_waits"), 0, "{method}, {size}, hot: {hot}");
            assert_eq!(number(&hot, "cold"), 0, "{method}, {size}, hot: {hot}");
        }
        if cold["method"] != "memory" {
            assert!(number(&cold, "disk_waits") > 0, "{method}, {size}, cold: {cold}");
        }
    }
}

#[test]
fn hot_and_cold_files_on_ext4() {
    on(FileSystem::Ext4, assert_hot_inline_and_cold_not);
}

#[test]
fn hot_and_cold_files_on_xfs() {
    on(FileSystem::Xfs, assert_hot_inline_and_cold_not);
}

#[test]
fn hot_and_cold_files_on_btrfs() {
    on(FileSystem::Btrfs, assert_hot_inline_and_cold_not);
}

#[test]
fn hot_and_cold_files_on_an_overlay() {
    on(FileSystem::Overlay, assert_hot_inline_and_cold_not);
}

#[test]
fn files_of_the_lower_layer_of_an_overlay() {
    on(FileSystem::Overlay, |folder| {
        let content = bytes(3_000_000);
        let lower = folder.with_file_name("lower").join("a.bin");
        std::fs::write(&lower, &content).unwrap();
        for method in methods() {
            let journal = Journal::new();
            let tree = Tree::new_in(folder);
            tree.link("a.bin", folder.join("a.bin"));
            let arguments = ["--method", &method, "--symlinks", "follow"];
            let server = Server::logged(&tree, &journal, &arguments);
            for state in ["hot", "cold"] {
                if state == "cold" {
                    evict(&lower);
                }
                let response = server.connect().get(&format!("/a.bin?{state}"), "");
                assert!(response.body == content, "{method}, {state}: the bytes differ");
            }
        }
    });
}

#[test]
fn files_in_memory_are_never_cold() {
    on(FileSystem::Tmpfs, |folder| {
        for (method, size, receipts) in serve_hot_and_cold(folder) {
            for receipt in receipts {
                assert_eq!(receipt["cold"], 0, "{method}, {size}: {receipt}");
                if !passes_the_page_cache_by(&method) {
                    assert_eq!(receipt["disk_waits"], 0, "{method}, {size}: {receipt}");
                }
            }
        }
    });
}
