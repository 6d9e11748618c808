//! Windows: the part of a transfer that a thread of the pool moves in one turn.

use super::Turn;
use crate::transfer::{Disk, Step, Transfer};
use sendrail_sys::poll::wait_writable;
use std::{
    ops::ControlFlow,
    os::fd::AsFd,
    time::{Duration, Instant},
};

/// The most windows in one turn, while nobody else waits: each trip to the pool and back costs a
/// wake-up of either side.
const WINDOWS: usize = 8;

/// After so long a turn ends with the window that it is at, so that a slow disk is seen to answer.
const LONG: Duration = Duration::from_millis(50);

/// So long a thread waits for a full socket, while nobody else waits for the thread. A client on the
/// same machine or in the same house has taken some of it by then.
const SOCKET: Duration = Duration::from_millis(2);

/// A transfer that came to a window which is not in the page cache.
///
/// ```
/// use sendrail_transfer::{
///     Chain, FileRange, Options, Step, Transfer,
///     disk_pool::{DiskPool, Job, Limits, Turn, Whose, Windows},
/// };
/// use std::{fs::File, ops::ControlFlow, os::unix::{fs::MetadataExt, net::UnixStream}, sync::{Arc, mpsc::channel}};
///
/// let (socket, _peer) = UnixStream::pair()?;
/// socket.set_nonblocking(true)?;
/// let file = File::open("Cargo.toml")?;
/// let whose = Whose { device: file.metadata()?.dev(), client: 1 };
/// let mut chain = Chain::new();
/// chain.push_file(FileRange::new(Arc::new(file), 0, 100));
/// let transfer = Transfer::new(chain, Options::default()); // its last step has said WaitDisk
///
/// let mut windows = Some(Windows::of(transfer));
/// let work = move |turn: &Turn<'_>| {
///     let inside = windows.as_mut().expect("it has ended when this is gone");
///     inside.advance(&socket, turn).map_break(|step| (windows.take(), step))
/// };
/// let (tell, told) = channel(); // an event loop is woken as well, by an eventfd(2) for one
/// let _place = DiskPool::new(Limits::default())
///     .submit(Job::in_turns(whose, work, move |outcome| drop(tell.send(outcome))));
/// let (windows, step) = told.recv()??;
/// assert!(matches!(step, Step::Done));
/// assert_eq!(windows.expect("it comes back").into_transfer().receipt().bytes, 100);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Windows {
    transfer: Transfer,
    /// The next window has been looked at, and is cold.
    known_cold: bool,
}

impl Windows {
    /// Takes over a transfer whose last step was [`Step::WaitDisk`].
    pub fn of(transfer: Transfer) -> Self {
        Self { transfer, known_cold: true }
    }

    /// The transfer, when the last turn is over.
    pub fn into_transfer(self) -> Transfer {
        self.transfer
    }

