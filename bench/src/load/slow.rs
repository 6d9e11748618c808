//! Slow readers: many clients, each taking a large answer in small sips, as over a poor line.

use std::net::SocketAddr;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};

use super::workload::Exchange;
use crate::interrupt::Interrupt;

/// What a client's kernel holds for it: little, so that the sending end feels how slow the reader is.
const RECEIVE_BUFFER: usize = 128 << 10;

/// Clients that read in a thread of their own until dropped.
pub(crate) struct SlowReaders {
    stop: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl SlowReaders {
    /// `count` clients that ask for `exchange` and take `sip` bytes every `every`. The answer must be so long that none
    /// comes to its end.
    pub(crate) fn start(
        address: SocketAddr,
        exchange: &Exchange,
        count: usize,
        sip: usize,
        every: Duration,
        interrupt: &Interrupt,
    ) -> Result<SlowReaders> {
        let mut streams = Vec::with_capacity(count);
        for number in 0..count {
            interrupt.check()?;
            let stream = ask(address, exchange).with_context(|| format!("slow reader {number}"))?;
            streams.push(stream);
        }
        let (stop, bytes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = std::thread::spawn({
            let (stop, bytes) = (Arc::clone(&stop), Arc::clone(&bytes));
            move || read(&streams, sip, every, &stop, &bytes)
        });
        Ok(SlowReaders { stop, bytes, thread: Some(thread) })
    }

    /// Read so far, by all together.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Stops them; an error when one of them was cut off.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => bail!("the slow readers' thread panicked"),
            None => Ok(()),
        }
    }
}

impl Drop for SlowReaders {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn ask(address: SocketAddr, exchange: &Exchange) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).context("connecting")?;
    sockopt::set_socket_recv_buffer_size(&stream, RECEIVE_BUFFER).context("setting SO_RCVBUF")?;
    stream.set_nodelay(true).context("setting TCP_NODELAY")?;
    send(&stream, &exchange.request, SendFlags::NOSIGNAL).context("sending a request")?;
    Ok(stream)
}

/// One after another in turn, evenly over time: a thousand clients do not all read in the same millisecond.
fn read(
    streams: &[TcpStream],
    sip: usize,
    every: Duration,
    stop: &AtomicBool,
    bytes: &AtomicU64,
) -> Result<()> {
    let mut buffer = vec![0; sip];
    let gap = every / u32::try_from(streams.len()).context("too many slow readers")?;
    let mut due = Instant::now();
    loop {
        for (number, stream) in streams.iter().enumerate() {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            due += gap;
            if let Some(early) = due.checked_duration_since(Instant::now()) {
                std::thread::sleep(early);
            }
            match recv(stream, &mut buffer, RecvFlags::TRUNC | RecvFlags::DONTWAIT) {
                Ok((_, 0)) => bail!("slow reader {number} was cut off"),
                Ok((_, got)) => {
                    bytes.fetch_add(got as u64, Ordering::Relaxed);
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error).context(format!("slow reader {number}")),
            }
        }
    }
}
