//! Disks that take no more: full, over quota, read-only, a limit for files. The error says why, the log is as it was before, and when there is room
//! again the next append works.

use crate::common::*;
use rustix::{
    mount::{
        MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount,
        unmount,
    },
    thread::UnshareFlags,
};
use sendrail_segment_log::{AppendError, Log, OpenError, Options};
use std::{env, fs, io, path::Path, process::Command, thread};

/// Runs `body` in a thread with a mount namespace of its own (`mount_namespaces(7)`), and an empty folder to mount something
/// at; not without privileges.
fn with_mounts(body: impl FnOnce(&Path) + Send) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: mounting needs root");
        return;
    }
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            #[expect(deprecated, reason = "unsafe only by UnshareFlags::FILES, which is not used")]
            let alone = rustix::thread::unshare(UnshareFlags::NEWNS);
            if let Err(error) = alone {
                eprintln!("skipped: a mount namespace: {error}");
                return;
            }
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", private).unwrap();
            let folder = folder();
            body(folder.path());
            let _ = unmount(folder.path(), UnmountFlags::DETACH);
        });
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// Runs `body` on a new file system of that kind, of some MiB, if it can be had.
fn on_a_small(kind: &str, body: impl FnOnce(&Path) + Send) {
    with_mounts(|folder| {
        if kind == "tmpfs" {
            let size = c"size=3m,huge=never";
            mount("small", folder, "tmpfs", MountFlags::empty(), size).unwrap();
            return body(folder);
        }
        let image = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        image.as_file().set_len(if kind == "xfs" { 320 << 20 } else { 128 << 20 }).unwrap();
        let force = if kind == "ext4" { "-F" } else { "-f" };
        let script = "exec 2>&1; mkfs.$1 -q $2 $3 && mount -o loop -t $1 $3 $4";
        let made = Command::new("sh")
            .args(["-c", script, "sh", kind, force])
            .arg(image.path())
            .arg(folder)
            .output()
            .unwrap();
        if made.status.success() {
            body(folder);
        } else {
            eprintln!("skipped: {kind}: {}", String::from_utf8_lossy(&made.stdout));
        }
    });
}

#[track_caller]
fn assert_says(error: &AppendError, kinds: &[io::ErrorKind]) {
    let AppendError::Io { error: said, .. } = error else { panic!("{error}") };
    assert!(kinds.contains(&said.kind()), "{error}");
}

/// Appends until that fails, and says how.
fn append_until_it_fails(log: &Log, batch: u64) -> AppendError {
    loop {
        let next = log.end();
        let payloads: Vec<_> = (next..next + batch).map(payload).collect();
        match log.append(payloads.iter().map(Vec::as_slice)) {
            Ok(appended) => assert_eq!(appended.next, next + batch),
            Err(error) => {
                assert_eq!(log.end(), next, "nothing of it is there");
                return error;
            }
        }
    }
}

/// Takes all of a disk but some 3 MiB.
fn fill(folder: &Path, ballast: &Path) {
    let flags = rustix::fs::FallocateFlags::empty();
    let room = folder.join("room");
    rustix::fs::fallocate(fs::File::create(&room).unwrap(), flags, 0, 3 << 20).unwrap();
    let filler = fs::File::create(ballast).unwrap();
    let (mut at, mut step) = (0, 64 << 20);
    while step >= 64 << 10 {
        match rustix::fs::fallocate(&filler, flags, at, step) {
            Ok(()) => at += step,
            Err(_) => step /= 2,
        }
    }
    fs::remove_file(room).unwrap();
    rustix::fs::syncfs(&filler).unwrap();
}

#[test]
fn a_full_disk_and_room_again() {
    for kind in ["tmpfs", "ext4", "xfs", "btrfs"] {
        for every in [false, true] {
            on_a_small(kind, |folder| {
                let options = Options { segment_bytes: 300_000, ..Options::default() };
                let options = if every { on_disk(&options) } else { options };
                let ballast = folder.join("ballast");
                if kind != "tmpfs" {
                    fill(folder, &ballast);
                }
                let log = Log::open(folder.join("log"), options.clone()).unwrap();
                let error = append_until_it_fails(&log, 500);
                assert_says(&error, &[io::ErrorKind::StorageFull]);
                assert!(error.to_string().contains(".log"), "{error}");
                let end = log.end();
                assert_eq!(look_through(&log, 10_000), 0..end);
                assert_says(&append_until_it_fails(&log, 1500), &[io::ErrorKind::StorageFull]);

                if kind == "tmpfs" {
                    mount_remount(folder, MountFlags::empty(), c"size=6m").unwrap();
                } else {
                    fs::remove_file(&ballast).unwrap();
                    rustix::fs::syncfs(fs::File::open(folder).unwrap()).unwrap();
                }
                let went_on = log.end();
                append_until(&log, went_on + 700, 500);
                assert_eq!(look_through(&log, 10_000), 0..went_on + 700);
                drop(log);
                let log = Log::open(folder.join("log"), options).unwrap();
                assert!(log.recovery().torn.is_none(), "{}", log.recovery());
                assert_eq!(look_through(&log, 10_000), 0..went_on + 700);
            });
        }
    }
}

