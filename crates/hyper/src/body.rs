//! A file as a body: parts of it in memory, mapped and not read.

use crate::kept::{Held, Kept};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sendrail_files::Mutable;
use sendrail_sys::{
    limits::page_size,
    mincore::resident_pages,
    pread::{ReadFlags, pread, preadv2},
    stat::{Timestamp, fstat},
    statfs::file_system,
    window::{Asking, LONGEST, Window},
};
use sendrail_transfer::{Medium, Residency};
use std::{
    fmt,
    fs::File,
    future::Future,
    io,
    os::fd::AsFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// Up to this many bytes are read rather than mapped: they cost no more so, and leave with the head. Whatever is mapped is
/// longer, so that the socket sends it by the engine, and nobody comes to a page of it that is not in memory.
pub(crate) const SMALL: u64 = 64 << 10;

/// What is read at a time of what cannot be mapped, in bytes.
const PIECE: u64 = 256 << 10;

/// What is mapped at a time of what is to be copied: it is looked at shortly before.
const COPIED: u64 = 1 << 20;

/// The end of what is to be copied is read. Whether a mapping was whole when it was copied can only be asked afterwards, when the
/// next part is asked for; hyper asks for that when less than 400 KiB wait to be copied, and not at all after the last.
const READ_AT_THE_END: u64 = 3 * PIECE;

/// So many bytes may not have been copied yet when the next part is asked for: see above.
const WAITING: u64 = 400 << 10;

/// What is mapped at a time.
pub(crate) const WINDOW: u64 = (LONGEST / 2) as u64;

/// A range of a file, as a body of hyper's.
///
/// Its length is known beforehand, so hyper sends a Content-Length. If the file turns out to be shorter than promised it ends with an error,
/// and hyper with the connection (HTTP/1) or the stream (HTTP/2): nothing is filled up.
///
/// Files on network file systems and FUSE are read, by threads that may wait (`tokio::task::spawn_blocking`), and so is what cannot
/// be mapped.
pub struct FileBody {
    file: Arc<File>,
    at: u64,
    end: u64,
    copied: bool,
    medium: Medium,
    /// Where it lies in memory already, perhaps.
    kept: Option<Arc<Kept>>,
    /// The version that all of it must be of, if that is asked for: modified then, and so long.
    version: Option<(Timestamp, u64)>,
    source: Source,
    /// Of what is to be copied: the windows of which somebody may still be copying, and where each ends.
    copying: Vec<(Asking, u64)>,
}

/// How the bytes come.
enum Source {
    /// It has not been asked yet.
    Unknown,
    /// Mapped: with the window that was given out last, unless it is to be copied.
    Windows(Option<Arc<Window>>),
    /// Read, each time anew.
    Reads,
    /// Being read, this time; and whether it can be mapped the next.
    Reading(Pin<Box<dyn Future<Output = io::Result<Bytes>> + Send + Sync>>, bool),
}

impl fmt::Debug for FileBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBody")
            .field("at", &self.at)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl FileBody {
    /// `len` bytes from `offset`. The file must be open for reading; its position is not used.
    pub fn new(file: Arc<File>, offset: u64, len: u64) -> Self {
        let end = offset.saturating_add(len);
        Self {
            file,
            at: offset,
            end,
            copied: false,
            medium: Medium::Disk,
            kept: None,
            version: None,
            source: Source::Unknown,
            copying: Vec::new(),
        }
    }

    /// `len` bytes from `offset` of a file of which all was just found out.
    pub(crate) fn of(held: &Held, offset: u64, len: u64) -> Self {
        let (file, facts) = (held.file(), held.file().facts());
        let mut this = Self::new(Arc::clone(file.file()), offset, len);
        this.medium = Medium::from(facts.file_system);
        this.version = (file.mutable() == Mutable::Copy).then_some((facts.modified, facts.len));
        this.kept = held.kept().cloned();
        let reads =
            len <= SMALL || this.version.is_some() || facts.file_system.is_network_or_fuse();
        this.source = if reads { Source::Reads } else { Source::Windows(None) };
        this
    }

    /// All of a file, as long as it is now.
    ///
    /// # Errors
    ///
    /// The length cannot be found out (`fstat(2)`).
    pub fn whole(file: Arc<File>) -> io::Result<Self> {
        let len = fstat(file.as_fd())?.len;
        Ok(Self::new(file, 0, len))
    }

    /// For whoever will copy the bytes: HTTP/2 with its frames of 16 KiB (which are cheaper copied than sent one by one), TLS,
    /// a socket that is no [`ZeroCopy`](crate::ZeroCopy). To come to a page that is not in memory holds up the thread until the
    /// disk has answered, and all its connections. So each part is looked at before it is given out, and what is
    /// not in memory is read by a thread that may wait.
    ///
    /// The last 768 KiB are read in any case, so that a file that is truncated meanwhile always ends with an error.
    #[must_use]
    pub fn to_be_copied(mut self) -> Self {
        self.copied = true;
        self
    }

    /// How much may be given out next as it lies; nothing, if it is to be read.
    fn mappable(&self) -> Option<u64> {
        let left = self.end - self.at;
        if !self.copied {
            return (left > SMALL).then(|| left.min(WINDOW));
        }
        let len = left.saturating_sub(READ_AT_THE_END).min(COPIED);
        if len <= SMALL {
            return None;
        }
        // As the engine looks; and once more, page for page, for some in the midst may still be read. (mincore(2) alone would say to
        // who may not write to a file that all of it is there.)
        let is_there = Residency::look(&*self.file, self.medium, self.at, len).is_hot()
            && resident_pages(self.file.as_fd(), self.at, len as usize)
                .is_ok_and(|there| there >= len / page_size() as u64);
        is_there.then_some(len)
    }

    /// The next part of what can be mapped.
    fn next_window(&mut self, len: u64) -> io::Result<Bytes> {
        let kept = self.kept.as_ref().filter(|_| self.at < WINDOW).and_then(|kept| kept.window());
        let (window, bytes) = if let Some(window) = kept {
            let to = (self.at + len).min(window.len() as u64);
            let bytes = window.bytes().slice(self.at as usize..to as usize);
            (window, bytes)
        } else {
            let window = Window::new(Arc::clone(&self.file), self.at, len as usize)?;
            let window = Arc::new(window);
            let bytes = window.bytes();
            (window, bytes)
        };
        self.at += bytes.len() as u64;
        self.source = if self.copied {
            self.copying.push((Asking::about(window), self.at));
            Source::Windows(None)
        } else {
            Source::Windows(Some(window))
        };
        Ok(bytes)
    }

    /// The next part, if it can be had at once. Else it is read from here on.
    fn next_part(&mut self) -> Option<Bytes> {
        let mut maps = matches!(self.source, Source::Windows(_));
        if let Some(len) = self.mappable().filter(|_| maps) {
            match self.next_window(len) {
                Ok(bytes) => return Some(bytes),
                // No room, no mappings on this file system, not open for it: read(2) will say what is wrong, if anything is.
                Err(_) => maps = false,
            }
        }
        let (offset, len) = (self.at, (self.end - self.at).min(PIECE) as usize);
        let version = self.version;
        if let Some(bytes) = read_at_once(&self.file, offset, len)
            && is_of(&self.file, version)
        {
            self.at += len as u64;
            self.source = if maps { Source::Windows(None) } else { Source::Reads };
            return Some(bytes);
        }
        let file = Arc::clone(&self.file);
        let reading = async move {
            let reading = tokio::task::spawn_blocking(move || {
                let bytes = read_all(&file, offset, len)?;
                if is_of(&file, version) { Ok(bytes) } else { Err(changed()) }
            });
            reading.await.unwrap_or_else(|gone| Err(io::Error::other(gone)))
        };
        self.source = Source::Reading(Box::pin(reading), maps);
        None
    }

    /// Whether something of what was given out was not there when somebody copied it. Forgets the windows that have been copied.
    fn is_damaged(&mut self) -> bool {
        let last = matches!(&self.source, Source::Windows(Some(window)) if window.is_damaged());
        let damaged = last || self.copying.iter().any(|(asking, _)| asking.window().is_damaged());
        self.copying.retain(|(_, end)| self.at - end < WAITING);
        damaged
    }

    /// How the bytes are to come.
    fn decide(&mut self) -> io::Result<Source> {
        if self.end - self.at <= SMALL {
            return Ok(Source::Reads);
        }
        // A window of a file that has been truncated already can be made; better to say so at once.
        if fstat(self.file.as_fd())?.len < self.end {
            return Err(shorter());
        }
        let Ok(kind) = file_system(self.file.as_fd()) else { return Ok(Source::Reads) };
        self.medium = Medium::from(kind);
        let reads = kind.is_network_or_fuse();
        Ok(if reads { Source::Reads } else { Source::Windows(None) })
    }
}

fn shorter() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it was")
}

