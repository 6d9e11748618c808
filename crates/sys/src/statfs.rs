//! fstatfs(2): on which kind of file system an open file lies.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

/// Builds the enum, its names and its magic numbers (statfs(2), linux/magic.h) from one table.
macro_rules! file_systems {
    ($($(#[$doc:meta])* $variant:ident $name:literal $home:ident [$($magic:literal),+];)+) => {
        /// A kind of file system, as far as it matters for moving files.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum FileSystem {
            $($(#[$doc])* $variant,)+
            /// Not in the table; its `f_type`.
            Other(i64),
        }

        impl FileSystem {
            /// The file system that calls itself `magic` (`f_type` of statfs(2)).
            pub fn from_magic(magic: i64) -> FileSystem {
                // Some kernels sign-extend numbers with the highest of 32 bits set.
                match magic as u32 {
                    $($($magic)|+ => FileSystem::$variant,)+
                    _ => FileSystem::Other(magic),
                }
            }

            /// Its usual name; `"unknown"` for one that is not in the table.
            pub fn name(self) -> &'static str {
                match self {
                    $(FileSystem::$variant => $name,)+
                    FileSystem::Other(_) => "unknown",
                }
            }

            fn home(self) -> Home {
                match self {
                    $(FileSystem::$variant => Home::$home,)+
                    FileSystem::Other(_) => Home::Here,
                }
            }
        }

        #[cfg(test)]
        const TABLE: &[(FileSystem, &str, &[u32])] =
            &[$((FileSystem::$variant, $name, &[$($magic),+])),+];
    };
}

/// Who decides what a file's pages hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Home {
    /// This kernel alone.
    Here,
    /// Another machine, the host of this virtual one, or a process: pages may be stale, reads may fail or hang, and
    /// the length may change without this kernel being told.
    Elsewhere,
}

file_systems! {
    /// ext2, ext3 and ext4, which share a number.
    Ext "ext4" Here [0xEF53];
    /// XFS.
    Xfs "xfs" Here [0x5846_5342];
    /// Btrfs.
    Btrfs "btrfs" Here [0x9123_683E];
    /// F2FS, for flash.
    F2fs "f2fs" Here [0xF2F5_2010];
    /// bcachefs.
    Bcachefs "bcachefs" Here [0xCA45_1A4E];
    /// ZFS, which has a cache of its own beside the page cache.
    Zfs "zfs" Here [0x2FC1_2FC1];
    /// tmpfs, including memfd_create(2).
    Tmpfs "tmpfs" Here [0x0102_1994];
    /// ramfs and the initial root.
    Ramfs "ramfs" Here [0x8584_58F6];
    /// hugetlbfs.
    Hugetlbfs "hugetlbfs" Here [0x9584_58F6];
    /// overlayfs, as containers have it: the file itself lies on a layer below.
    Overlay "overlay" Here [0x794C_7630];
    /// EROFS, read-only.
    Erofs "erofs" Here [0xE0F5_E1E2];
    /// SquashFS, read-only.
    Squashfs "squashfs" Here [0x7371_7368];
    /// ISO 9660.
    Iso9660 "iso9660" Here [0x9660];
    /// FAT.
    Fat "vfat" Here [0x4D44];
    /// exFAT.
    Exfat "exfat" Here [0x2011_BAB0];
    /// NTFS by the kernel's own drivers.
    Ntfs "ntfs" Here [0x5346_544E, 0x7366_746E];
    /// procfs: files without a length.
    Proc "proc" Here [0x9FA0];
    /// sysfs: files whose length is a page, whatever they hold.
    Sysfs "sysfs" Here [0x6265_6572];
    /// cgroup v1 and v2.
    Cgroup "cgroup" Here [0x0027_E0EB, 0x6367_7270];
    /// devpts: terminals.
    Devpts "devpts" Here [0x1CD1];
    /// NFS.
    Nfs "nfs" Elsewhere [0x6969];
    /// SMB and CIFS.
    Smb "smb" Elsewhere [0x517B, 0xFF53_4D42, 0xFE53_4D42];
    /// FUSE: any file system made by a process, virtiofs among them.
    Fuse "fuse" Elsewhere [0x6573_5546];
    /// 9P, as hypervisors share directories.
    NineP "9p" Elsewhere [0x0102_1997];
    /// CephFS.
    Ceph "ceph" Elsewhere [0x00C3_6400];
    /// VirtualBox shared folders.
    VboxSf "vboxsf" Elsewhere [0x786F_4256];
    /// VMware shared folders.
    Vmhgfs "vmhgfs" Elsewhere [0xBACB_ACBC];
    /// Parallels shared folders.
    Prlfs "prl_fs" Elsewhere [0x7C7C_6673];
    /// AFS.
    Afs "afs" Elsewhere [0x5346_414F, 0x6B41_4653];
    /// Coda.
    Coda "coda" Elsewhere [0x7375_7245];
    /// Lustre.
    Lustre "lustre" Elsewhere [0x0BD0_0BD0];
    /// GFS2: one disk, several machines.
    Gfs2 "gfs2" Elsewhere [0x0116_1970];
    /// OCFS2: one disk, several machines.
    Ocfs2 "ocfs2" Elsewhere [0x7461_636F];
}

impl FileSystem {
    /// Whether another machine or a process decides what the pages hold, so that only copying is sure to send what was
    /// read. False for kinds that are not in the table.
    pub fn is_network_or_fuse(self) -> bool {
        self.home() == Home::Elsewhere
    }
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileSystem::Other(magic) => write!(f, "unknown (0x{:x})", *magic as u32),
            known => f.pad(known.name()),
        }
    }
}

