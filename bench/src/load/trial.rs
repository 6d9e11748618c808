//! The trial: every exchange of a workload once, byte for byte, before anything is measured. A server that does other
//! work than was asked for is told apart from one that fails.

use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::response::{self, Head};
use super::workload::{Body, Exchange, Workload};
use crate::interrupt::Interrupt;
use crate::root::Document;

const CHUNK: usize = 1 << 20;
/// No server needs so long for a chunk of a file that is in memory.
const PATIENCE: Duration = Duration::from_secs(20);

/// The answer is not what was asked for: the server cannot do this, or does it wrong.
#[derive(Debug)]
pub(crate) struct OtherWork(String);

impl OtherWork {
    pub(crate) fn because(why: String) -> OtherWork {
        OtherWork(why)
    }
}

impl fmt::Display for OtherWork {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for OtherWork {}

/// One connection that reads every answer whole.
pub(crate) struct Trial {
    stream: TcpStream,
    /// Received and not yet used.
    pending: Vec<u8>,
}

impl Trial {
    pub(crate) fn connect(address: SocketAddr) -> Result<Trial> {
        let stream = TcpStream::connect(address).context("connecting")?;
        stream.set_read_timeout(Some(PATIENCE)).context("setting a time limit")?;
        Ok(Trial { stream, pending: Vec::new() })
    }

    /// Asks for everything once. An error of type [`OtherWork`] means: leave this server out.
    pub(crate) fn of(
        address: SocketAddr,
        workload: &Workload,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let mut trial = Trial::connect(address)?;
        for exchange in &workload.exchanges {
            interrupt.check()?;
            trial.exchange(exchange).with_context(|| {
                format!("asked {}", exchange.request.trim_ascii_end().escape_ascii())
            })?;
        }
        Ok(())
    }

    /// The validators a server gives a file, as a client would send them back. A browser sends both.
    pub(crate) fn conditions(&mut self, document: &Document) -> Result<String> {
        let plain = Exchange::whole(&std::rc::Rc::new(document.clone()), "");
        self.stream.write_all(&plain.request).context("sending a request")?;
        let raw = self.head()?;
        let head = complete(&raw)?;
        let mut conditions = String::new();
        for (field, value) in
            [("If-None-Match", head.entity_tag), ("If-Modified-Since", head.last_modified)]
        {
            if let Some(value) = value {
                let value = std::str::from_utf8(value).context("a validator that is no text")?;
                conditions.extend([field, ": ", value, "\r\n"]);
            }
        }
        if conditions.is_empty() {
            bail!(OtherWork("sends no validator".into()));
        }
        self.skip(head.content_length)?;
        Ok(conditions)
    }

    fn exchange(&mut self, exchange: &Exchange) -> Result<()> {
        self.stream.write_all(&exchange.request).context("sending a request")?;
        let raw = self.head()?;
        let head = complete(&raw)?;
        if let Err(error) = head.answers(exchange) {
            bail!(OtherWork(error.to_string()));
        }
        match &exchange.body {
            Body::Empty => Ok(()),
            Body::Bytes { document, range } => self.compare(document, range.clone()),
            Body::Parts { document, ranges } => {
                if !head.multipart {
                    bail!(OtherWork("not multipart/byteranges".into()));
                }
                let body = self.take(head.content_length)?;
                parts_are_right(&body, document, ranges)
            }
        }
    }

    /// The bytes of a complete head.
    fn head(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some(Head { len, .. }) = followed(&self.pending)? {
                return Ok(self.pending.drain(..len).collect());
            }
            self.receive()?;
        }
    }

    fn receive(&mut self) -> Result<()> {
        let before = self.pending.len();
        self.pending.resize(before + CHUNK, 0);
        let got = self.stream.read(&mut self.pending[before..]).context("receiving an answer")?;
        self.pending.truncate(before + got);
        if got == 0 {
            bail!("the server closed the connection in the middle of an answer");
        }
        Ok(())
    }

    fn take(&mut self, length: u64) -> Result<Vec<u8>> {
        while (self.pending.len() as u64) < length {
            self.receive()?;
        }
        Ok(self.pending.drain(..length as usize).collect())
    }

    fn skip(&mut self, mut length: u64) -> Result<()> {
        while length > 0 {
            let now = length.min(CHUNK as u64);
            self.take(now)?;
            length -= now;
        }
        Ok(())
    }

    fn compare(&mut self, document: &Document, range: Range<u64>) -> Result<()> {
        let file = open(document)?;
        let mut at = range.start;
        while at < range.end {
            let now = (range.end - at).min(CHUNK as u64);
            let arrived = self.take(now)?;
            if let Some(first) = first_difference(&file, at, &arrived)? {
                bail!(OtherWork(format!("byte {first} of {} is not the file's", document.target)));
            }
            at += now;
        }
        Ok(())
    }
}

fn followed(bytes: &[u8]) -> Result<Option<Head<'_>>> {
    let parsed = response::parse(bytes);
    parsed.map_err(|error| OtherWork(format!("{error:#}")).into())
}

fn complete(head: &[u8]) -> Result<Head<'_>> {
    followed(head)?.context("a head that is complete and then is not")
}

fn open(document: &Document) -> Result<File> {
    File::open(&document.path).with_context(|| format!("opening {}", document.path.display()))
}

fn first_difference(file: &File, at: u64, arrived: &[u8]) -> Result<Option<u64>> {
    let mut expected = vec![0; arrived.len()];
    file.read_exact_at(&mut expected, at).context("reading the file for comparison")?;
    let first = arrived.iter().zip(&expected).position(|(one, other)| one != other);
    Ok(first.map(|first| at + first as u64))
}

/// Each part's bytes, after a Content-Range that says so, in the order asked for.
fn parts_are_right(body: &[u8], document: &Document, ranges: &[Range<u64>]) -> Result<()> {
    let file = open(document)?;
    let mut rest = body;
    for range in ranges {
        let said = format!("bytes {}-{}/{}\r\n", range.start, range.end - 1, document.len);
        let wrong = || OtherWork(format!("no part with Content-Range: {}", said.trim_end()));
        let at = find(rest, said.as_bytes()).ok_or_else(wrong)?;
        let from = at + find(&rest[at..], b"\r\n\r\n").ok_or_else(wrong)? + 4;
        let length = (range.end - range.start) as usize;
        let part = rest.get(from..from + length).ok_or_else(wrong)?;
        if let Some(first) = first_difference(&file, range.start, part)? {
            bail!(OtherWork(format!("byte {first} of {} is not the file's", document.target)));
        }
        rest = &rest[from + length..];
    }
    Ok(())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, wanted)
}
