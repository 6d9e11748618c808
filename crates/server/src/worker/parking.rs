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
mod tests {
    use super::*;
    use sendrail_sys::poll::wait_readable;
    use std::{
        io::{Read, Write},
        net::{Shutdown, TcpListener, TcpStream as Peer},
    };

    const HOUR: Duration = Duration::from_hours(1);

    fn inside(test: impl AsyncFnOnce()) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
        runtime.block_on(test());
    }

    fn pair() -> (Arc<TcpStream>, Peer) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let peer = Peer::connect(listener.local_addr().expect("bound")).expect("connected");
        let (stream, _) = listener.accept().expect("accepted");
        stream.set_nonblocking(true).expect("a socket");
        (Arc::new(TcpStream::from_std(stream).expect("registered")), peer)
    }

    fn parked(count: usize, deadline: Instant) -> (Parking, Vec<Peer>) {
        let parking = Parking::new().expect("epoll");
        let mut peers = Vec::new();
        for _ in 0..count {
            let (stream, peer) = pair();
            parking.park(stream, deadline).expect("there is room");
            peers.push(peer);
        }
        (parking, peers)
    }

    /// On loopback what is sent has arrived when the call returns.
    fn ready(parking: &Parking) -> Vec<(OwnedFd, Instant)> {
        let mut all = Vec::new();
        parking.take_ready(|socket, deadline| all.push((socket, deadline))).expect("epoll");
        all
    }

    #[test]
    fn a_place_takes_sixteen_bytes() {
        #[allow(dead_code)]
        enum OfASlab {
            Vacant(usize),
            Occupied(Parked),
        }
        assert_eq!(size_of::<OfASlab>(), 16);
    }

    #[test]
    fn what_comes_is_told_once_whatever_it_is() {
        let acts: [fn(Peer); 3] = [
            |mut peer| {
                peer.write_all(b"bytes").expect("sent");
                std::mem::forget(peer);
            },
            |peer| {
                peer.shutdown(Shutdown::Write).expect("shut down");
                std::mem::forget(peer);
            },
            |peer| {
                socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).expect("set");
                drop(peer); // resets
            },
        ];
        inside(async || {
            for act in acts {
                let deadline = Instant::now() + HOUR;
                let (parking, mut peers) = parked(2, deadline);
                assert!(ready(&parking).is_empty());
                act(peers.remove(0));
                let came = ready(&parking);
                assert_eq!(came.len(), 1);
                let lost = deadline.saturating_duration_since(came[0].1);
                assert!(lost < Duration::from_millis(1) && came[0].1 <= deadline, "its deadline");
                assert_eq!(parking.len(), 1);
                assert!(ready(&parking).is_empty(), "it is watched no more");
            }
        });
    }

    #[test]
    fn what_came_before_is_told_too() {
        inside(async || {
            let (stream, mut peer) = pair();
            peer.write_all(b"early").expect("sent");
            assert!(wait_readable(stream.as_fd(), None).expect("polled"));
            // tokio is told, and that it is empty: an edge would not come again.
            stream.readable().await.expect("readable");
            let empty = || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into());
            assert!(stream.try_io(Interest::READABLE, empty).is_err());
            let parking = Parking::new().expect("epoll");
            parking.park(stream, Instant::now() + HOUR).expect("there is room");
            let (socket, _) = ready(&parking).pop().expect("there are bytes");
            let mut bytes = [0; 5];
            Peer::from(socket).read_exact(&mut bytes).expect("read");
            assert_eq!(&bytes, b"early");
        });
    }

    #[test]
    fn a_number_that_is_used_again_is_another_connection() {
        inside(async || {
            let parking = Parking::new().expect("epoll");
            for round in 0..20_u8 {
                let (stream, mut peer) = pair();
                parking.park(stream, Instant::now() + HOUR).expect("there is room");
                assert!(ready(&parking).is_empty(), "nothing of the last one is left");
                peer.write_all(&[round]).expect("sent");
                let (socket, _) = ready(&parking).pop().expect("there is a byte");
                let mut byte = [0];
                Peer::from(socket).read_exact(&mut byte).expect("read");
                assert_eq!(byte[0], round);
            }
        });
    }

    #[test]
    fn many_come_in_turns() {
        inside(async || {
            let (parking, mut peers) = parked(AT_ONCE * 2 + 10, Instant::now() + HOUR);
            for peer in &mut peers {
                peer.write_all(b"x").expect("sent");
            }
            let turns: Vec<usize> = (0..4).map(|_| ready(&parking).len()).collect();
            assert_eq!(turns, [AT_ONCE, AT_ONCE, 10, 0]);
            assert!(parking.is_empty());
        });
    }

    #[test]
    fn a_stream_that_is_not_taken_is_as_before() {
        inside(async || {
            let mut parking = Parking::new().expect("epoll");
            let (no_epoll, _) = rustix::pipe::pipe().expect("a pipe");
            parking.epoll = Rc::new(no_epoll); // EINVAL; for want of watches it would be ENOSPC
            let (stream, mut peer) = pair();
            let refused = parking.park(stream, Instant::now() + HOUR);
            let Err(Some(stream)) = refused else { panic!("{refused:?}") };
            assert!(parking.is_empty() && parking.earliest().is_none());
            peer.write_all(b"x").expect("sent");
            stream.readable().await.expect("tokio still watches it");
            let held = Arc::clone(&stream); // as by a thread of the disk pool
            parking = Parking::new().expect("epoll");
            assert!(matches!(parking.park(stream, Instant::now()), Err(Some(_))));
            drop(held);
        });
    }

    #[test]
    fn those_overdue_are_closed_and_the_next_deadline_is_known() {
        inside(async || {
            let now = Instant::now();
            let later = |seconds| now + Duration::from_secs(seconds);
            let (parking, peers) = parked(AT_ONCE, later(10));
            let mut more: Vec<Peer> = Vec::new();
            for deadline in [30, 10, 20] {
                let (stream, peer) = pair();
                parking.park(stream, later(deadline)).expect("there is room");
                more.push(peer);
            }
            let near = |time: Option<Instant>, seconds| {
                time.is_some_and(|t| t <= later(seconds) && t > later(seconds - 1))
            };
            assert!(near(parking.earliest(), 10));
            let close = |seconds, from| {
                parking.close_overdue(later(seconds), from, |_, _| panic!("nothing has come"))
            };
            assert_eq!(close(9, 0), (0, None));
            let (closed, next) = close(10, 0);
            assert_eq!(closed, AT_ONCE);
            assert_eq!(close(10, next.expect("not all")), (1, None));
            assert!(near(parking.earliest(), 20));
            for mut peer in peers {
                assert_eq!(peer.read(&mut [0]).ok(), Some(0), "closed");
            }
            assert_eq!((parking.close_some(0, |_, _| {}), parking.len()), ((2, None), 0));
            assert_eq!(parking.earliest(), None);
        });
    }

    #[test]
    fn what_came_in_time_is_not_closed_over() {
        type Close = fn(&Parking, &mut dyn FnMut(OwnedFd, Instant)) -> (usize, Option<usize>);
        let ways: [Close; 2] = [
            |parking, take| parking.close_overdue(Instant::now() + HOUR * 2, 0, take),
            |parking, take| parking.close_some(0, take),
        ];
        inside(async || {
            for close in ways {
                let deadline = Instant::now() + HOUR;
                let (parking, mut peers) = parked(3, deadline);
                peers[1].write_all(b"in time").expect("sent");
                peers[2].shutdown(Shutdown::Write).expect("shut down"); // an end is no request
                let mut came = Vec::new();
                let closed = close(&parking, &mut |socket, until| came.push((socket, until)));
                assert_eq!((closed, parking.len()), ((2, None), 0));
                let (socket, until) = came.pop().expect("it has bytes");
                assert!(came.is_empty() && until <= deadline, "its deadline goes along");
                let mut bytes = [0; 7];
                Peer::from(socket).read_exact(&mut bytes).expect("read");
                assert_eq!(&bytes, b"in time");
            }
        });
    }

    #[test]
    fn closing_goes_on_where_it_stopped() {
        inside(async || {
            let (parking, _peers) = parked(AT_ONCE * 2 + 10, Instant::now() + HOUR);
            let (mut turns, mut from) = (Vec::new(), Some(0));
            while let Some(key) = from {
                let (closed, next) = parking.close_some(key, |_, _| {});
                assert!(next.is_none_or(|next| next > key), "nothing is looked at twice");
                turns.push(closed);
                from = next;
            }
            assert_eq!((turns, parking.len()), (vec![AT_ONCE, AT_ONCE, 10], 0));
        });
    }

    #[test]
    fn a_large_table_is_looked_at_in_turns() {
        inside(async || {
            let (parking, _peers) = parked(1, Instant::now() + HOUR);
            parking.parked.borrow_mut().reserve(LOOK * 2);
            let (mut turns, mut from) = (0, Some(0));
            while let Some(key) = from {
                let closed;
                parking.earliest.set(0);
                (closed, from) = parking.close_overdue(Instant::now(), key, |_, _| {});
                assert!(closed == 0 && from.is_none_or(|next| next == key + LOOK));
                turns += 1;
            }
            assert_eq!((turns, parking.len()), (3, 1));
        });
    }

    #[test]
    fn an_epoll_that_fails_is_told() {
        let mut parking = Parking::new().expect("epoll");
        let (no_epoll, _) = rustix::pipe::pipe().expect("a pipe");
        parking.epoll = Rc::new(no_epoll);
        assert!(parking.take_ready(|_, _| {}).is_err());
    }
}
