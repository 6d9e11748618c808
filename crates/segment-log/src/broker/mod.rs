//! The broker: serves a log over TCP, from one thread with an event loop, by the engine of `sendrail-transfer`.
//!
//! What is not in the page cache is sent by that engine's disk pool, and what is appended is written by a thread of its own: the loop
//! waits for no disk, and a consumer that is days behind holds up none at the tail.

mod appender;
mod connection;
mod stats;
mod waits;

pub use stats::Stats;

use crate::log::Log;
use appender::Appender;
use connection::Connection;
use sendrail_transfer::Options as SendOptions;
use std::{convert::Infallible, future::poll_fn, io, sync::Arc, task::Poll, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::sleep,
};

/// After an error that is the machine's and not the connection's (no descriptors left), nobody is accepted for so long.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What a broker allows. Name those that you set, and take the others by `..ServeOptions::default()`.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Connections at once, 10,000 by default; the next one is closed.
    pub connections: usize,
    /// The most bytes of one fetch, 64 MiB by default: who asks for more gets this much. At most 1 GiB.
    pub fetch_bytes: u32,
    /// The longest that a fetch waits at the end of the log, a minute by default: who asks for more gets an answer without records then.
    pub longest_wait: Duration,
    /// How long a request may be on its way, half a minute by default. Between requests there is no limit.
    pub request_timeout: Duration,
    /// Memory for appends of more than 64 KiB that are on their way, in bytes: 256 MiB by default, and not less than one append. Who
    /// finds no room waits before it is received.
    pub append_memory: usize,
    /// How bytes are sent: who takes nothing for how long (`send_timeout`, a minute by default), and what becomes of pages that
    /// a consumer brings into the page cache (`drop_behind`).
    pub send: SendOptions,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            connections: 10_000,
            fetch_bytes: 64 << 20,
            longest_wait: Duration::from_mins(1),
            request_timeout: Duration::from_secs(30),
            append_memory: 256 << 20,
            send: SendOptions {
                send_timeout: Some(Duration::from_mins(1)),
                ..SendOptions::default()
            },
        }
    }
}

/// What all connections share.
#[derive(Debug)]
struct Broker {
    log: Arc<Log>,
    options: ServeOptions,
    appender: Appender,
    /// Bytes of long appends that find room.
    room: Arc<Semaphore>,
    stats: Arc<Stats>,
}

/// Serves the log to whoever connects, until the future is dropped; then all connections are closed, and the last append is waited for.
///
/// It belongs into a current-thread runtime with timers (`enable_all`).
///
/// # Errors
///
/// Only if its thread cannot be started. What is wrong with a connection ends that connection.
///
/// ```
/// use sendrail_segment_log::{Client, Log, Options, broker};
/// use std::{sync::Arc, time::Duration};
/// use tokio::net::TcpListener;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path();
/// let log = Arc::new(Log::open(path, Options::default())?);
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let address = listener.local_addr()?;
/// let serving = tokio::spawn(broker::serve(listener, log, broker::ServeOptions::default()));
///
/// let consumer = tokio::task::spawn_blocking(move || -> Result<u64, sendrail_segment_log::ClientError> {
///     let mut client = Client::connect(address)?;
///     client.append([&b"a record"[..]])?;
///     let batch = client.fetch(0, 1 << 20, Duration::ZERO)?;
///     assert_eq!(batch.records().next(), Some(Ok(sendrail_segment_log::Record { offset: 0, payload: b"a record" })));
///     Ok(batch.next)
/// });
/// assert_eq!(consumer.await??, 1);
/// serving.abort();
/// # Ok(())
/// # }
/// ```
pub async fn serve(
    listener: TcpListener,
    log: Arc<Log>,
    options: ServeOptions,
) -> io::Result<Infallible> {
    serve_counted(listener, log, options, Arc::default()).await
}

/// The same, and counts what it does.
///
/// # Errors
///
/// As [`serve`].
pub async fn serve_counted(
    listener: TcpListener,
    log: Arc<Log>,
    options: ServeOptions,
    stats: Arc<Stats>,
) -> io::Result<Infallible> {
    let appender = Appender::start(Arc::clone(&log))?;
    let most = (log.shared.options.append_bytes as usize + 64).min(u32::MAX as usize);
    let room = Arc::new(Semaphore::new(options.append_memory.clamp(most, Semaphore::MAX_PERMITS)));
    let broker = Arc::new(Broker { log, options, appender, room, stats });
    let mut connections = JoinSet::new();
    loop {
        let accepted = poll_fn(|context| {
            while let Poll::Ready(Some(ended)) = connections.poll_join_next(context) {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection ended in a panic");
                }
            }
            listener.poll_accept(context)
        })
        .await;
        match accepted {
            Ok((_, peer)) if connections.len() >= broker.options.connections => {
                tracing::warn!(%peer, "closed: there are as many connections as are allowed");
            }
            Ok((socket, peer)) => {
                if let Some(connection) = begin(socket, &broker) {
                    connections.spawn(async move {
                        if let Err(error) = connection.run().await {
                            tracing::debug!(%peer, %error, "ended");
                        }
                    });
                }
            }
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

fn begin(socket: TcpStream, broker: &Arc<Broker>) -> Option<Connection> {
    // An answer is one or two calls, and the last packet of it must not wait for an acknowledgement. A socket that
    // does not take that is gone already.
    socket.set_nodelay(true).ok()?;
    Some(Connection::new(socket, Arc::clone(broker)))
}

/// Errors of a connection that ended before it was accepted: accept(2).
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}
