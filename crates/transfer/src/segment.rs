//! A segment: a piece of what is to be sent, in memory or in an open file.

use crate::plan::Medium;
use bytes::Bytes;
use sendrail_sys::stat::Timestamp;
use std::{fs::File, sync::Arc};

/// A piece of a message: bytes in memory, or a range of an open file.
///
/// ```
/// use sendrail_transfer::Segment;
/// let head = Segment::Bytes("HTTP/1.1 200 OK\r\n".into());
/// assert_eq!(head.len(), 17);
/// assert!(!head.is_empty());
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Segment {
    /// Bytes in memory, such as a head or a boundary.
    Bytes(Bytes),
    /// A range of an open file.
    File(FileRange),
}

impl Segment {
    /// Bytes that are still to be sent.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(range) => range.len,
        }
    }

    /// Whether nothing is left of this segment.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A range of an open file.
///
/// The file is shared, never seeked: every method names its offset, so any number of transfers can
/// read one descriptor at once.
///
/// ```
/// use sendrail_transfer::{FileRange, Medium};
/// use std::{fs::File, sync::Arc};
///
/// let file = Arc::new(File::open("Cargo.toml")?);
/// let len = file.metadata()?.len();
/// // What is known already need not be asked of the kernel.
/// let range = FileRange::new(file, 10, 20).on(Medium::Disk).of_file(len);
/// assert_eq!((range.offset(), range.len(), range.file_len()), (10, 20, len));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FileRange {
    pub(crate) file: Arc<File>,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) medium: Option<Medium>,
    pub(crate) resident: bool,
    pub(crate) file_len: Option<u64>,
    pub(crate) unchanged_since: Option<Timestamp>,
}

impl FileRange {
    /// The `len` bytes of `file` from byte `offset` on. What reaches beyond byte 2⁶⁴ is cut off: no
    /// file does.
    ///
    /// The range is a promise: if the file turns out to be shorter when its turn comes, the
    /// transfer fails with [`FileFault::Truncated`](crate::FileFault::Truncated).
    pub fn new(file: Arc<File>, offset: u64, len: u64) -> Self {
        let len = len.min(u64::MAX - offset);
        Self {
            file,
            offset,
            len,
            medium: None,
            resident: false,
            file_len: None,
            unchanged_since: None,
        }
    }

    /// Says what the file lies on, which saves the engine an `fstatfs(2)` per range. What is said must be true: the pages of
    /// a [`Remote`](Medium::Remote) file, sent as if it lay on a disk, may change while they wait in the socket.
    #[must_use]
    pub fn on(mut self, medium: Medium) -> Self {
        self.medium = Some(medium);
        self
    }

    /// Says how long the whole file is, in bytes: large files may go another way than small ones
    /// ([`Options::direct_above`](crate::Options)), also in part.
    #[must_use]
    pub fn of_file(mut self, len: u64) -> Self {
        self.file_len = Some(len);
        self
    }

    /// Says that all of the range must be of one version of the file: `file_len` bytes long, and last modified at
    /// `modified` (`st_mtim`, `fstat(2)`). It is sent by [`copy`](crate::Method::Copy), whatever method was asked for, and
    /// each piece is only handed to the socket if the file is still that version after it was read; else the transfer fails
    /// with [`FileFault::Changed`](crate::FileFault::Changed), and nothing of another version has been sent.
    ///
    /// The time of a file is that of the last timer tick before a change (until Linux 6.13), so what is written within 10 ms
    /// of `modified` may go unnoticed. So does what is written through a mapping that was written through before
    /// (`mmap(2)`, MAP_SHARED), and what is hidden by setting the time back (`utimensat(2)`). The time of the last change to
    /// the inode is not compared, since a new link or other permissions change that as well.
    ///
    /// ```
    /// use std::{fs::File, io::{Read, Write}, os::{fd::AsFd, unix::net::UnixStream}, sync::Arc};
    /// use sendrail_transfer::{Chain, FileFault, FileRange, Options, SendError, blocking};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut file = tempfile::tempfile()?;
    /// file.write_all(b"version 1")?;
    /// let seen = sendrail_sys::fstat(file.as_fd())?;
    /// file.set_len(5)?; // somebody is at it
    ///
    /// let range = FileRange::new(Arc::new(file), 0, 5).unchanged_since(seen.modified, seen.len);
    /// let mut chain = Chain::new();
    /// chain.push_file(range);
    /// let (socket, mut peer) = UnixStream::pair()?;
    /// let Err(SendError::File { fault, .. }) = blocking::send(&socket, chain, Options::default()) else {
    ///     panic!("it was sent");
    /// };
    /// assert!(matches!(fault, FileFault::Changed { offset: 0 }));
    /// drop(socket);
    /// assert_eq!(peer.read(&mut [0; 5])?, 0);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn unchanged_since(mut self, modified: Timestamp, file_len: u64) -> Self {
        self.unchanged_since = Some(modified);
        self.of_file(file_len)
    }

    /// Says that the range has just been found in the page cache, so that the engine need not look
    /// again until it has to wait for the socket. For a caller that sends the same range thousands of
    /// times a second. If it is wrong, nothing worse happens than that an event loop waits for a disk.
    #[must_use]
    pub fn known_resident(mut self, resident: bool) -> Self {
        self.resident = resident;
        self
    }

    /// How long the file is in bytes, or at the least must be: as long as was said by [`of_file`](Self::of_file), or as the range
    /// reaches.
    pub fn file_len(&self) -> u64 {
        self.file_len.unwrap_or(self.offset + self.len)
    }

    /// Where in the file the first byte is that is still to be sent.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes are still to be sent.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is left of this range.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The open file.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub(crate) fn advance(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.len, "no method sends more than it was asked to");
        self.offset += bytes;
        self.len -= bytes;
    }
}
