//! Files that are mapped and sent from file systems of every kind, while somebody is at them, or the disk or the server below fails:
//! an error, or the bytes of the file; never zeros in their place, and never SIGBUS.

use crate::{common::*, disks::*};
use sendrail_transfer::{
    FileFault, FileRange, Method, SendError, blocking,
    copy::{CopyFault, CopyMethod, CopyOptions, copy_file},
    mapped_read::read_mapped,
};
use std::{
    fs::{self, File},
    os::{fd::AsFd, unix::fs::FileExt},
    path::Path,
    sync::Arc,
    thread,
};

const LEN: u64 = 8 << 20;

/// A new file with the usual bytes, open for reading, and its path.
fn put(folder: &Path, name: &str) -> (Arc<File>, std::path::PathBuf) {
    let path = folder.join(name);
    fs::write(&path, bytes_at(0, LEN)).unwrap();
    (Arc::new(File::open(&path).unwrap()), path)
}

fn writer(path: &Path) -> File {
    File::options().write(true).open(path).unwrap()
}

/// Adds up what is read. Every page is touched.
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte)).sum()
}

/// What is promised of mappings, wherever the file is.
fn map_in(folder: &Path) {
    let half = LEN as usize / 2;
    // Truncated while it is read, and to nothing.
    for end in [LEN / 2 + 100, 4096, 1, 0] {
        let (file, path) = put(folder, "truncated");
        let mapped = read_mapped(&whole(&file)).unwrap();
        let seen = mapped.with(|bytes| {
            let first = sum(&bytes[..half]);
            writer(&path).set_len(end).unwrap();
            first + sum(&bytes[half..])
        });
        let Err(FileFault::Truncated { offset, promised_end: LEN }) = seen else {
            panic!("{end}: {seen:?}")
        };
        assert_eq!(offset, end);
    }
    // Replaced and deleted: the one that was opened.
    let (file, path) = put(folder, "replaced");
    let mapped = read_mapped(&whole(&file)).unwrap();
    put(folder, "other").0.sync_all().unwrap();
    writer(&folder.join("other")).write_all_at(b"something else", 0).unwrap();
    fs::rename(folder.join("other"), &path).unwrap();
    assert_same(&mapped.with(<[u8]>::to_vec).unwrap(), &bytes_at(0, LEN), &"replaced");
    let (file, path) = put(folder, "deleted");
    let mapped = read_mapped(&whole(&file)).unwrap();
    fs::remove_file(path).unwrap();
    assert_same(&mapped.with(<[u8]>::to_vec).unwrap(), &bytes_at(0, LEN), &"deleted");

    // Overwritten in place: what is there now; an error, if it had to be one version.
    let (file, path) = put(folder, "overwritten");
    let facts = sendrail_sys::fstat(file.as_fd()).unwrap();
    let range = whole(&file).unchanged_since(facts.modified, facts.len);
    let (any, one) = (read_mapped(&whole(&file)).unwrap(), read_mapped(&range).unwrap());
    assert_eq!(one.with(sum).unwrap(), sum(&bytes_at(0, LEN)));
    thread::sleep(std::time::Duration::from_millis(20)); // the clock of files ticks every 10 ms at the most
    writer(&path).write_all_at(&[b'x'; 5000], 10_000).unwrap();
    let seen = any.with(<[u8]>::to_vec).unwrap();
    let mut expected = bytes_at(0, LEN);
    expected[10_000..15_000].fill(b'x');
    assert_same(&seen, &expected, &"overwritten");
    let changed = one.with(sum);
    assert!(matches!(changed, Err(FileFault::Changed { offset: 0 })), "{changed:?}");
    let target = File::create(folder.join("target")).unwrap();
    let copied = copy_file(&range, &target, 0, &CopyOptions::default());
    let error = copied.unwrap_err();
    assert!(matches!(error.fault, CopyFault::Changed) && error.receipt.bytes == 0, "{error}");

    // With holes.
    let path = folder.join("sparse");
    let sparse = File::create(&path).unwrap();
    sparse.set_len(LEN).unwrap();
    sparse.write_all_at(&bytes_at(0, 10_000), 3 << 20).unwrap();
    let file = Arc::new(File::open(&path).unwrap());
    let mut expected = vec![0; LEN as usize];
    expected[3 << 20..][..10_000].copy_from_slice(&bytes_at(0, 10_000));
    let seen = read_mapped(&whole(&file)).unwrap().with(<[u8]>::to_vec).unwrap();
    assert_same(&seen, &expected, &"holes");
}

