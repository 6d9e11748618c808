//! Windows: parts of files in memory, at addresses by which anybody who is handed a slice of them can tell which part of
//! which file it is.
//!
//! A library that takes bodies as [`Bytes`] (hyper does) can be given a file like this: the bytes are the file's own pages, mapped
//! and not read. Whoever copies or encrypts them gets what is in the file; whoever hands them on untouched, to a socket at
//! last, hands on an address, and [`locate`] makes of it a file and an offset, for sendfile(2).
//!
//! All windows lie in one range of address space that is reserved when the first is made (1 TiB, or less where
//! `RLIMIT_AS` says so, see getrlimit(2)), in places of 64 MiB. So whether an address belongs to one is a comparison, and which
//! one a shift: no lock that others want, no search.
//!
//! # Truncated files
//!
//! Touching a mapped page that the file does not reach any more raises `SIGBUS`, which ends a process. Not here: a handler
//! puts a page of zeros in its place, and the window says [`is_damaged`](Window::is_damaged) from then on. Who has copied bytes out of a window has to ask
//! before believing them. The handler is installed with the first window and minds only addresses of windows; all others go to the
//! handler that was there before. A program that installs one of its own afterwards must do the same.
#![allow(unsafe_code)] // mapping memory, a signal handler, and slices of a file's pages

mod bus;

use std::ffi::c_void;
use std::fs::File;
use std::hint::black_box;
use std::io;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use rustix::mm::{MapFlags, ProtFlags};

use crate::{limits, raw};

/// The room that each window has, in bytes.
const PLACE: usize = 64 << 20;

/// How many there may be: as many as can be had.
const PLACES: [usize; 3] = [16_384, 1024, 64];

/// Where the space is reserved, if there is room: below all that the kernel chooses addresses for (it begins at the top, or, with an
/// unlimited stack, at a third of 128 TiB: mmap(2)), so that nothing comes to lie between the windows by chance.
const LOW: usize = 16 << 40;

/// The longest window, in bytes; one that does not begin on a page boundary has less.
pub const LONGEST: usize = PLACE;

/// The address space of all windows.
struct Space {
    base: NonNull<c_void>,
    places: Box<[Place]>,
    /// The numbers of places that have no window.
    free: Mutex<Vec<usize>>,
}

/// Of a place: whether there is a window, and whether it is whole. What the handler of SIGBUS goes by.
const VACANT: u8 = 0;
const WHOLE: u8 = 1;
const DAMAGED: u8 = 2;

// SAFETY: the address is only calculated with; who has memory there is told by `free`, `what` and `state`.
unsafe impl Send for Space {}
// SAFETY: as above.
unsafe impl Sync for Space {}

#[derive(Default)]
struct Place {
    /// What is mapped there. Locked for the time of a clone: nobody else wants it but who has another slice of the same window.
    what: Mutex<Option<What>>,
    state: AtomicU8,
    /// How many have said that they ask for that, once the bytes have been copied: see [`Asking`].
    asking: AtomicUsize,
}

struct What {
    file: Arc<File>,
    /// Where in the file the first byte of the mapping is.
    start: u64,
    /// Bytes from the first page on.
    len: usize,
}

static SPACE: OnceLock<Option<Space>> = OnceLock::new();

/// The space, reserved by now; nothing, if there is none to be had.
fn space() -> Option<&'static Space> {
    SPACE.get_or_init(|| PLACES.into_iter().find_map(Space::reserve)).as_ref()
}

