//! Waiting for a disk: hands what may sleep to the disk pool, and does not wait for it for ever.

use super::driver::Connection;
use rustix::event::{PollFd, PollFlags, Timespec};
use sendrail_transfer::disk_pool::{Job, Panicked, Ticket, Turn, Whose};
use std::{
    fmt,
    net::IpAddr,
    ops::ControlFlow,
    os::fd::{AsFd, BorrowedFd},
    pin::pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Why nothing has come back from the disk pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The disk has answered nobody for the disk timeout, or the pool has no room for as long.
    TimedOut(Duration),
    /// A bug.
    Panicked(Option<Panicked>),
    /// The client has reset the connection.
    PeerGone,
    /// The server is stopping, and does not wait for this any more.
    Stopping,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(limit) => write!(f, "the disk has not answered for {limit:?}"),
            Self::Panicked(Some(panicked)) => panicked.fmt(f),
            Self::Panicked(None) => f.write_str("a job of the disk pool was lost"),
            Self::PeerGone => f.write_str("the client has reset the connection"),
            Self::Stopping => f.write_str("the server is stopping"),
        }
    }
}

/// How often a pool that has no room is asked again. No connection has more than one job, so that it
/// has room as long as the kernel gives it threads.
const ASK_AGAIN: Duration = Duration::from_millis(100);

impl Connection {
    /// Has `work` done by a thread that may sleep on `device`, in as many turns as it says.
    ///
    /// # Errors
    ///
    /// If nothing has come back. What has not begun then will not be done. What a thread is busy with
    /// goes on until the disk answers: if that holds the socket, nothing else may be sent on it.
    pub(super) async fn in_pool<T: Send + 'static>(
        &self,
        device: u64,
        work: impl FnMut(&Turn<'_>) -> ControlFlow<T> + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let (tell, mut told) = oneshot::channel();
        let whose = Whose { device, client: client_key(self.peer.ip()) };
        let job = Job::in_turns(whose, work, move |outcome| drop(tell.send(outcome)));
        let ticket = self.submit(job).await?;
        let limit = self.worker.config.disk_timeout;
        let mut stand = ticket.stand();
        loop {
            match self.wait_at_most(limit, &mut told).await {
                Ok(Ok(Ok(outcome))) => return Ok(outcome),
                Ok(Ok(Err(panicked))) => return Err(NoAnswer::Panicked(Some(panicked))),
                Ok(Err(_)) => return Err(NoAnswer::Panicked(None)),
                // A long queue in front of a disk that is busy is no reason to give up.
                Err(NoAnswer::TimedOut(_)) if ticket.stand() != stand => stand = ticket.stand(),
                Err(why) => return Err(why),
            }
        }
    }

    async fn submit(&self, mut job: Job) -> Result<Ticket, NoAnswer> {
        let limit = self.worker.config.disk_timeout;
        let give_up = Instant::now() + limit;
        loop {
            job = match self.worker.disks().submit(job) {
                Ok(ticket) => return Ok(ticket),
                Err(refused) => refused,
            };
            match self.wait_at_most(ASK_AGAIN, std::future::pending::<()>()).await {
                Err(NoAnswer::TimedOut(_)) if Instant::now() < give_up => {}
                Err(NoAnswer::TimedOut(_)) => return Err(NoAnswer::TimedOut(limit)),
                Err(why) => return Err(why),
                Ok(()) => unreachable!("it is pending for ever"),
            }
        }
    }

    /// Waits for something else than the socket, and for no longer than `limit`, to within a sweep.
    pub(super) async fn wait_at_most<F: Future>(
        &self,
        limit: Duration,
        future: F,
    ) -> Result<F::Output, NoAnswer> {
        self.place.slot().set_deadline(Instant::now() + limit);
        let mut future = pin!(future);
        let mut watched = true;
        std::future::poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            self.poll_given_up(context, &mut watched, limit).map(Err)
        })
        .await
    }

    fn poll_given_up(
        &self,
        context: &mut Context<'_>,
        watched: &mut bool,
        limit: Duration,
    ) -> Poll<NoAnswer> {
        if self.worker.is_stopping() {
            return Poll::Ready(NoAnswer::Stopping);
        }
        // That may be the next request, or the end of a client that only receives from now on: then
        // there is nothing to be learnt any more before those bytes are read.
        if *watched && self.stream.poll_read_ready(context).is_ready() {
            *watched = false;
            if is_reset(self.fd()) {
                return Poll::Ready(NoAnswer::PeerGone);
            }
        }
        let slot = self.place.slot();
        if slot.is_over(self.worker.swept_at()) {
            return Poll::Ready(NoAnswer::TimedOut(limit));
        }
        slot.waits(context);
        Poll::Pending
    }

    /// Ends a connection for which a thread of the pool may still be busy: that one is not to send
    /// anything any more, and the client is to know now.
    pub(super) fn abandon(&self) {
        let _ = rustix::net::shutdown(self.stream.as_fd(), rustix::net::Shutdown::Both);
    }
}

/// Whether the connection is over in both directions (POLLHUP and POLLERR, `poll(2)`).
pub(super) fn is_reset(socket: BorrowedFd<'_>) -> bool {
    let mut look = [PollFd::from_borrowed_fd(socket, PollFlags::empty())];
    rustix::event::poll(&mut look, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// Who counts as one client where clients take turns: an IPv4 address, or the /64 that one subscriber
/// has of IPv6 (RFC 6177).
fn client_key(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_address_or_a_network_of_one() {
        let key = |address: &str| client_key(address.parse().expect("an address"));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    }
}