#[test]
fn in_memory_files_are_mapped() {
    in_memory(map_in);
}

#[test]
fn files_on_each_disk_are_mapped() {
    for disk in ["ext4", "xfs", "btrfs"] {
        println!("{disk}"); // shown when it fails
        on_a_new(disk, map_in);
    }
}

#[test]
fn files_on_an_overlay_are_mapped() {
    on_an_overlay(|folder, _| map_in(folder));
}

/// When somebody writes to a file of the lower layer it is copied up: from then on read(2) gives the copy, and a mapping what it gave
/// before. The length is the copy's, for both.
#[test]
fn a_file_of_the_lower_layer_of_an_overlay_that_is_written_to() {
    on_an_overlay(|folder, lower| {
        fs::write(lower.join("file"), bytes_at(0, LEN)).unwrap();
        let path = folder.join("file");
        let file = Arc::new(File::open(&path).unwrap());
        let range = whole(&file);
        let facts = sendrail_sys::fstat(file.as_fd()).unwrap();
        let one = range.clone().unchanged_since(facts.modified, facts.len);
        let (any, one) = (read_mapped(&range).unwrap(), read_mapped(&one).unwrap());
        thread::sleep(std::time::Duration::from_millis(20));
        writer(&path).write_all_at(b"x", 0).unwrap();
        assert_same(&any.with(<[u8]>::to_vec).unwrap(), &bytes_at(0, LEN), &"as it was");
        assert!(matches!(one.with(sum), Err(FileFault::Changed { .. })));
        writer(&path).set_len(100).unwrap();
        assert!(matches!(any.with(sum), Err(FileFault::Truncated { offset: 100, .. })));
        // From the second byte on, for the first is another one by mappings.
        let range = FileRange::new(Arc::clone(&file), 1, LEN - 1);
        let expected = bytes_at(1, 99);
        send_by_each(
            |_| range.clone(),
            &expected,
            |method, sent, _| {
                let Err(SendError::File { fault: FileFault::Truncated { .. }, .. }) = sent else {
                    panic!("{method}: {sent:?}")
                };
            },
        );
    });
}

/// Sends a file by each method, and says how that ended; what came must be the beginning of the file.
fn send_by_each(
    open: impl Fn(Method) -> FileRange,
    expected: &[u8],
    mut ended: impl FnMut(Method, Result<sendrail_transfer::Receipt, SendError>, usize),
) {
    for method in Method::ALL {
        let (sender, mut reader) = pair(Kind::Tcp);
        let reading = thread::spawn(move || {
            let mut received = Vec::new();
            while read_some(&mut reader, 1 << 20, &mut received) > 0 {}
            received
        });
        let sent = blocking::send(&sender, chain_of(open(method)), by(method));
        drop(sender);
        let received = reading.join().unwrap();
        assert!(received.len() <= expected.len(), "{method}: {} bytes", received.len());
        assert_same(&received, &expected[..received.len()], &method);
        ended(method, sent, received.len());
    }
}