impl Space {
    fn reserve(count: usize) -> Option<Space> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: an address without MAP_FIXED is a wish: the kernel chooses an unused place, so no existing memory is affected.
        let base = unsafe {
            let low = std::ptr::without_provenance_mut(LOW);
            rustix::mm::mmap_anonymous(low, count * PLACE, ProtFlags::empty(), flags).ok()?
        };
        bus::guard();
        let places = (0..count).map(|_| Place::default()).collect();
        // The first ones first.
        Some(Space {
            base: NonNull::new(base)?,
            places,
            free: Mutex::new((0..count).rev().collect()),
        })
    }

    fn start(&self, place: usize) -> *mut c_void {
        self.base.as_ptr().wrapping_byte_add(place * PLACE)
    }

    /// The place that an address belongs to, and how far into it. No system call and no lock.
    fn place_of(&self, address: usize) -> Option<(usize, usize)> {
        let at = address.checked_sub(self.base.as_ptr() as usize)?;
        let place = at / PLACE;
        (place < self.places.len()).then_some((place, at % PLACE))
    }

    /// Maps a part of a file at a place that nobody has; gives the place back if that fails.
    fn put(&self, place: usize, file: &File, start: u64, mapped: usize) -> rustix::io::Result<()> {
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        let at = self.start(place);
        // SAFETY: the place is reserved, belongs to nobody (it was in `free`), and `mapped` bytes fit into it.
        let outcome =
            unsafe { rustix::mm::mmap(at, mapped, ProtFlags::READ, flags, file.as_fd(), start) };
        outcome.map(drop).inspect_err(|_| {
            Self::close_gap(at, mapped);
            lock(&self.free).push(place);
        })
    }

    /// Of a file whose file system refuses (`/proc`, `/sys`, FUSE with direct I/O) the kernel has unmapped what was there by the time that
    /// it asks, and leaves a gap. That is reserved again, unless it is still there. Until then another thread's mapping might come to
    /// lie there, if there were no room above: see [`LOW`].
    fn close_gap(at: *mut c_void, mapped: usize) {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE;
        // SAFETY: the kernel maps where nothing is, or nothing (EEXIST), or elsewhere (before 4.17).
        let reserved = unsafe { rustix::mm::mmap_anonymous(at, mapped, ProtFlags::empty(), flags) };
        if let Ok(elsewhere) = reserved
            && elsewhere != at
        {
            // SAFETY: what has just been mapped, of which nobody knows.
            let _ = unsafe { rustix::mm::munmap(elsewhere, mapped) };
        }
    }
}

/// A part of a file in memory; unmapped on drop.
///
/// ```
/// use std::{fs::File, sync::Arc};
/// use sendrail_sys::window::{Window, locate};
///
/// let file = Arc::new(File::open(std::env::current_exe()?)?);
/// let bytes = Arc::new(Window::new(Arc::clone(&file), 1, 3)?).bytes();
/// assert_eq!(bytes, "ELF");
///
/// let (of, offset) = locate(&bytes[1..]).expect("it is of a window");
/// assert!(Arc::ptr_eq(&of, &file));
/// assert_eq!(offset, 2);
/// assert!(locate(b"ELF").is_none());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Window {
    place: usize,
    /// Bytes of the first page before the window begins.
    lead: usize,
    len: usize,
}

impl Window {
    /// Maps `len` bytes of `file` from `offset` (bytes; any). One mmap(2), and one more on drop.
    ///
    /// `EINVAL`: no bytes, or more than [`LONGEST`] from the page boundary on. `ENOMEM`: there is no address space for it, or as many windows
    /// as there may be. `EACCES`: the file is not open for reading. `ENODEV`, and `EIO` in `/proc`: its file system has no mappings.
    /// `EOVERFLOW`, `EINVAL`: beyond 2⁶³ bytes.
    ///
    /// Not for files on network file systems and FUSE: whoever comes to a page waits there for as long as the server takes, perhaps for ever.
    pub fn new(file: Arc<File>, offset: u64, len: usize) -> io::Result<Window> {
        let lead = (offset % limits::page_size() as u64) as usize;
        if len == 0 || len > PLACE - lead {
            return Err(raw::invalid());
        }
        let no_room = || io::Error::from_raw_os_error(libc::ENOMEM);
        let space = space().ok_or_else(no_room)?;
        let place = lock(&space.free).pop().ok_or_else(no_room)?;
        let (start, mapped) = (offset - lead as u64, lead + len);
        if let Err(error) = space.put(place, &file, start, mapped) {
            return Err(error.into());
        }
        space.places[place].state.store(WHOLE, Ordering::Release);
        *lock(&space.places[place].what) = Some(What { file, start, len: mapped });
        Ok(Window { place, lead, len })
    }

    /// Whether somebody has touched a page that is not there: because the file was truncated, or the disk is broken. Zeros were
    /// read in its place, and it stays so.
    pub fn is_damaged(&self) -> bool {
        // What was read before this was read before it is asked, on any processor.
        fence(Ordering::Acquire);
        space()
            .is_some_and(|space| space.places[self.place].state.load(Ordering::Acquire) == DAMAGED)
    }

    /// Length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "an empty range cannot be mapped")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The bytes, for as long as anybody has them.
    pub fn bytes(self: &Arc<Self>) -> Bytes {
        struct Shared(Arc<Window>);
        impl AsRef<[u8]> for Shared {
            fn as_ref(&self) -> &[u8] {
                (*self.0).as_ref()
            }
        }
        Bytes::from_owner(Shared(Arc::clone(self)))
    }
}

