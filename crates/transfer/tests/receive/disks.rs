//! Disks that only one test sees: in mounts of its own.

use crate::*;
use rustix::{
    mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount},
    thread::UnshareFlags,
};
use std::{path::Path, process::Command};

/// A file without a name.
pub(crate) fn file_in(folder: &Path) -> File {
    tempfile::tempfile_in(folder).unwrap()
}

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
            let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            body(folder.path());
            let _ = unmount(folder.path(), UnmountFlags::DETACH);
        });
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// Runs `body` with a folder in memory that has room for 4 MiB.
pub(crate) fn on_a_small_disk(body: impl FnOnce(&Path) + Send) {
    with_mounts(|folder| {
        let size = c"size=4m,huge=never";
        mount("small", folder, "tmpfs", MountFlags::empty(), size).unwrap();
        body(folder);
    });
}
/// Runs `body` with a folder on a new file system of that kind, if it can be had.
pub(crate) fn on_a_new(kind: &str, body: impl FnOnce(&Path) + Send) {
    with_mounts(|folder| {
        let image = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        image.as_file().set_len(512 << 20).unwrap();
        let script = "exec 2>&1; mkfs.$1 -q -f $2 && mount -o loop -t $1 $2 $3";
        let made = Command::new("sh")
            .args(["-c", script, "sh", kind])
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
