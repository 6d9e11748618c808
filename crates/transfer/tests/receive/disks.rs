//! Disks that only one test sees: in mounts of its own.

use crate::*;
use rustix::{
    mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount},
    thread::UnshareFlags,
};
use std::path::Path;

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
