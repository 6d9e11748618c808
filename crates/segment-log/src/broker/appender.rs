//! The appender: the one thread of a broker that waits for the disk. What has come while it waited is written next, and synced by one call.

use crate::{error::AppendError, log::Log, wire::Payloads, writer::Appended};
use std::{
    io,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// So often it is looked for segments that are too old.
const RETAIN_EVERY: Duration = Duration::from_secs(10);

/// The most appends that are answered together: those who came first are not to wait for ever.
const TOGETHER: usize = 1024;

/// Payloads that are to be appended.
pub(super) struct Order {
    /// As they came, from `begins` on.
    pub(super) bytes: Vec<u8>,
    pub(super) begins: usize,
    pub(super) answer: oneshot::Sender<Result<Appended, AppendError>>,
    /// Given up when they are written.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
pub(super) struct Appender {
    /// Both are there until it is dropped.
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Appender {
    pub(super) fn start(log: Arc<Log>) -> io::Result<Self> {
        let (orders, taken) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("segment-log".into())
            .spawn(move || append_all(&log, &taken))?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Has it append them. If the thread has panicked, the answer never comes: its channel is closed.
    pub(super) fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(order);
        }
    }
}

impl Drop for Appender {
    /// Waits for the last append: who stops a broker may open the log anew at once.
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn append_all(log: &Log, orders: &mpsc::Receiver<Order>) {
    let mut looked = Instant::now();
    let mut written = Vec::new();
    loop {
        match orders.recv_timeout(RETAIN_EVERY) {
            Ok(first) => {
                let more = std::iter::from_fn(|| orders.try_recv().ok());
                for order in std::iter::once(first).chain(more).take(TOGETHER) {
                    let payloads = Payloads::checked(&order.bytes[order.begins..]);
                    let outcome = log.write(payloads.into_iter().flatten());
                    drop((order.bytes, order.room));
                    written.push((order.answer, outcome));
                }
                acknowledge(log, &mut written);
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
        if looked.elapsed() >= RETAIN_EVERY {
            looked = Instant::now();
            match log.retain() {
                Ok(dropped) => {
                    for segment in dropped {
                        tracing::info!(?segment, "dropped");
                    }
                }
                Err(error) => tracing::warn!(%error, "a segment that is too old cannot be dropped"),
            }
        }
    }
}

type Written = (oneshot::Sender<Result<Appended, AppendError>>, Result<Appended, AppendError>);

fn acknowledge(log: &Log, written: &mut Vec<Written>) {
    let last = written.iter().rev().find_map(|(_, outcome)| outcome.as_ref().ok().copied());
    let on_disk = last.map_or(Ok(()), |last| log.commit(last));
    for (answer, outcome) in written.drain(..) {
        if let Err(error) = &outcome {
            tracing::warn!(%error, "an append was refused");
        }
        // Who has gone is not told.
        let _ = answer.send(outcome.and_then(|appended| on_disk.clone().map(|()| appended)));
    }
    if let Err(error) = &on_disk {
        tracing::error!(%error, "appends are refused from now on");
    }
}