/// The kind of file system that an open file (an `O_PATH` descriptor will do) lies on. One fstatfs(2).
///
/// May wait for a network file system's server.
///
/// ```
/// use std::{fs::File, os::fd::AsFd};
/// let status = File::open("/proc/self/status")?;
/// assert_eq!(sendrail_sys::file_system(status.as_fd())?, sendrail_sys::FileSystem::Proc);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn file_system(fd: BorrowedFd<'_>) -> io::Result<FileSystem> {
    Ok(FileSystem::from_magic(rustix::fs::fstatfs(fd)?.f_type))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn every_number_means_one_file_system() {
        let mut seen = std::collections::HashMap::new();
        for (file_system, name, magics) in TABLE {
            assert_eq!(file_system.name(), *name);
            for magic in *magics {
                assert_eq!(seen.insert(*magic, name), None, "{name} 0x{magic:x}");
                assert_eq!(FileSystem::from_magic(i64::from(*magic)), *file_system);
                let extended = i64::from(magic.cast_signed());
                assert_eq!(FileSystem::from_magic(extended), *file_system, "sign-extended");
            }
        }
    }

    #[test]
    fn the_rest_keeps_its_number() {
        let other = FileSystem::from_magic(0x1234_5678);
        assert_eq!(other, FileSystem::Other(0x1234_5678));
        assert_eq!(other.to_string(), "unknown (0x12345678)");
        assert!(!other.is_network_or_fuse());
    }

    #[test]
    fn who_decides_over_the_pages() {
        for here in [FileSystem::Ext, FileSystem::Tmpfs, FileSystem::Overlay, FileSystem::Proc] {
            assert!(!here.is_network_or_fuse(), "{here}");
        }
        for elsewhere in [FileSystem::Nfs, FileSystem::Smb, FileSystem::Fuse, FileSystem::NineP] {
            assert!(elsewhere.is_network_or_fuse(), "{elsewhere}");
        }
    }

    #[test]
    fn real_ones_are_recognised() {
        let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        assert_eq!(file_system(file.as_fd()).unwrap(), FileSystem::Tmpfs);
        let status = std::fs::File::open("/proc/self/status").unwrap();
        assert_eq!(file_system(status.as_fd()).unwrap(), FileSystem::Proc);
    }
}
