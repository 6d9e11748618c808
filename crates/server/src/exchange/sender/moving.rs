//! The bytes of one file, from this side: by the engine, or from standard input.

use super::{Broken, OfOneFile, Session, could_not};
use crate::exchange::{
    failure::Failure,
    protocol::{self, Have, MAX_CHUNK, Message, Sum},
    steps::{self, Over},
    sum::Follower,
    wire::ready,
};
use rustix::event::PollFlags;
use sendrail_sys::sockopt::set_tcp_cork;
use sendrail_transfer::{Chain, FileFault, FileRange, Transfer};
use std::{
    fs::File,
    io::{self, Read},
    mem,
    os::fd::AsFd,
    sync::Arc,
    time::Duration,
};

/// The most chunks of one transfer: a chain is in memory.
const CHUNKS: u64 = 256;
/// What is read of standard input at once, in bytes.
const BUFFER: usize = 256 << 10;
/// How long the connection is not looked at while standard input says nothing.
const GLANCE: Duration = Duration::from_millis(250);

impl Session<'_> {
    /// Sends what the other side does not have of a file. Gives its checksum, if one is wanted.
    pub(super) fn send_file(
        &mut self,
        file: &Arc<File>,
        size: u64,
        have: &Have,
    ) -> OfOneFile<Option<Sum>> {
        let mut from = 0;
        let mut follower = None;
        if self.task.checksum || matches!(have, Have::Prefix { .. }) {
            match self.verify(file, size, have)? {
                Ok((verified, hashing)) => {
                    from = verified;
                    follower = self.follower(hashing, size);
                }
                Err(broken) => {
                    self.wire.say(&Message::Begin { from: 0 })?;
                    return Ok(Err(broken));
                }
            }
        }
        self.account.skipped += from;
        self.progress.skipped(from);
        let mut head = protocol::encode(&Message::Begin { from })?;
        let mut at = from;
        loop {
            let end = size.min(at.saturating_add(CHUNKS * u64::from(MAX_CHUNK)));
            match self.move_range(file, at, end, size, &mem::take(&mut head), follower.as_mut())? {
                Ok(()) if end == size => break,
                Ok(()) => at = end,
                Err(broken) => return Ok(Err(broken)),
            }
        }
        let Some(follower) = follower else { return Ok(Ok(None)) };
        match follower.finish() {
            Ok((sum, read)) => {
                self.account.checked(read);
                Ok(Ok(Some(sum)))
            }
            Err(error) => Ok(Err(Broken { message: could_not(&error), good: from })),
        }
    }

    /// Sends the bytes from `at` to `end` in chunks, behind `head`.
    fn move_range(
        &mut self,
        file: &Arc<File>,
        at: u64,
        end: u64,
        size: u64,
        head: &[u8],
        mut follower: Option<&mut Follower>,
    ) -> OfOneFile<()> {
        let chunk = u64::from(MAX_CHUNK);
        let mut chain = Chain::new();
        chain.push_bytes(head.to_vec());
        let mut start = at;
        while start < end {
            let len = chunk.min(end - start);
            chain.push_bytes((len as u32).to_be_bytes().to_vec());
            chain.push_file(FileRange::new(Arc::clone(file), start, len).of_file(size));
            start += len;
        }
        let whole = chain.remaining();
        let mut transfer = Transfer::new(chain, self.task.options.clone());
        transfer.acknowledged_by(self.wire.far_end());
        let mut moved = 0;
        let wire = self.wire;
        let over = steps::all(wire, &mut transfer, PollFlags::IN | PollFlags::OUT, |now| {
            self.progress.moved(now - moved);
            moved = now;
            if let Some(follower) = &mut follower {
                follower.up_to(at + moved);
            }
            // The other side may have said of an earlier file that it arrived, or now that it can take no more.
            while wire.has_word()? {
                self.expect_result()?;
            }
            Ok(())
        })?;
        self.account.transfer(transfer.receipt());
        let Over::Broken(fault) = over else { return Ok(Ok(())) };
        // What was promised must come, whatever it is, or nothing that follows would be understood.
        let begun = (moved / chunk + 1).min((end - at).div_ceil(chunk));
        let promised = end.min(at + begun * chunk);
        let mut before = if moved < chunk { head.to_vec() } else { Vec::new() };
        before.extend(((promised - (at + (begun - 1) * chunk)) as u32).to_be_bytes());
        let sent = whole - transfer.remaining();
        let missing = (head.len() as u64 + 4 * begun + moved).saturating_sub(sent) as usize;
        drop(transfer);
        let _ = set_tcp_cork(self.wire.socket(), false); // where it failed the engine had no reason to
        self.wire.write_all(&before[before.len() - missing.min(before.len())..])?;
        let good = at + moved;
        let zeros = vec![0; BUFFER];
        let mut left = promised - good;
        while left > 0 {
            let len = left.min(BUFFER as u64);
            self.wire.write_all(&zeros[..len as usize])?;
            left -= len;
        }
        let message = match fault {
            FileFault::Truncated { .. } => could_not(&io::ErrorKind::UnexpectedEof.into()),
            other => other.to_string(),
        };
        Ok(Err(Broken { message, good }))
    }

    /// Sends what comes from standard input. It is copied: only its end tells how much it is, and the checksum wants it.
    pub(super) fn send_stdin(&mut self) -> OfOneFile<Option<Sum>> {
        self.wire.say(&Message::Begin { from: 0 })?;
        let mut stdin = match io::stdin().as_fd().try_clone_to_owned() {
            Ok(stdin) => File::from(stdin),
            Err(error) => return Ok(Err(Broken { message: could_not(&error), good: 0 })),
        };
        let mut hasher = self.task.checksum.then(blake3::Hasher::new);
        let mut buffer = vec![0; 4 + BUFFER];
        let mut sent = 0;
        loop {
            self.account.calls += 2;
            let readable = ready(stdin.as_fd(), PollFlags::IN, GLANCE)
                .map_err(|error| Failure::Local(format!("cannot wait for input: {error}")))?;
            self.wire.look()?;
            while self.wire.has_word()? {
                self.expect_result()?;
            }
            if readable.is_empty() {
                self.wire.beat(&protocol::BUSY.to_be_bytes())?;
                continue;
            }
            match stdin.read(&mut buffer[4..]) {
                Ok(0) => break,
                Ok(count) => {
                    buffer[..4].copy_from_slice(&(count as u32).to_be_bytes());
                    self.wire.write_all(&buffer[..4 + count])?;
                    if let Some(hasher) = &mut hasher {
                        hasher.update(&buffer[4..4 + count]);
                    }
                    sent += count as u64;
                    self.account.bytes += count as u64;
                    self.account.copied += 2 * count as u64;
                    self.progress.moved(count as u64);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => {}
                    _ => return Ok(Err(Broken { message: could_not(&error), good: sent })),
                },
            }
        }
        if sent > 0 {
            self.account.method("copy");
        }
        Ok(Ok(hasher.map(|hasher| Sum(hasher.finalize()))))
    }
}
