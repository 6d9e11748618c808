//! Disks that only one test sees: in mounts of its own.

use rustix::{
    mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount},
    thread::UnshareFlags,
};
use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

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
    on_an_image(kind, |folder, _| body(folder));
}

/// The same, and the file in which the file system is.
pub(crate) fn on_an_image(kind: &str, body: impl FnOnce(&Path, &File) + Send) {
    with_mounts(|folder| {
        let image = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        image.as_file().set_len(512 << 20).unwrap();
        // The same for both: "make one, whatever was there".
        let force = if kind == "ext4" { "-F" } else { "-f" };
        let script = "exec 2>&1; mkfs.$1 -q $2 $3 && mount -o loop -t $1 $3 $4";
        let made = Command::new("sh")
            .args(["-c", script, "sh", kind, force])
            .arg(image.path())
            .arg(folder)
            .output()
            .unwrap();
        if made.status.success() {
            body(folder, image.as_file());
        } else {
            eprintln!("skipped: {kind}: {}", String::from_utf8_lossy(&made.stdout));
        }
    });
}

/// Runs `body` with a folder in memory that has room for more.
pub(crate) fn in_memory(body: impl FnOnce(&Path) + Send) {
    with_mounts(|folder| {
        mount("memory", folder, "tmpfs", MountFlags::empty(), c"size=256m").unwrap();
        body(folder);
    });
}

/// Runs `body` with an overlay's folder, and its lower layer's, which may be written to.
pub(crate) fn on_an_overlay(body: impl FnOnce(&Path, &Path) + Send) {
    with_mounts(|folder| {
        let layers = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let [lower, upper, work] = ["lower", "upper", "work"].map(|name| {
            let path = layers.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        });
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        let mounted = run("mount", &["-t", "overlay", "-o", &options, "none"], folder);
        match mounted {
            Ok(()) => body(folder, &lower),
            Err(error) => eprintln!("skipped: an overlay: {error}"),
        }
    });
}

/// Runs a command of the system.
///
/// # Errors
///
/// What it said.
pub(crate) fn run(program: &str, arguments: &[&str], last: &Path) -> Result<(), String> {
    let output = Command::new(program).args(arguments).arg(last).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {said}")) }
}

/// A FUSE file system that shows another folder, and the process that serves it.
pub(crate) struct Fuse {
    server: Child,
}

impl Fuse {
    /// The server dies, as by a bug of its own. What nobody has in memory cannot be had any more.
    pub(crate) fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Runs `body` with a folder, where bindfs(1) shows it, and bindfs itself.
pub(crate) fn on_fuse(body: impl FnOnce(&Path, &Path, Fuse) + Send) {
    with_mounts(|at| {
        let below = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::write(below.path().join("there"), "").unwrap();
        // In the foreground, to be killed by this process.
        let server = Command::new("bindfs").arg("-f").args([below.path(), at]).spawn();
        let mut server = match server {
            Ok(server) => Fuse { server },
            Err(error) => return eprintln!("skipped: bindfs: {error}"),
        };
        let begun = Instant::now();
        while !at.join("there").exists() {
            if let Some(status) = server.server.try_wait().unwrap() {
                return eprintln!("skipped: bindfs does not work here: {status}");
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "it is not mounted");
            thread::sleep(Duration::from_millis(5));
        }
        body(below.path(), at, server);
    });
}
