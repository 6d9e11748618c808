//! The access log: one line per request, with the receipt of its transfer.
//!
//! Workers format into a buffer of their own and hand it to one writer thread, through a queue
//! that drops what does not fit: a full disk or a reader that has gone never stops the server.
//! What was dropped is counted and reported.

mod format;
mod writer;

use crate::{cli::LogFormat, clock::Clock};
use sendrail_http::{head::Head, status::Status};
use sendrail_transfer::{Receipt, receive::Received};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
pub(crate) use writer::{LogHandle, start};

/// A buffer that is handed to the writer when it is this full, in bytes.
const FULL: usize = 16 << 10;

/// What the log says of a request; taken down when the request is answered, because its bytes are
/// gone when the transfer ends.
#[derive(Debug)]
pub(crate) struct Record {
    peer: SocketAddr,
    unix: Duration,
    started: Instant,
    /// `GET /path HTTP/1.1`, as it came; `-` if it could not be read.
    method: Box<str>,
    target: Box<[u8]>,
    version: &'static str,
    referer: Option<Box<[u8]>>,
    user_agent: Option<Box<[u8]>>,
    /// What is said of an upload.
    upload: Option<Box<Upload>>,
}

/// What the log says of an upload.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    /// Whose token it was, if one was asked for.
    pub(crate) user: Option<Arc<str>>,
    /// What was received in this request. None if nothing was wanted.
    pub(crate) received: Option<Received>,
}

impl Record {
    /// Notes what is known of an upload.
    pub(crate) fn set_upload(&mut self, upload: Upload) {
        self.upload = Some(Box::new(upload));
    }

    /// Of a request whose head could be read.
    pub(crate) fn of(head: &Head<'_>, peer: SocketAddr, clock: &Clock) -> Self {
        Self {
            peer,
            unix: clock.unix(),
            started: Instant::now(),
            method: head.method.as_str().into(),
            target: head.target.into(),
            version: head.version.as_str(),
            referer: head.fields.referer.map(Into::into),
            user_agent: head.fields.user_agent.map(Into::into),
            upload: None,
        }
    }

    /// Of one whose head could not.
    pub(crate) fn unreadable(peer: SocketAddr, clock: &Clock) -> Self {
        Self {
            peer,
            unix: clock.unix(),
            started: Instant::now(),
            method: "-".into(),
            target: Box::default(),
            version: "",
            referer: None,
            user_agent: None,
            upload: None,
        }
    }
}

/// How a transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The socket took all of it.
    Complete,
    /// The client closed or reset the connection.
    PeerGone,
    /// The client took too little for too long.
    TooSlow,
    /// The file was shorter than promised, or could not be read: not the client's fault.
    FileFault,
    /// The server was told to stop and the drain time was over.
    Shutdown,
}

impl End {
    fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::PeerGone => "peer-gone",
            Self::TooSlow => "too-slow",
            Self::FileFault => "file-fault",
            Self::Shutdown => "shutdown",
        }
    }
}

/// A finished request.
pub(crate) struct Line<'a> {
    pub(crate) record: &'a Record,
    pub(crate) status: Status,
    /// Bytes sent without the head.
    pub(crate) body: u64,
    pub(crate) receipt: &'a Receipt,
    pub(crate) elapsed: Duration,
    pub(crate) end: End,
}

/// One worker's end of the log.
#[derive(Debug)]
pub(crate) struct LogBuffer {
    format: LogFormat,
    handle: LogHandle,
    buffer: Vec<u8>,
}

impl LogBuffer {
    pub(crate) fn new(format: LogFormat, handle: LogHandle) -> Self {
        Self { format, handle, buffer: Vec::new() }
    }

    /// Writes the line of a finished request.
    pub(crate) fn write(
        &mut self,
        record: &Record,
        status: Status,
        head_len: u64,
        receipt: &Receipt,
        end: End,
    ) {
        let line = Line {
            record,
            status,
            body: receipt.bytes.saturating_sub(head_len),
            receipt,
            elapsed: record.started.elapsed(),
            end,
        };
        format::append(&mut self.buffer, self.format, &line);
        if self.buffer.len() >= FULL {
            self.flush();
        }
    }

    /// Hands over what has gathered.
    pub(crate) fn flush(&mut self) {
        if !self.buffer.is_empty() {
            self.handle.give(std::mem::take(&mut self.buffer));
        }
    }
}

impl Drop for LogBuffer {
    fn drop(&mut self) {
        self.flush();
    }
}
