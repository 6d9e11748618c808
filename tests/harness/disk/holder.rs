//! The FUSE file system that holds a slow disk's image: it hands each read to the arm.

use super::arm::Arm;
use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEntry, ReplyOpen, Request,
};
use std::{
    ffi::OsStr,
    io,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

/// The image's name, in the only folder there is, and its inode.
pub(super) const NAME: &str = "image";
const INODE: INodeNo = INodeNo(2);

/// Kept by the kernel as long as it likes: nothing ever changes.
const FOR_EVER: Duration = Duration::from_secs(1 << 30);

/// A folder with the image in it, which is so many bytes long.
pub(super) struct Holder {
    arm: Arc<Arm>,
    len: u64,
}

impl Holder {
    pub(super) fn new(arm: Arc<Arm>, len: u64) -> Self {
        Self { arm, len }
    }

    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let is_image = inode == INODE;
        FileAttr {
            ino: inode,
            size: if is_image { self.len } else { 0 },
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_image { FileType::RegularFile } else { FileType::Directory },
            perm: if is_image { 0o400 } else { 0o500 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for Holder {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // So that the loop device may have many reads under way, as a disk has.
        let _ = config.add_capabilities(InitFlags::FUSE_ASYNC_DIO);
        let _ = config.set_max_background(1024);
        Ok(())
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == NAME {
            reply.entry(&FOR_EVER, &self.attributes(INODE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOR_EVER, &self.attributes(inode));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let len = u64::from(size).min(self.len.saturating_sub(offset));
        self.arm.hand_in(offset, len as usize, reply);
    }
}
