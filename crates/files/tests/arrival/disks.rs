//! Disks that are full, read-only, limited, or of another kind: each in mounts that only one test sees.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change,
    mount_remount, unmount,
};
use rustix::thread::UnshareFlags;
use sendrail_files::{
    ArrivalError, Landing, LandingError, NoSpace, ResumableTerms, Resumed, Root, RootOptions, Terms,
};

use crate::{arriving, is_record, landing, len, names, options, pattern, put};

/// Runs `body` in a thread with a mount namespace of its own (mount_namespaces(7)), and an empty folder to mount something at.
pub(crate) fn with_mounts(body: impl FnOnce(&Path) + Send) {
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
            let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            body(folder.path());
            let _ = unmount(folder.path(), UnmountFlags::DETACH);
        });
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// Runs `body` with a folder on a new file system of that kind, if it can be had. Skips it by name if not.
fn on_a_new(kind: &str, mib: u64, options: &str, body: impl FnOnce(&Path) + Send) {
    with_mounts(|folder| {
        let image = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        image.as_file().set_len(mib << 20).unwrap();
        let force = if kind == "ext4" { "-F" } else { "-f" };
        let script = "exec 2>&1; mkfs.$1 -q $2 $3 && mount -o loop,$5 -t $1 $3 $4";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", kind, force]).arg(image.path()).arg(folder).arg(options);
        if succeeds(&mut command) {
            body(folder);
        }
    });
}

pub(crate) fn succeeds(command: &mut Command) -> bool {
    match command.output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            eprintln!("skipped: {command:?}: {}", String::from_utf8_lossy(&said));
            false
        }
        Err(error) => {
            eprintln!("skipped: {command:?}: {error}");
            false
        }
    }
}

fn in_memory(folder: &Path, size: &str) {
    let size = std::ffi::CString::new(format!("size={size},huge=never")).unwrap();
    mount("memory", folder, "tmpfs", MountFlags::empty(), size.as_c_str()).unwrap();
}

/// What must be possible on every file system.
fn everything(folder: &Path, sub: &str) {
    let bytes = pattern(200_000, 3);
    let root = Root::open(folder, RootOptions::default()).unwrap();
    for landing in [
        Landing::open(&root, b"", options()).unwrap(),
        Landing::open_by_names(&root, b"", options()).unwrap(),
    ] {
        let path = |name: &str| format!("{sub}{name}");
        let at = |name: &str| folder.join(path(name));
        let _ = fs::remove_file(at("a"));
        assert!(put(&landing, &path("a"), b"short").created);
        assert!(!put(&landing, &path("a"), &bytes).created);
        assert_eq!(fs::read(at("a")).unwrap(), bytes);
        let absent = Terms { only_if_absent: true, ..Terms::default() };
        let refused = landing.begin(path("a").as_bytes(), absent.clone());
        assert!(matches!(refused, Err(ArrivalError::PreconditionFailed)));
        let late = landing.begin(path("late").as_bytes(), absent.clone()).unwrap();
        put(&landing, &path("late"), b"early");
        assert!(matches!(late.finish(), Err(ArrivalError::PreconditionFailed)));
        assert_eq!(fs::read(at("late")).unwrap(), b"early");
        fs::remove_file(at("late")).unwrap();
        drop(arriving(&landing, &path("b"), b"given up"));

        for (terms, is_new) in [(absent, true), (Terms::default(), false)] {
            let resumable = ResumableTerms::default();
            let mut upload = landing.create(path("c").as_bytes(), terms, resumable).unwrap();
            upload.file().write_all(&bytes[..70_000]).unwrap();
            upload.advanced(70_000).unwrap();
            let id = upload.id();
            drop(upload);
            let Resumed::Open(mut upload) = landing.resume(id, None).unwrap() else { panic!() };
            assert_eq!(upload.offset(), 70_000);
            io::Seek::seek(&mut upload.file(), io::SeekFrom::Start(70_000)).unwrap();
            upload.file().write_all(&bytes[70_000..]).unwrap();
            upload.advanced(130_000).unwrap();
            assert_eq!(upload.complete(None).unwrap().created, is_new);
            drop(upload);
            assert_eq!(fs::read(at("c")).unwrap(), bytes);
            let Resumed::Completed(completed) = landing.resume(id, None).unwrap() else { panic!() };
            assert_eq!(completed.facts.unwrap().len, 200_000);
        }
        fs::remove_file(at("c")).unwrap();
        let left = names(&folder.join(".uploads"));
        assert!(left.iter().all(|name| is_record(name)), "{left:?}");
        let hidden = names(&folder.join(sub));
        assert!(!hidden.iter().any(|name| name.starts_with(".upload-")), "{hidden:?}");
    }
}

