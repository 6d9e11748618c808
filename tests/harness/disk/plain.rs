//! Plain disks with the file systems that a server meets, each in a file of its own or in memory.

use super::mounts::{can_mount, in_private_mounts, run, unmount};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileSystem {
    Ext4,
    Xfs,
    Btrfs,
    /// Over two folders of the disk that the build is on.
    Overlay,
    Tmpfs,
}

impl FileSystem {
    /// Those that are on a loop device.
    pub(crate) const ON_DISK: [Self; 3] = [Self::Ext4, Self::Xfs, Self::Btrfs];

    /// The name that `mount(8)` and `/proc/filesystems` know.
    fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Overlay => "overlay",
            Self::Tmpfs => "tmpfs",
        }
    }

    /// The program that makes it, if there is anything to make.
    fn maker(self) -> Option<&'static str> {
        match self {
            Self::Ext4 => Some("mkfs.ext4"),
            Self::Xfs => Some("mkfs.xfs"),
            Self::Btrfs => Some("mkfs.btrfs"),
            Self::Overlay | Self::Tmpfs => None,
        }
    }
}

/// A file system that is mounted, and unmounted when it is dropped.
struct Mounted {
    at: PathBuf,
    folder: TempDir,
}

/// Runs `body` with the folder where such a file system is mounted, new and empty. The folder beside
/// it called `lower` is the lower layer of [`FileSystem::Overlay`]. Skips it, and says so, where that
/// cannot be had.
pub(crate) fn on(file_system: FileSystem, body: impl FnOnce(&Path) + Send) {
    let devices: &[&str] = if file_system.maker().is_some() { &["/dev/loop-control"] } else { &[] };
    if !can_mount(file_system.maker().as_slice(), devices) {
        return;
    }
    in_private_mounts(|| match Mounted::new(file_system) {
        Ok(mounted) => body(&mounted.at),
        Err(error) => {
            let known = fs::read_to_string("/proc/filesystems").unwrap();
            let known = known.split_whitespace().any(|name| name == file_system.name());
            assert!(!known, "{error}");
            eprintln!("skipped: this kernel does not have {}", file_system.name());
        }
    });
}

impl Mounted {
    fn new(file_system: FileSystem) -> Result<Self, String> {
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let inside = |name: &str| folder.path().join(name);
        for name in ["at", "lower", "upper", "work"] {
            fs::create_dir(inside(name)).unwrap();
        }
        let shown = |name: &str| inside(name).display().to_string();
        let (source, options) = match file_system {
            FileSystem::Overlay => {
                let [lower, upper, work] = ["lower", "upper", "work"].map(shown);
                ("none".into(), format!("lowerdir={lower},upperdir={upper},workdir={work}"))
            }
            FileSystem::Tmpfs => ("none".into(), "size=256m".into()),
            FileSystem::Ext4 | FileSystem::Xfs | FileSystem::Btrfs => {
                // Sparse. XFS wants 300 MiB at the least.
                File::create(inside("image")).unwrap().set_len(1 << 30).unwrap();
                let maker = file_system.maker().expect("a disk is made");
                let quiet = if maker == "mkfs.ext4" { "-qF" } else { "-qf" };
                run(maker, [quiet, &shown("image")])?;
                (shown("image"), "loop".into())
            }
        };
        let at = inside("at");
        run("mount", ["-t", file_system.name(), "-o", &options, &source, at.to_str().unwrap()])?;
        Ok(Self { at, folder })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        unmount(&self.at);
        let _ = &self.folder; // goes after the mount
    }
}