    /// Moves the next window to `socket`, and some more while nobody else waits for the thread.
    ///
    /// [`Break`](ControlFlow::Break) is what the event loop has to do next: as from
    /// [`Transfer::step`], but never [`Step::WaitDisk`]. [`Continue`](ControlFlow::Continue) asks
    /// for another turn, behind those who wait: it is the disk's move again.
    pub fn advance(&mut self, socket: impl AsFd, turn: &Turn<'_>) -> ControlFlow<Step> {
        let (transfer, socket) = (&mut self.transfer, socket.as_fd());
        let begun = Instant::now();
        for _ in 0..WINDOWS {
            let cold = transfer.receipt().cold;
            let step = transfer.step(socket, Disk::MayWait);
            let was_hot = transfer.receipt().cold == cold && !self.known_cold;
            self.known_cold = false;
            match step {
                Step::Yield | Step::WaitDisk => {
                    let others_wait = turn.others_wait();
                    if others_wait && was_hot && !transfer.is_bulk() {
                        return ControlFlow::Break(Step::Yield); // that needs no thread of a disk
                    }
                    if others_wait || begun.elapsed() >= LONG {
                        break;
                    }
                }
                Step::WaitSocket => {
                    let full = ControlFlow::Break(Step::WaitSocket);
                    if turn.others_wait() || begun.elapsed() >= LONG {
                        return full;
                    }
                    let wait = || wait_writable(socket, Some(SOCKET));
                    if !matches!(transfer.receipt_mut().call(wait), Ok(true)) {
                        return full;
                    }
                }
                Step::Done | Step::PeerGone(_) | Step::Failed(_) => {
                    return ControlFlow::Break(step);
                }
            }
        }
        transfer.receipt_mut().disk_waits += 1; // for the next turn
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails

    use super::*;
    use crate::{
        chain::Chain,
        disk_pool::{DiskPool, Job, Limits, Whose},
        plan::Options,
        segment::FileRange,
    };
    use std::{
        io::Write,
        os::unix::net::UnixStream,
        sync::{Arc, mpsc::channel},
    };

    const WINDOW: u64 = 64 << 10;
    const LEN: u64 = 3 * WINDOW;

    /// A transfer of a resident file in small windows.
    fn windows(len: u64) -> Windows {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; len as usize]).unwrap();
        let mut chain = Chain::new();
        chain.push_file(FileRange::new(Arc::new(file), 0, len));
        Windows::of(Transfer::new(chain, Options { window: WINDOW, ..Options::default() }))
    }

    /// A socket that takes all, or nothing that does not fit into it.
    fn socket(reads: bool) -> (UnixStream, Option<UnixStream>) {
        let (socket, peer) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        if !reads {
            return (socket, Some(peer));
        }
        std::thread::spawn(move || std::io::copy(&mut &peer, &mut std::io::sink()));
        (socket, None)
    }

    /// Gives `act` a turn, while somebody else waits for the same disk or nobody does.
    fn with_turn<T>(others: bool, act: impl FnOnce(&Turn<'_>) -> T) -> T {
        let pool = DiskPool::new(Limits { per_device: 1, ..Limits::default() });
        let whose = Whose { device: 1, client: 1 };
        let (open, closed) = channel::<()>();
        let mut tickets = vec![pool.submit(Job::once(whose, move || closed.recv(), drop))];
        if others {
            tickets.push(pool.submit(Job::once(whose, || (), drop)));
        }
        let turn = Turn { shared: &pool.shared, whose };
        assert_eq!(turn.others_wait(), others);
        let outcome = act(&turn);
        drop(open);
        outcome
    }

    #[test]
    fn alone_a_transfer_goes_on_to_its_end() {
        let (socket, _) = socket(true);
        let mut windows = windows(LEN);
        let outcome = with_turn(false, |turn| windows.advance(&socket, turn));
        assert!(matches!(outcome, ControlFlow::Break(Step::Done)), "{outcome:?}");
        assert_eq!(windows.into_transfer().receipt().bytes, LEN);
    }

    #[test]
    fn beside_others_it_moves_one_window_and_leaves_what_needs_no_disk_to_the_event_loop() {
        let (socket, _) = socket(true);
        let mut windows = windows(LEN);
        with_turn(true, |turn| {
            assert!(matches!(windows.advance(&socket, turn), ControlFlow::Continue(())));
            assert_eq!(windows.transfer.remaining(), LEN - WINDOW);
            // Nobody knew that this one is hot before it was looked at.
            let outcome = windows.advance(&socket, turn);
            assert!(matches!(outcome, ControlFlow::Break(Step::Yield)), "{outcome:?}");
            assert_eq!(windows.transfer.remaining(), WINDOW);
        });
        assert_eq!(windows.into_transfer().receipt().disk_waits, 1, "for the second turn");
    }

    #[test]
    fn a_socket_that_stays_full_is_waited_for_elsewhere() {
        for others in [false, true] {
            let (socket, _peer) = socket(false);
            let mut windows = windows(100 * LEN);
            with_turn(others, |turn| {
                let outcome = loop {
                    match windows.advance(&socket, turn) {
                        ControlFlow::Break(Step::Yield) | ControlFlow::Continue(()) => {}
                        outcome @ ControlFlow::Break(_) => break outcome,
                    }
                };
                assert!(matches!(outcome, ControlFlow::Break(Step::WaitSocket)), "{outcome:?}");
                assert!(windows.transfer.remaining() > 0);
            });
        }
    }
}