#[test]
fn over_quota() {
    on_a_small("btrfs", |folder| {
        let path = folder.join("log");
        let script = "btrfs -q subvolume create $1 && btrfs -q quota enable $2 && btrfs -q qgroup limit 2M $1";
        let limited = Command::new("sh").args(["-c", script, "sh"]).args([&path, folder]).output();
        if !limited.is_ok_and(|output| output.status.success()) {
            return eprintln!("skipped: no quota of btrfs here");
        }
        let log = Log::open(&path, on_disk(&Options::default())).unwrap();
        let error = append_until_it_fails(&log, 300);
        assert_says(&error, &[io::ErrorKind::QuotaExceeded]);
        let end = log.end();
        assert_eq!(look_through(&log, 10_000), 0..end);
        let lifted =
            Command::new("btrfs").args(["-q", "qgroup", "limit", "none"]).arg(&path).status();
        assert!(lifted.unwrap().success());
        append_until(&log, end + 1000, 500);
        assert_eq!(look_through(&log, 10_000), 0..end + 1000);
    });
}

#[test]
fn a_read_only_file_system_from_the_start_and_in_the_middle() {
    on_a_small("ext4", |folder| {
        let path = folder.join("log");
        let log = Log::open(&path, tiny()).unwrap();
        append_until(&log, 50, 3);
        // Nobody may write any more, as after an error of the disk (errors=remount-ro). What is open for writing would be in the way.
        let aborted = Command::new("sh")
            .args(["-c", "mount -o remount,abort $1", "sh"])
            .arg(folder)
            .output()
            .unwrap();
        if aborted.status.success() {
            let error = append_until_it_fails(&log, 50);
            assert!(matches!(error, AppendError::Io { .. }), "{error}");
            let end = log.end();
            assert_eq!(look_through(&log, 1000), 0..end, "what was there is still served");
            drop(log);
            let error = Log::open(&path, tiny()).unwrap_err();
            let OpenError::Io { error: said, .. } = &error else { panic!("{error}") };
            assert_eq!(said.kind(), io::ErrorKind::ReadOnlyFilesystem, "{error}");
        } else {
            eprintln!("skipped: remount,abort: {}", String::from_utf8_lossy(&aborted.stderr));
        }
    });
    on_a_small("tmpfs", |folder| {
        let flags = MountFlags::RDONLY;
        mount_remount(folder, flags, c"").unwrap();
        for path in [folder.to_path_buf(), folder.join("log")] {
            let error = Log::open(path, tiny()).unwrap_err();
            let OpenError::Io { error: said, .. } = &error else { panic!("{error}") };
            assert_eq!(said.kind(), io::ErrorKind::ReadOnlyFilesystem, "{error}");
        }
    });
}

#[test]
fn a_directory_without_permission() {
    use std::os::unix::fs::PermissionsExt;
    let folder = filled(&tiny(), 100);
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped in part: to root all is permitted");
    } else {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
        fs::remove_file(folder.path().join("lock")).unwrap_err();
    }
    // Immutable is so for root as well (chattr(1)).
    let immutable = |flag: &str| {
        let done = Command::new("chattr").arg(flag).arg(folder.path()).output();
        done.is_ok_and(|output| output.status.success())
    };
    let log = Log::open(folder.path(), tiny()).unwrap();
    if !immutable("+i") {
        return eprintln!("skipped: no chattr here");
    }
    let error = append_until_it_fails(&log, 3);
    immutable("-i");
    let AppendError::Io { doing, error: said, .. } = &error else { panic!("{error}") };
    assert_eq!(*doing, "make the segment", "what is there is open already");
    assert_eq!(said.kind(), io::ErrorKind::PermissionDenied, "{error}");
    let end = log.end();
    append_until(&log, end + 100, 3);
    assert_eq!(look_through(&log, 1000), 0..end + 100);
}

/// RLIMIT_FSIZE is the process's: this test, started again by a shell that has set it.
#[test]
fn a_limit_for_the_length_of_files_ends_no_process() {
    const DIRECTORY: &str = "SENDRAIL_TEST_LIMITED";
    if let Some(directory) = env::var_os(DIRECTORY) {
        let directory = Path::new(&directory);
        let log = Log::open(directory, Options::default()).unwrap();
        // Segments end before the limit, so that it does not show.
        append_until(&log, 3000, 100);
        assert_eq!(look_through(&log, 10_000), 0..3000);
        assert!(segments(directory).len() > 2);
        let lengthy = vec![0; 200_000];
        let error = log.append([&lengthy[..]]).unwrap_err();
        assert_says(&error, &[io::ErrorKind::FileTooLarge]);
        append_until(&log, 3100, 10);
        drop(log);
        assert_eq!(look_through(&Log::open(directory, Options::default()).unwrap(), 1000), 0..3100);
        return;
    }
    let folder = folder();
    let output = Command::new("sh")
        .args(["-c", "ulimit -f 200 && exec \"$@\"", "sh"]) // of 512 bytes
        .arg(env::current_exe().unwrap())
        .args(["--exact", "disks::a_limit_for_the_length_of_files_ends_no_process"])
        .env(DIRECTORY, folder.path())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{}: {said}", output.status);
}
