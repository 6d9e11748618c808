//! The thread that writes the log, so that no worker ever waits for it.

use crate::config::{LogTarget, Problem};
use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel},
    },
    time::Duration,
};

/// Buffers that may wait to be written. With 16 KiB each, the log holds 4 MiB at the most.
const QUEUE: usize = 256;

#[derive(Debug)]
enum Message {
    Lines(Vec<u8>),
    Reopen,
}

/// A way to give lines to the writer.
#[derive(Debug, Clone)]
pub(crate) struct LogHandle {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl LogHandle {
    /// Queues lines, or drops and counts them when the queue is full.
    pub(super) fn give(&self, lines: Vec<u8>) {
        if let Err(refused) = self.queue.try_send(Message::Lines(lines)) {
            let (std::sync::mpsc::TrySendError::Full(message)
            | std::sync::mpsc::TrySendError::Disconnected(message)) = refused;
            if let Message::Lines(lines) = message {
                self.dropped.fetch_add(count(&lines), Ordering::Relaxed);
            }
        }
    }

    /// Has the file opened anew, for log rotation.
    pub(crate) fn reopen(&self) {
        // If the queue is full the writer is stuck, and a new file would not help it.
        let _ = self.queue.try_send(Message::Reopen);
    }
}

/// The writer's thread.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Writer {
    /// Waits until everything is written, but not for ever: a pipe that nobody reads would keep the
    /// server from stopping. To be called when the last handle is dropped.
    pub(crate) fn finish(self) {
        const PATIENCE: Duration = Duration::from_secs(5);
        if self.ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the access log takes nothing: leaving without its last lines");
        }
    }
}

/// Starts the writer. It ends, with everything written, when the last handle is dropped.
///
/// # Errors
///
/// The file cannot be opened for appending, or the thread not be started.
pub(crate) fn start(target: &LogTarget) -> Result<Option<(LogHandle, Writer)>, Problem> {
    let sink = match target {
        LogTarget::Off => return Ok(None),
        LogTarget::Stdout => Sink::Stdout,
        LogTarget::File(path) => Sink::File(
            open(path).map_err(|error| {
                Problem::new(format!("--access-log {}: {error}", path.display()))
            })?,
            path.clone(),
        ),
    };
    let (queue, messages) = sync_channel(QUEUE);
    let dropped = Arc::new(AtomicU64::new(0));
    let handle = LogHandle { queue, dropped: Arc::clone(&dropped) };
    let (running, ended) = channel();
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || {
            let _running = running; // dropped when all is written
            write_all(sink, &messages, &dropped);
        })
        .map_err(|error| Problem::new(format!("cannot start the log's thread: {error}")))?;
    Ok(Some((handle, Writer { ended })))
}

enum Sink {
    Stdout,
    File(File, std::path::PathBuf),
}

impl Sink {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Self::File(file, _) => file.write_all(lines),
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Self::File(file, path) = self {
            *file = open(path)?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}

fn write_all(mut sink: Sink, messages: &Receiver<Message>, dropped: &AtomicU64) {
    let mut failing = false;
    loop {
        let message = match messages.recv_timeout(Duration::from_secs(10)) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let result = match &message {
            Some(Message::Lines(lines)) => sink.write(lines).inspect_err(|_| {
                dropped.fetch_add(count(lines), Ordering::Relaxed);
            }),
            Some(Message::Reopen) => sink.reopen(),
            None => Ok(()),
        };
        match result {
            // Said once, not once per line: the disk that is full is often the one stderr goes to.
            Err(error) if !failing => {
                failing = true;
                tracing::error!(%error, "the access log cannot be written; its lines are dropped");
            }
            Ok(()) if message.is_some() => failing = false,
            Err(_) | Ok(()) => {}
        }
        if !failing {
            report(dropped);
        }
    }
    report(dropped);
}

fn report(dropped: &AtomicU64) {
    let lines = dropped.swap(0, Ordering::Relaxed);
    if lines > 0 {
        tracing::warn!(lines, "lines of the access log were dropped");
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.split(|byte| *byte == b'\n').count() as u64 - 1
}