#[test]
fn ext4() {
    on_a_new("ext4", 64, "defaults", |folder| everything(folder, ""));
}

#[test]
fn xfs() {
    on_a_new("xfs", 512, "defaults", |folder| everything(folder, ""));
}

#[test]
fn btrfs() {
    on_a_new("btrfs", 256, "defaults", |folder| {
        everything(folder, "");
        // A subvolume is another device, and nothing is renamed into it from elsewhere.
        if succeeds(Command::new("btrfs").args(["subvolume", "create"]).arg(folder.join("sub"))) {
            everything(folder, "sub/");
        }
    });
}

#[test]
fn memory() {
    with_mounts(|folder| {
        in_memory(folder, "64m");
        everything(folder, "");
    });
}

#[test]
fn fuse() {
    with_mounts(|folder| {
        let (below, at) = (folder.join("below"), folder.join("at"));
        fs::create_dir(&below).unwrap();
        fs::create_dir(&at).unwrap();
        if succeeds(Command::new("bindfs").arg(&below).arg(&at)) {
            let landing = landing(&at);
            eprintln!("{}: without names: {}", landing.file_system(), landing.has_unnamed_files());
            everything(&at, "");
            drop(landing);
            unmount(&at, UnmountFlags::DETACH).unwrap();
        }
    });
}

