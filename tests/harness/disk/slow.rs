//! A disk that answers as a test wants: a FUSE file system in the test's own process holds an image, a
//! loop device makes a disk of the image, and ext4 lies on that.
//!
//! The image is read-only and both the loop device and FUSE pass reads on, uncached: what a server has
//! not in its page cache, this process is asked for, and knows. It must not ask itself: nothing here
//! and no test touches a mounted file, but through the server or, hot, in `keep_in`. Then nothing waits
//! for ever, whatever dies: without this process the kernel ends the FUSE connection, and every read
//! fails.

use super::{
    arm::{Arm, Stopped},
    holder::{Holder, NAME},
    image::Image,
    mounts::{can_mount, in_private_mounts, run, unmount},
    pin::Pinned,
};
use crate::harness::{Journal, Server, Tree};
use fuser::{BackgroundSession, Session};
use std::{
    ffi::OsStr,
    fs,
    ops::Range,
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A server's root, in whose folder `slow` the disk is mounted. All else in it is on the disk that the
/// build is on.
pub(crate) struct SlowDisk {
    root: Tree,
    arm: Arc<Arm>,
    image: Image,
    session: BackgroundSession,
    kept: Mutex<Vec<Pinned>>,
    folder: TempDir,
}

impl SlowDisk {
    /// Runs `body` with a disk that holds the files of `source`. Skips it, and says so, where such a
    /// disk cannot be had.
    pub(crate) fn with(source: &Tree, body: impl FnOnce(&Self) + Send) {
        let devices = ["/dev/fuse", "/dev/loop-control"];
        if can_mount(&["findmnt", "losetup", "mkfs.ext4", "setpriv"], &devices) {
            in_private_mounts(|| match Self::mount(source) {
                Ok(disk) => body(&disk),
                Err(error) => panic!("{error}"),
            });
        }
    }

    fn mount(source: &Tree) -> Result<Self, String> {
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).map_err(|e| e.to_string())?;
        let image = Image::of(source)?;
        let arm = Arm::start(image.file.try_clone().map_err(|e| e.to_string())?);
        let fuse = folder.path().join("fuse");
        let root = Tree::new();
        fs::create_dir(&fuse).and_then(|()| fs::create_dir(root.path().join("slow"))).unwrap();
        let holder = Holder::new(Arc::clone(&arm), image.len);
        let session = Session::new(holder, &fuse, &fuser::Config::default())
            .and_then(Session::spawn)
            .map_err(|error| format!("mounting FUSE: {error}"))?;
        let disk = Self { root, arm, image, session, kept: Mutex::default(), folder };
        disk.mount_image()?;
        Ok(disk)
    }

    fn mount_image(&self) -> Result<(), String> {
        let (image, at) = (self.fuse().join(NAME), self.mount_point());
        // From the beginning the loop device goes with the mount (LO_FLAGS_AUTOCLEAR, `loop(4)`).
        let how = ["-t", "ext4", "-o", "ro,loop"].map(OsStr::new);
        run("mount", how.into_iter().chain([image.as_os_str(), at.as_os_str()]))?;
        let device = run("findmnt", ["-n", "-o", "SOURCE", at.to_str().unwrap()])?;
        // Else it reads one after another, each through a page cache of its own.
        run("losetup", ["--direct-io=on", &device]).map(drop)
    }

    fn fuse(&self) -> PathBuf {
        self.folder.path().join("fuse")
    }

    fn mount_point(&self) -> PathBuf {
        self.root.path().join("slow")
    }

    /// What a server serves. Only what is outside of its folder `slow` may be touched.
    pub(crate) fn root(&self) -> &Tree {
        &self.root
    }

    /// Starts a server on the root, with one worker and an access log.
    pub(crate) fn serve(&self, journal: &Journal, arguments: &[&str]) -> Server {
        // It is to end with this process, whatever that dies of: it holds the disk.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_sendrail"), "serve"]);
        command.arg(self.root.path()).args(["--listen", "127.0.0.1:0", "--workers", "1"]);
        command.args(arguments).args(journal.arguments());
        command.env_remove("RUST_LOG").env("NO_COLOR", "1");
        Server::spawn(command)
    }

    /// Brings files into the page cache, and keeps them there.
    pub(crate) fn keep_in(&self, names: &[&str]) {
        // By a child, which may sleep on the disk. Then nothing is left to be read for us.
        for name in names {
            self.read_in(name, u64::MAX >> 1);
        }
        let paths = names.iter().map(|name| self.mount_point().join(name));
        self.kept.lock().unwrap().push(Pinned::all_of(paths));
    }

    /// Brings the beginning of a file into the page cache, and what the kernel reads ahead.
    pub(crate) fn read_in(&self, name: &str, len: u64) {
        let (len, path) = (len.to_string(), self.mount_point().join(name));
        let head = ["-c", "head -c \"$0\" \"$1\" >/dev/null", &len].map(OsStr::new);
        run("sh", head.into_iter().chain([path.as_os_str()])).unwrap();
    }

    /// Stops the disk: no read is answered until what this returns is dropped.
    pub(crate) fn stop(&self) -> Stopped {
        self.arm.stop()
    }

    /// Has each read take this much longer.
    pub(crate) fn delay_by(&self, delay: Duration) {
        self.arm.set_delay(delay);
    }

    /// How many reads wait for an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.arm.waiting()
    }

    /// What has been read of the image: a range for each answer.
    pub(crate) fn answered(&self) -> Vec<Range<u64>> {
        self.arm.answered()
    }

    /// Where in the image a block of 4 KiB of a file lies; it is found by its bytes.
    pub(crate) fn find(&self, block: &[u8]) -> u64 {
        self.image.find(block)
    }

    /// Makes a block of a file unreadable: the disk answers EIO.
    pub(crate) fn spoil(&self, block: &[u8]) {
        let at = self.find(block);
        self.arm.add_fault(at..at + block.len() as u64);
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        self.kept.get_mut().unwrap().clear();
        self.arm.break_down();
        unmount(&self.mount_point());
        unmount(&self.fuse());
        // It ends when nobody can ask any more, which is when the loop device has let go of the image.
        let start = Instant::now();
        while !self.session.guard.is_finished() && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.arm.close();
    }
}