impl AsRef<[u8]> for Window {
    fn as_ref(&self) -> &[u8] {
        let space = space().expect("it was there when this was made");
        let start = space.start(self.place).wrapping_byte_add(self.lead).cast::<u8>();
        // SAFETY: `new` has mapped `lead + len` bytes from the start of the place, for reading, and they stay while `self` lives. Another
        // process may write to the file while somebody reads here. Rust knows no such memory; every bit pattern is a valid
        // byte, and those for whom windows are made copy bytes (memcpy) or pass the address to the kernel: they get
        // the old bytes, the new ones, or some of both, as with read(2). A page that is gone is replaced by the handler in `bus`.
        unsafe { std::slice::from_raw_parts(start, self.len) }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let Some(space) = space() else { return };
        lock(&space.places[self.place].what).take();
        space.places[self.place].state.store(VACANT, Ordering::Release);
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
        let mapped = self.lead + self.len;
        // SAFETY: exactly what `new` has mapped; nobody has a slice of it, for that would borrow `self`. From here on the range is
        // reserved again.
        let reserved = unsafe {
            rustix::mm::mmap_anonymous(space.start(self.place), mapped, ProtFlags::empty(), flags)
        };
        // ENOMEM: as many mappings as the process may have. Then the place stays taken, rather than be used twice.
        if reserved.is_ok() {
            lock(&space.free).push(self.place);
        }
    }
}

/// Says of a window, for as long as it is there, that somebody asks [`is_damaged`](Window::is_damaged) before the copy of any bytes is believed. So
/// zeros may be copied for what is gone: see [`fill_gaps`].
///
/// ```
/// use std::{fs::File, sync::Arc};
/// use sendrail_sys::window::{Asking, Window, fill_gaps};
///
/// let file = Arc::new(File::open(std::env::current_exe()?)?);
/// let window = Arc::new(Window::new(file, 0, 10)?);
/// assert!(!fill_gaps(&window.bytes()));
/// let asking = Asking::about(window);
/// assert!(fill_gaps(&asking.window().bytes()) && !asking.window().is_damaged());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Asking(Arc<Window>);

impl Asking {
    /// Says it of this window.
    pub fn about(window: Arc<Window>) -> Self {
        if let Some(space) = space() {
            space.places[window.place].asking.fetch_add(1, Ordering::Relaxed);
        }
        Self(window)
    }

    /// The window.
    pub fn window(&self) -> &Arc<Window> {
        &self.0
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(space) = space() {
            space.places[self.0.place].asking.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Puts zeros where pages of a slice are gone, if it lies in a window that somebody is [asking](Asking) about; says whether it does.
///
/// For whom the kernel could not copy from it (EFAULT: there it raises no SIGBUS), and who would rather try again. Waits for the
/// disk, if pages are there and not in memory.
pub fn fill_gaps(bytes: &[u8]) -> bool {
    let Some(Some(space)) = SPACE.get() else { return false };
    let is_asked_about = space
        .place_of(bytes.as_ptr() as usize)
        .is_some_and(|(place, _)| space.places[place].asking.load(Ordering::Relaxed) > 0);
    if is_asked_about {
        for byte in bytes.iter().step_by(limits::page_size()).chain(bytes.last()) {
            black_box(*byte); // where there is no page, the handler puts one
        }
    }
    is_asked_about
}

/// Which part of which file a slice is, if it lies in a window. No system call; one clone of an [`Arc`].
pub fn locate(bytes: &[u8]) -> Option<(Arc<File>, u64)> {
    // Not the one that reserves: without a window there is nothing to be found.
    let space = SPACE.get()?.as_ref()?;
    let (place, at) = space.place_of(bytes.as_ptr() as usize)?;
    let what = lock(&space.places[place].what);
    let What { file, start, len } = what.as_ref()?;
    (at + bytes.len() <= *len).then(|| (Arc::clone(file), start + at as u64))
}

/// Whether half of the windows that there may be are in use, or there can be none: whoever keeps some in stock stops here.
pub fn is_half_full() -> bool {
    space().is_none_or(|space| lock(&space.free).len() <= space.places.len() / 2)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner) // nothing in here panics while it holds one
}

#[cfg(test)]
mod tests;