/// Why pages up to `end` were not there when somebody copied them.
fn gone(file: &File, end: u64) -> io::Error {
    match fstat(file.as_fd()) {
        Ok(stat) if stat.len >= end => {
            io::Error::other("a part of the file could not be read (SIGBUS)")
        }
        _ => shorter(),
    }
}

fn changed() -> io::Error {
    io::Error::other("the file was changed while it was being sent")
}

/// Whether the file is that version, if it has to be one: the time of the inode is not asked for, since a new link changes that.
fn is_of(file: &File, version: Option<(Timestamp, u64)>) -> bool {
    version.is_none_or(|version| {
        fstat(file.as_fd()).is_ok_and(|now| (now.modified, now.len) == version)
    })
}

/// All of them, waiting for the disk if need be.
fn read_all(file: &File, offset: u64, len: usize) -> io::Result<Bytes> {
    let (mut buffer, mut done) = (vec![0; len], 0);
    while done < len {
        match pread(file.as_fd(), &mut buffer[done..], offset + done as u64) {
            Ok(0) => return Err(shorter()),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(buffer.into())
}

/// All of them, if they are in memory.
pub(crate) fn read_at_once(file: &File, offset: u64, len: usize) -> Option<Bytes> {
    let mut buffer = vec![0; len];
    let count = preadv2(
        file.as_fd(),
        &mut buffer,
        offset,
        ReadFlags { nowait: true, ..ReadFlags::default() },
    );
    (count.ok()? == len).then(|| buffer.into())
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if this.is_damaged() {
            this.end = this.at;
            this.source = Source::Reads;
            this.copying.clear();
            return Poll::Ready(Some(Err(gone(&this.file, this.at))));
        }
        loop {
            match &mut this.source {
                Source::Reading(reading, maps) => {
                    let outcome = ready!(reading.as_mut().poll(context));
                    this.source = if *maps { Source::Windows(None) } else { Source::Reads };
                    match &outcome {
                        Ok(bytes) => this.at += bytes.len() as u64,
                        Err(_) => this.end = this.at,
                    }
                    return Poll::Ready(Some(outcome.map(Frame::data)));
                }
                _ if this.at >= this.end => return Poll::Ready(None),
                Source::Unknown => match this.decide() {
                    Ok(source) => this.source = source,
                    Err(error) => {
                        this.end = this.at;
                        return Poll::Ready(Some(Err(error)));
                    }
                },
                Source::Windows(_) | Source::Reads => {
                    if let Some(part) = this.next_part() {
                        return Poll::Ready(Some(Ok(Frame::data(part))));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // Not before somebody has asked whether the last window is whole.
        self.at >= self.end && !matches!(self.source, Source::Windows(Some(_)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.at)
    }
}
