//! The parking place by itself: what it tells, what it keeps, what it closes.

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