/// Files that the kernel makes up have no length and no mappings. What read(2) gives of them can be sent, if it is as long as was said.
#[test]
fn files_of_proc_and_sysfs() {
    for path in ["/proc/version", "/sys/kernel/mm/transparent_hugepage/enabled"] {
        let Ok(expected) = fs::read(path) else {
            eprintln!("skipped: there is no {path}");
            continue;
        };
        let len = expected.len() as u64;
        let range = |len| FileRange::new(Arc::new(File::open(path).unwrap()), 0, len);
        for (len, one) in [(0, "nothing"), (1, "a byte"), (len, "all"), (1 << 20, "more")] {
            let error = read_mapped(&range(len)).unwrap_err().raw_os_error();
            let expected = if len == 0 { &[22][..] } else { &[5, 19] }; // EINVAL; EIO, ENODEV
            assert!(expected.contains(&error.unwrap()), "{path}, {one}: {error:?}");
        }
        for len in [len, len + 1] {
            let ended = |method, sent, received| match sent {
                Ok(_) => assert_eq!((received, len), (expected.len(), received as u64), "{method}"),
                Err(SendError::File { fault: FileFault::Truncated { offset, .. }, .. }) => {
                    assert_eq!(offset, received as u64, "{path} {method}");
                    // Its length is 0, so that nothing is mapped of it. (That of a file of sysfs is 4096.)
                    let all = offset == expected.len() as u64 && len > offset;
                    assert!(all || (method, offset) == (Method::Mapped, 0), "{path} {method}");
                }
                Err(error) => panic!("{path} {method}: {error}"),
            };
            send_by_each(|_| range(len), &expected, ended);
        }
    }
}

#[test]
fn files_on_fuse_are_mapped_and_sent() {
    on_fuse(|below, at, _server| {
        fs::write(below.join("file"), bytes_at(0, LEN)).unwrap();
        let file = Arc::new(File::open(at.join("file")).unwrap());
        let mapped = read_mapped(&whole(&file)).unwrap();
        assert_same(&mapped.with(<[u8]>::to_vec).unwrap(), &bytes_at(0, LEN), &"mapped");
        let expected = bytes_at(0, LEN);
        send_by_each(
            |_| whole(&file),
            &expected,
            |method, sent, received| {
                assert!(sent.is_ok() && received as u64 == LEN, "{method}: {sent:?}");
            },
        );
        // The server shortens it, and this kernel finds out when it reads.
        let mapped = read_mapped(&whole(&file)).unwrap();
        evict(&file).unwrap();
        writer(&below.join("file")).set_len(LEN / 2 + 100).unwrap();
        let seen = mapped.with(<[u8]>::to_vec);
        assert!(seen.is_err(), "these are no bytes of the file: it is shorter");
    });
}

/// What has been read before is still in the page cache. What has not is an error.
#[test]
fn a_fuse_server_that_dies_is_an_error_of_the_file() {
    on_fuse(|below, at, mut server| {
        let open = |name: String| {
            fs::write(below.join(&name), bytes_at(0, LEN)).unwrap();
            Arc::new(File::open(at.join(name)).unwrap())
        };
        let file = open("mapped".into());
        let mapped = read_mapped(&whole(&file)).unwrap();
        let start = mapped.with(|bytes| bytes[..100].to_vec()).unwrap();
        assert_same(&start, &bytes_at(0, 100), &"before");
        let sent: Vec<_> = Method::ALL.iter().map(|method| open(method.to_string())).collect();
        let copied: Vec<_> =
            CopyMethod::ALL.iter().map(|method| open(method.to_string() + "2")).collect();
        evict(&file).unwrap();
        server.kill();
        // A page that nobody can bring: SIGBUS, but for the handler.
        let seen = mapped.with(sum);
        let Err(FileFault::Read { error, .. }) = seen else { panic!("{seen:?}") };
        assert!([5, 107].contains(&error.raw_os_error().unwrap()), "{error}: EIO, ENOTCONN");

        let expected = bytes_at(0, LEN);
        let open = |method: Method| {
            let place = Method::ALL.iter().position(|one| *one == method).unwrap();
            FileRange::new(Arc::clone(&sent[place]), 0, LEN)
        };
        send_by_each(open, &expected, |method, sent, _| {
            let Err(SendError::File { fault: FileFault::Read { error, .. }, .. }) = sent else {
                panic!("{method}: {sent:?}")
            };
            // To send(2) a mapping without pages is a bad address.
            assert!(
                [5, 14, 103, 107].contains(&error.raw_os_error().unwrap()),
                "{method}: {error}"
            );
        });
        for (method, source) in CopyMethod::ALL.into_iter().zip(&copied) {
            let target = tempfile::tempfile().unwrap();
            let range = FileRange::new(Arc::clone(source), 0, LEN);
            let options = CopyOptions { method: Some(method) };
            let error = copy_file(&range, &target, 0, &options).unwrap_err();
            assert!(
                matches!(error.fault, CopyFault::Source { offset: 0, .. }),
                "{method}: {error}"
            );
        }
    });
}

