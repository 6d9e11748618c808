//! The parking place: where idle connections wait, each for the price of its socket and 16 bytes.
//!
//! A connection that waits in a task of its own costs a task, an entry with tokio and a slot. One
//! that has been quiet for a while gives all of them up; its socket comes here, into an epoll
//! instance that tokio watches as one descriptor (`epoll(7)`: an epoll descriptor is readable when
//! any descriptor in it is ready).

use rustix::{
    event::{Timespec, epoll},
    io::Errno,
};
use slab::Slab;
use std::{
    cell::{Cell, RefCell},
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::TcpStream,
};

/// How many connections are parked, called back or closed before others get their turn: each takes
/// some microseconds.
pub(super) const AT_ONCE: usize = 64;

/// How many places are looked at before others get their turn, most of which need nothing: that
/// takes a tenth of a millisecond or two.
pub(super) const LOOK: usize = 4096;

/// The parking place of one worker.
#[derive(Debug)]
pub(super) struct Parking {
    epoll: Rc<OwnedFd>,
    /// Deadlines are kept as microseconds since then.
    origin: Instant,
    parked: RefCell<Slab<Parked>>,
    /// No deadline in there is earlier.
    earliest: Cell<u64>,
}

/// A connection that is parked. The fields leave room in which the slab keeps its free list.
#[derive(Debug)]
struct Parked {
    deadline: u64,
    socket: OwnedFd,
}

impl Parking {
    /// # Errors
    ///
    /// The kernel refuses an epoll instance (`epoll_create1(2)`).
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: Rc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?),
            origin: Instant::now(),
            parked: RefCell::new(Slab::new()),
            earliest: Cell::new(u64::MAX),
        })
    }

    /// Has tokio watch it: it is readable when a parked connection is to be called back.
    ///
    /// # Errors
    ///
    /// tokio's own epoll instance does not take it (`epoll_ctl(2)`).
    // Its successor is unsafe, because a type may return any number as its descriptor. An `Rc` of an
    // `OwnedFd` always returns the same one, and keeps it open.
    #[allow(deprecated)]
    pub(super) fn watch(&self) -> io::Result<AsyncFd<Rc<OwnedFd>>> {
        AsyncFd::with_interest(Rc::clone(&self.epoll), Interest::READABLE)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.parked.borrow().len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parked.borrow().is_empty()
    }

    /// Takes a socket over from tokio.
    ///
    /// # Errors
    ///
    /// The stream, if the kernel has no room for it (`epoll_ctl(2)`: ENOMEM, or ENOSPC for
    /// `/proc/sys/fs/epoll/max_user_watches`): it is as before. Nothing, if tokio could not let it
    /// go: it is closed.
    pub(super) fn park(
        &self,
        stream: Arc<TcpStream>,
        deadline: Instant,
    ) -> Result<(), Option<Arc<TcpStream>>> {
        let stream = Arc::try_unwrap(stream).map_err(Some)?;
        let mut parked = self.parked.borrow_mut();
        let free = parked.vacant_entry();
        // Before tokio forgets it, so that a refusal changes nothing. Level-triggered: bytes that
        // come meanwhile, or have come and nobody looked, are reported as well.
        let key = epoll::EventData::new_u64(free.key() as u64);
        if epoll::add(&*self.epoll, &stream, key, epoll::EventFlags::IN).is_err() {
            return Err(Some(Arc::new(stream)));
        }
        // Closing a socket takes it out of an epoll instance.
        let socket = OwnedFd::from(stream.into_std().map_err(|_| None)?);
        let deadline = deadline.saturating_duration_since(self.origin).as_micros() as u64;
        free.insert(Parked { deadline, socket });
        self.earliest.set(self.earliest.get().min(deadline));
        Ok(())
    }

    /// Gives back those that something has come for, be it bytes, an end or an error, with their
    /// deadlines: some [`AT_ONCE`] of them. Says how many; fewer means that these were all.
    ///
    /// # Errors
    ///
    /// The kernel does not say who is ready (`epoll_wait(2)`).
    pub(super) fn take_ready(&self, mut take: impl FnMut(OwnedFd, Instant)) -> io::Result<usize> {
        let mut room = [MaybeUninit::uninit(); AT_ONCE];
        let events = match epoll::wait(&*self.epoll, &mut room, Some(&Timespec::default())) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => return Ok(AT_ONCE), // there may be any number of them
            Err(error) => return Err(error.into()),
        };
        for event in &*events {
            let key = event.data.u64() as usize;
            if let Some(parked) = self.remove(key) {
                take(parked.socket, self.time(parked.deadline));
            }
        }
        Ok(events.len())
    }

    /// The earliest deadline, or an earlier time.
    pub(super) fn earliest(&self) -> Option<Instant> {
        (!self.is_empty()).then(|| self.time(self.earliest.get()))
    }

    /// Closes those whose deadline has passed at `now`, from the key `from` on. Gives those back
    /// that have bytes waiting: their request came in time, and only its turn has not.
    ///
    /// Not all at once: takes out some [`AT_ONCE`] and looks at some [`LOOK`]. Says how many it has
    /// closed, and from where on to look next unless these were all.
    pub(super) fn close_overdue(
        &self,
        now: Instant,
        from: usize,
        take: impl FnMut(OwnedFd, Instant),
    ) -> (usize, Option<usize>) {
        let now = now.saturating_duration_since(self.origin).as_micros() as u64;
        if from == 0 {
            if now < self.earliest.get() {
                return (0, None);
            }
            self.earliest.set(u64::MAX);
        }
        self.close_up_to(now, from, take)
    }

    /// Like [`Parking::close_overdue`], whatever their deadlines.
    pub(super) fn close_some(
        &self,
        from: usize,
        take: impl FnMut(OwnedFd, Instant),
    ) -> (usize, Option<usize>) {
        self.close_up_to(u64::MAX, from, take)
    }

    fn close_up_to(
        &self,
        latest: u64,
        from: usize,
        mut take: impl FnMut(OwnedFd, Instant),
    ) -> (usize, Option<usize>) {
        let (mut closed, mut removed) = (0, 0);
        let end = self.parked.borrow().capacity(); // there is no key beyond it
        for key in from..end {
            let deadline = self.parked.borrow().get(key).map(|parked| parked.deadline);
            match deadline {
                Some(deadline) if deadline <= latest => {
                    if let Some(parked) = self.remove(key) {
                        if has_bytes(&parked.socket) {
                            take(parked.socket, self.time(deadline));
                        } else {
                            closed += 1;
                        }
                    }
                    removed += 1;
                }
                Some(deadline) => self.earliest.set(self.earliest.get().min(deadline)),
                None => {}
            }
            if removed == AT_ONCE || key - from + 1 == LOOK {
                return (closed, Some(key + 1));
            }
        }
        (closed, None)
    }

    fn time(&self, micros: u64) -> Instant {
        self.origin + Duration::from_micros(micros)
    }

    fn remove(&self, key: usize) -> Option<Parked> {
        let mut all = self.parked.borrow_mut();
        let parked = all.try_remove(key)?;
        if all.is_empty() {
            *all = Slab::new();
            self.earliest.set(u64::MAX);
        }
        // Before the number can belong to another file.
        let _ = epoll::delete(&*self.epoll, parked.socket.as_fd());
        Some(parked)
    }
}

/// Whether bytes wait to be read (`FIONREAD`): closing over them would be a reset.
fn has_bytes(socket: &OwnedFd) -> bool {
    rustix::io::ioctl_fionread(socket).is_ok_and(|waiting| waiting > 0)
}

#[cfg(test)]
mod tests;
