//! File systems whose files have no pages: the kernel makes what is read when it is read.

use sendrail_sys::FileSystem;
use std::io;

/// Why nothing is said of a file or directory there.
pub(super) fn without_cache(file_system: FileSystem) -> io::Error {
    io::Error::other(format!("is on {file_system}, which has no page cache"))
}

/// Whether files on it have pages at all. In the others each read makes what is read: an open may have effects, and
/// sizes mean nothing (/proc/kcore has 128 TiB).
pub(super) fn has_page_cache(file_system: FileSystem) -> bool {
    // linux/magic.h: those that have no variant of their own.
    const DEBUGFS: i64 = 0x6462_6720;
    const TRACEFS: i64 = 0x7472_6163;
    const SECURITYFS: i64 = 0x7363_6673;
    const SELINUX: i64 = 0xF97C_FF8C;
    const SMACK: i64 = 0x4341_5D53;
    const BPF: i64 = 0xCAFE_4A11;
    const PSTORE: i64 = 0x6165_676C;
    const EFIVARFS: i64 = 0xDE5E_81E4;
    const CONFIGFS: i64 = 0x6265_6570;
    const BINFMTFS: i64 = 0x4249_4E4D;
    const FUSE_CONTROL: i64 = 0x6573_5543;
    const RESCTRL: i64 = 0x0765_5821;
    const NSFS: i64 = 0x6E73_6673;
    const MESSAGE_QUEUES: i64 = 0x1980_0202;
    match file_system {
        FileSystem::Proc | FileSystem::Sysfs | FileSystem::Cgroup | FileSystem::Devpts => false,
        FileSystem::Other(magic) => !matches!(
            magic & 0xFFFF_FFFF,
            DEBUGFS
                | TRACEFS
                | SECURITYFS
                | SELINUX
                | SMACK
                | BPF
                | PSTORE
                | EFIVARFS
                | CONFIGFS
                | BINFMTFS
                | FUSE_CONTROL
                | RESCTRL
                | NSFS
                | MESSAGE_QUEUES
        ),
        _ => true,
    }
}
