//! Tails: what finished transfers still owe. The last pages of a file are in packets when its
//! transfer is over, and can be dropped only when those are acknowledged: later, by a thread of its
//! own, for an event loop must not wait and a finished transfer is nobody's.

use super::{brake::Share, record::Record};
use crate::{background, receipt::Receipt};
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// When a tail is tried first: a client nearby has acknowledged by then.
const FIRST: Duration = Duration::from_millis(4);

/// From one try to the next the wait doubles, up to this.
const LONGEST: Duration = Duration::from_secs(2);

/// After so long a wait most clients have acknowledged, where there is no way to see it.
const LIKELY: Duration = Duration::from_millis(500);

/// A client that acknowledges nothing for this long keeps its pages: the connection is as good as
/// gone, and the kernel reclaims them like any others.
const GIVE_UP: Duration = Duration::from_mins(1);

/// More tails than this are not kept in mind: the next ones stay in the page cache.
const MOST: usize = 65_536;

/// How long the thread outlives the last tail.
const IDLE: Duration = Duration::from_secs(10);

/// Tells how far the peer of a connection has come, also when its last transfer is over: a transfer's
/// last pages can be dropped when it has acknowledged them.
///
/// What is asked is asked again and again, from another thread, and must not keep the connection
/// open: hold the socket weakly.
///
/// ```
/// use sendrail_transfer::{Acknowledged, Chain, Options, Transfer};
/// use std::{net::{TcpListener, TcpStream}, os::fd::AsFd, sync::{Arc, Weak}};
///
/// struct Connection(Weak<TcpStream>);
///
/// impl Acknowledged for Connection {
///     fn acknowledged(&self) -> Option<(u64, u64)> {
///         let socket = self.0.upgrade()?;
///         let acknowledged = sendrail_sys::sockopt::acknowledged_bytes(socket.as_fd()).ok()?;
///         let unsent = sendrail_sys::sockopt::unsent_bytes(socket.as_fd()).ok()?;
///         Some((acknowledged, unsent))
///     }
/// }
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let socket = Arc::new(TcpStream::connect(listener.local_addr()?)?);
/// let mut transfer = Transfer::new(Chain::new(), Options::default());
/// transfer.acknowledged_by(Arc::new(Connection(Arc::downgrade(&socket))));
/// assert!(transfer.knows_connection());
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Acknowledged: Send + Sync {
    /// Bytes that the peer has acknowledged since the connection began, and bytes that it has not:
    /// `TCP_INFO` and `SIOCOUTQ` (`tcp(7)`). `None` when the connection is gone, or cannot be asked.
    fn acknowledged(&self) -> Option<(u64, u64)>;
}

/// When the peer will have taken everything that was sent up to now.
pub(super) struct Receiver {
    connection: Arc<dyn Acknowledged>,
    everything: u64,
}

impl Receiver {
    pub(super) fn of(connection: &Arc<dyn Acknowledged>) -> Option<Self> {
        let (acknowledged, on_its_way) = connection.acknowledged()?;
        Some(Self { connection: Arc::clone(connection), everything: acknowledged + on_its_way })
    }

    /// Whether something is still on its way. Nobody knows that of a connection that is gone.
    fn waits(&self) -> bool {
        self.connection.acknowledged().is_some_and(|(bytes, _)| bytes < self.everything)
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("everything", &self.everything).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Tail {
    record: Arc<Record>,
    receiver: Option<Receiver>,
    /// Given back with the last page.
    _share: Option<Share>,
    ended: Instant,
    wait: Duration,
}

/// Ordered by when it is to be tried, then by who came first.
#[derive(Debug)]
struct Entry(Instant, u64, Tail);

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

#[derive(Debug)]
struct Queue {
    tails: BinaryHeap<Reverse<Entry>>,
    next: u64,
    running: bool,
}

static QUEUE: Mutex<Queue> =
    Mutex::new(Queue { tails: BinaryHeap::new(), next: 0, running: false });
static CAME: Condvar = Condvar::new();

fn queue() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queue {
    fn push(&mut self, at: Instant, tail: Tail) {
        self.next += 1;
        self.tails.push(Reverse(Entry(at, self.next, tail)));
    }
}

/// Gives back what `record` owes, when its packets have been acknowledged.
pub(super) fn follow(
    record: Arc<Record>,
    receiver: Option<Receiver>,
    share: Option<Share>,
    now: Instant,
) {
    let mut queue = queue();
    if queue.tails.len() >= MOST {
        drop(queue);
        record.forgive(); // whoever is here may be an event loop, and must not take the time to drop
        return;
    }
    let first = queue.tails.peek().is_none_or(|Reverse(entry)| entry.0 > now + FIRST);
    queue.push(now + FIRST, Tail { record, receiver, _share: share, ended: now, wait: FIRST });
    if !queue.running {
        let thread = std::thread::Builder::new().name("drop-behind".to_owned());
        // Without a thread the tails wait for the next one who comes.
        queue.running = thread.spawn(run).is_ok();
    } else if first {
        CAME.notify_one();
    }
}

fn run() {
    background::give_way();
    let mut guard = queue();
    loop {
        let now = Instant::now();
        let Some(due) = guard.tails.peek().map(|Reverse(entry)| entry.0) else {
            let (again, waited) =
                CAME.wait_timeout(guard, IDLE).unwrap_or_else(PoisonError::into_inner);
            guard = again;
            if waited.timed_out() && guard.tails.is_empty() {
                guard.running = false;
                return;
            }
            continue;
        };
        if due > now {
            (guard, _) =
                CAME.wait_timeout(guard, due - now).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        let Some(Reverse(Entry(_, _, mut tail))) = guard.tails.pop() else { continue };
        drop(guard);
        let in_time = now.saturating_duration_since(tail.ended) < GIVE_UP;
        let left = if in_time && tail.receiver.as_ref().is_some_and(Receiver::waits) {
            1 // at least
        } else {
            let likely = tail.receiver.is_some() || tail.wait >= LIKELY;
            tail.record.settle(1, likely, now, &mut Receipt::default())
        };
        if left > 0 && !in_time {
            tail.record.forgive();
        }
        guard = queue();
        if left > 0 && in_time {
            tail.wait = (tail.wait * 2).min(LONGEST);
            guard.push(now + tail.wait, tail);
        }
    }
}