#[test]
fn overlay() {
    with_mounts(|folder| {
        in_memory(folder, "64m");
        for name in ["lower", "upper", "work", "at"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        let options = "lowerdir=lower,upperdir=upper,workdir=work"
            .split(',')
            .map(|option| option.replace('=', &format!("={}/", folder.display())))
            .collect::<Vec<_>>()
            .join(",");
        let mut command = Command::new("mount");
        command.args(["-t", "overlay", "overlay", "-o", &options]).arg(folder.join("at"));
        if succeeds(&mut command) {
            everything(&folder.join("at"), "");
            unmount(folder.join("at"), UnmountFlags::DETACH).unwrap();
        }
    });
}

#[test]
fn another_file_system_inside() {
    with_mounts(|folder| {
        fs::create_dir(folder.join("sub")).unwrap();
        in_memory(&folder.join("sub"), "8m");
        everything(folder, "sub/");
        unmount(folder.join("sub"), UnmountFlags::DETACH).unwrap();
    });
}

/// The same file system, and yet nothing can be renamed or linked across (rename(2), EXDEV).
#[test]
fn another_mount_inside() {
    with_mounts(|folder| {
        fs::create_dir(folder.join("sub")).unwrap();
        fs::create_dir(folder.join("elsewhere")).unwrap();
        mount_bind(folder.join("elsewhere"), folder.join("sub")).unwrap();
        everything(folder, "sub/");
        unmount(folder.join("sub"), UnmountFlags::DETACH).unwrap();
    });
}

#[test]
fn full() {
    with_mounts(|folder| {
        in_memory(folder, "1m");
        is_full(folder, NoSpace::Disk);
    });
    on_a_new("ext4", 64, "defaults", |folder| is_full(folder, NoSpace::Disk));
}

#[test]
fn quota_of_the_disk() {
    on_a_new("btrfs", 256, "defaults", |folder| {
        let path = folder.to_str().unwrap();
        let commands = [["quota", "enable", path, ""], ["qgroup", "limit", "40m", path]];
        let limited = commands.iter().all(|words| {
            succeeds(Command::new("btrfs").args(words.iter().filter(|word| !word.is_empty())))
        });
        if limited {
            is_full(folder, NoSpace::DiskQuota);
        }
    });
    on_a_new("xfs", 512, "prjquota", |folder| {
        let set = |command: &str| {
            succeeds(Command::new("xfs_quota").args(["-x", "-c", command]).arg(folder))
        };
        let path = folder.to_str().unwrap();
        if set(&format!("project -s -p {path} 7")) && set("limit -p bhard=40m 7") {
            // A project that is full says ENOSPC (xfs, as of today), and shows its limit as the size of the disk.
            is_full(folder, NoSpace::Disk);
        }
    });
}

/// Fills the disk by what arrives, and sees that nothing is left of that, and that what can be done is done.
fn is_full(folder: &Path, what: NoSpace) {
    let landing = landing(folder);
    put(&landing, "there", &pattern(10_000, 1));
    let arrival = landing.begin(b"endless", Terms::default()).unwrap();
    let error = fill(arrival.file());
    let error = ArrivalError::from_kernel("writing", error);
    assert!(matches!(error, ArrivalError::NoSpace(found) if found == what), "{error:?}");
    let refused = landing.begin(b"large", len(900_000_000));
    assert!(matches!(refused, Err(ArrivalError::NoSpace(_))), "{refused:?}");
    let refused = landing.create(b"large", len(900_000_000), ResumableTerms::default());
    assert!(matches!(refused, Err(ArrivalError::NoSpace(_))), "{refused:?}");
    drop(arrival);
    assert_eq!(fs::read(folder.join("there")).unwrap(), pattern(10_000, 1));
    assert!(!folder.join("endless").exists() && !folder.join("large").exists());
    let left = names(&folder.join(".uploads"));
    assert!(left.is_empty(), "{left:?}");
    // There is room again, once the file system has come to give it back.
    while landing.begin(b"there", len(20_000)).is_err() {
        rustix::fs::syncfs(File::open(folder).unwrap()).unwrap();
        thread::sleep(Duration::from_millis(10));
    }
    put(&landing, "there", &pattern(20_000, 2));
    assert_eq!(fs::read(folder.join("there")).unwrap(), pattern(20_000, 2));

    // An upload that was filled up can be gone on with when there is room.
    let mut upload = landing.create(b"there", Terms::default(), ResumableTerms::default()).unwrap();
    fill(upload.file());
    let arrived = upload.file().metadata().unwrap().len();
    let _ = upload.advanced(arrived);
    let id = upload.id();
    drop(upload);
    let Resumed::Open(upload) = landing.resume(id, None).unwrap() else { panic!() };
    assert_eq!(upload.offset(), arrived);
    upload.cancel().unwrap();
}

/// Writes until it cannot, and to the disk, where some notice it.
fn fill(mut file: &File) -> io::Error {
    let piece = pattern(1 << 20, 5);
    loop {
        let written = file.write_all(&piece).and_then(|()| file.sync_data());
        if let Err(error) = written {
            return error;
        }
    }
}

#[test]
fn read_only() {
    with_mounts(|folder| {
        in_memory(folder, "1m");
        let landing = landing(folder);
        put(&landing, "a", b"before");
        mount_remount(folder, MountFlags::RDONLY, c"").unwrap();
        let refused = landing.begin(b"a", len(1));
        assert!(matches!(refused, Err(ArrivalError::ReadOnly)), "{refused:?}");
        let refused = landing.create(b"a", len(1), ResumableTerms::default());
        assert!(matches!(refused, Err(ArrivalError::ReadOnly)), "{refused:?}");
        let root = Root::open(folder, RootOptions::default()).unwrap();
        let refused = Landing::open(&root, b"", options());
        assert!(matches!(refused, Err(LandingError::ReadOnly { .. })), "{refused:?}");
        assert_eq!(fs::read(folder.join("a")).unwrap(), b"before");
        assert_eq!(landing.used(), 0);
    });
}
