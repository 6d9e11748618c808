//! The power fails: the file system is shut down without writing its log (`xfs_io -x -c shutdown`), and mounted again. What was
//! acknowledged with `sync` is there.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use sendrail_files::{Landing, LandingOptions, ResumableTerms, Resumed, Terms, UploadId};
use sha2::{Digest as _, Sha256};

use crate::disks::{succeeds, with_mounts};
use crate::{landing_with, names, options, pattern, put};

#[test]
fn what_was_acknowledged_is_there_on_ext4() {
    fails_again_and_again("ext4", "-F", true);
}

#[test]
fn what_was_acknowledged_is_there_on_xfs() {
    fails_again_and_again("xfs", "-f", true);
}

/// Without `sync` a file may be missing, or not whole. But an upload that was put down goes on, from nothing that was not sent.
#[test]
fn uploads_go_on_without_sync_on_ext4() {
    fails_again_and_again("ext4", "-F", false);
}

#[test]
fn uploads_go_on_without_sync_on_xfs() {
    fails_again_and_again("xfs", "-f", false);
}

/// What has been acknowledged.
#[derive(Default)]
struct Acknowledged {
    files: HashMap<String, Vec<u8>>,
    /// Uploads, what was sent of each, and how much of that was acknowledged.
    unfinished: Vec<(UploadId, Vec<u8>, u64)>,
    completed: Vec<UploadId>,
}

fn fails_again_and_again(kind: &str, force: &str, sync: bool) {
    with_mounts(|folder| {
        let image = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        image.as_file().set_len(512 << 20).unwrap();
        let mut make = Command::new(format!("mkfs.{kind}"));
        if !succeeds(make.args(["-q", force]).arg(image.path())) {
            return;
        }
        let mut acknowledged = Acknowledged::default();
        for round in 0..16 {
            let mut mount = Command::new("mount");
            mount.args(["-o", "loop", "-t", kind]).arg(image.path()).arg(folder);
            if !succeeds(&mut mount) {
                assert_eq!(round, 0, "it could be mounted before");
                return;
            }
            let landing = landing_with(folder, LandingOptions { sync, ..options() });
            for (id, ..) in &acknowledged.unfinished {
                is_of_another_run(&folder.join(format!(".uploads/{id}.about")));
            }
            check(&landing, folder, &acknowledged);
            work(&landing, round, &mut acknowledged);
            // What nobody was told of may be there or not, but not in part.
            let arrival = landing.begin(b"never", Terms::default()).unwrap();
            arrival.file().write_all(&pattern(100_000, round)).unwrap();
            // Never that of the machine.
            let device = |path: &Path| fs::metadata(path).unwrap().dev();
            assert_ne!(device(folder), device(folder.parent().unwrap()));
            if !succeeds(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(folder)) {
                return;
            }
            assert!(File::create(folder.join("more")).is_err(), "it is not shut down");
            drop((arrival, landing));
            // A process that another test has just forked may have our descriptors for a moment.
            while let Err(error) = unmount(folder, UnmountFlags::empty()) {
                assert_eq!(error, Errno::BUSY);
                thread::sleep(Duration::from_millis(1));
            }
        }
    });
}

/// The last thing that is done before the power fails is another one each round.
fn work(landing: &Landing, round: u64, acknowledged: &mut Acknowledged) {
    let bytes = pattern(50_000 + 1000 * round as usize, round);
    for step in 0..=round % 4 {
        let name = format!("file-{}", step + round % 3);
        let resumable = ResumableTerms::default();
        match step {
            0 | 1 => {
                put(landing, &name, &bytes);
                acknowledged.files.insert(name, bytes.clone());
            }
            2 => {
                let upload = landing.create(b"unfinished", Terms::default(), resumable);
                let mut upload = upload.unwrap();
                upload.file().write_all(&bytes[..30_000]).unwrap();
                let offset = upload.advanced(30_000).unwrap();
                acknowledged.unfinished.push((upload.id(), bytes.clone(), offset));
                upload.file().write_all(&bytes[30_000..]).unwrap();
            }
            _ => {
                let upload = landing.create(name.as_bytes(), Terms::default(), resumable);
                let mut upload = upload.unwrap();
                upload.file().write_all(&bytes).unwrap();
                upload.advanced(bytes.len() as u64).unwrap();
                upload.complete(None).unwrap();
                acknowledged.completed.push(upload.id());
                acknowledged.files.insert(name, bytes.clone());
            }
        }
    }
}

/// The machine was not started anew, only the file system: the record is made to say that it was.
fn is_of_another_run(record: &Path) {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let text = fs::read_to_string(record).unwrap();
    let rest = text.split_once('\n').unwrap().1.replace(boot.trim_end(), "another");
    let mut sum = String::new();
    for byte in Sha256::digest(&rest) {
        write!(sum, "{byte:02x}").unwrap();
    }
    fs::write(record, format!("sendrail-upload 1 {sum}\n{rest}")).unwrap();
}

fn check(landing: &Landing, folder: &Path, acknowledged: &Acknowledged) {
    for (id, bytes, offset) in &acknowledged.unfinished {
        let Resumed::Open(upload) = landing.resume(*id, None).unwrap() else {
            panic!("unfinished")
        };
        assert!(upload.offset() >= *offset, "{} of {offset}", upload.offset());
        let mut there = vec![0; upload.offset() as usize];
        rustix::io::pread(upload.file(), &mut there, 0).unwrap();
        assert!(there == bytes[..there.len()], "bytes that were not sent");
    }
    if !landing.options().sync {
        return;
    }
    for (name, bytes) in &acknowledged.files {
        assert!(fs::read(folder.join(name)).unwrap() == *bytes, "{name} is not as acknowledged");
    }
    let mut visible = names(folder);
    visible.retain(|name| !matches!(name.as_str(), ".uploads" | "lost+found"));
    assert_eq!(visible.len(), acknowledged.files.len(), "{visible:?}");
    for id in &acknowledged.completed {
        assert!(matches!(landing.resume(*id, None).unwrap(), Resumed::Completed(_)));
    }
}