/// A disk that ends in the middle of a file: what lies behind cannot be read (EIO).
#[test]
fn what_the_disk_cannot_read_is_an_error_of_the_file() {
    on_an_image("ext4", |folder, image| {
        let (file, path) = put(folder, "file");
        file.sync_all().unwrap();
        let bad = LEN / 2;
        // Where on the disk the bad half is.
        let block = bytes_at(bad, 4096);
        let mut all = vec![0; image.metadata().unwrap().len() as usize];
        image.read_exact_at(&mut all, 0).unwrap();
        let place = all.chunks(4096).position(|one| one == block);
        let place = place.expect("it is somewhere on the disk") as u64 * 4096;
        drop(all);
        image.set_len(place).unwrap();
        evict(&file).unwrap();

        let mapped = read_mapped(&whole(&file)).unwrap();
        let good = mapped.with(|bytes| bytes[..PAGE as usize].to_vec()).unwrap();
        assert_same(&good, &bytes_at(0, PAGE), &"the good half");
        let seen = mapped.with(sum);
        let Err(FileFault::Read { error, .. }) = seen else { panic!("{seen:?}") };
        assert_eq!(error.raw_os_error(), Some(5), "EIO");

        let expected = bytes_at(0, bad);
        let open = |_| FileRange::new(Arc::new(File::open(&path).unwrap()), 0, LEN);
        send_by_each(open, &expected, |method, sent, received| {
            let Err(SendError::File { fault: FileFault::Read { error, .. }, receipt }) = sent
            else {
                panic!("{method}: {sent:?}")
            };
            assert!([5, 14].contains(&error.raw_os_error().unwrap()), "{method}: {error}");
            assert_eq!(receipt.bytes, received as u64, "{method}");
        });
        for method in CopyMethod::ALL {
            let target = tempfile::tempfile().unwrap();
            let options = CopyOptions { method: Some(method) };
            let error = copy_file(&whole(&file), &target, 0, &options).unwrap_err();
            let CopyFault::Source { offset, .. } = error.fault else { panic!("{method}: {error}") };
            assert_eq!(offset, error.receipt.bytes, "{method}");
            let mut there = vec![0; offset as usize];
            target.read_exact_at(&mut there, 0).unwrap();
            assert_same(&there, &bytes_at(0, offset), &method);
        }
    });
}

#[test]
fn network_file_systems() {
    let known = fs::read_to_string("/proc/filesystems").unwrap();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let nfs = mounts
        .lines()
        .find(|line| line.split(' ').nth(2).is_some_and(|kind| kind.starts_with("nfs")));
    let Some(mount) = nfs else {
        let has = known.lines().any(|line| line.ends_with("nfs") || line.ends_with("nfs4"));
        return eprintln!("skipped: no NFS is mounted; this kernel has it: {has}");
    };
    let folder = mount.split(' ').nth(1).unwrap();
    match tempfile::tempdir_in(folder) {
        Ok(own) => map_in(own.path()),
        Err(error) => eprintln!("skipped: {folder}: {error}"),
    }
}
