//! The sender: offers what there is, and moves by the engine what the other side does not have.

use super::{
    account::Account,
    failure::{Failure, Tally, of_stranger},
    progress::Progress,
    protocol::{self, Have, Kind, MAX_FILES, MAX_MESSAGE, Message, Nonsense, Outcome, Role},
    source::{Item, Met, Sources},
    sum::{Follower, Hashing},
    wire::Wire,
};
use crate::page_cache::text::printable;
use sendrail_transfer::Options;
use std::{
    collections::VecDeque,
    fs::File,
    mem,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

mod moving;

/// Room in an offer for all that is not a file.
const AROUND: usize = 256;
/// How long it takes to hear why the other side is gone, if it says so.
const LAST_WORD: Duration = Duration::from_secs(2);

/// What is asked of a sender.
#[derive(Debug)]
pub(super) struct Task {
    /// What there is.
    pub(super) sources: Sources,
    /// How many bytes that is, if it is known.
    pub(super) total: Option<u64>,
    /// Of the engine.
    pub(super) options: Options,
    /// Whether checksums are wanted.
    pub(super) checksum: bool,
    /// Whether to say only what goes wrong.
    pub(super) quiet: bool,
    /// How long the other side may take to greet.
    pub(super) patience: Duration,
}

/// One exchange.
struct Session<'a> {
    wire: &'a Wire,
    task: &'a Task,
    progress: &'a Progress,
    account: Account,
    tally: Tally,
    /// Files whose end was sent, and of which the other side has not said what became of them.
    awaiting: VecDeque<(PathBuf, Kind)>,
    batch: Vec<Item>,
    /// How long the offer of `batch` is, in bytes.
    offer: usize,
}

/// Why a file was not sent whole, and up to where it was.
struct Broken {
    message: String,
    good: u64,
}

/// What could go wrong with one file: this file alone, or all.
type OfOneFile<T> = Result<Result<T, Broken>, Failure>;

/// Sends everything to one receiver.
pub(super) fn run(wire: &Wire, task: &Task) -> Result<Tally, Failure> {
    let hello = Message::Hello {
        role: Role::Send,
        program: concat!("sendrail ", env!("CARGO_PKG_VERSION")).into(),
        checksum: task.checksum,
        total: task.total,
    };
    wire.greet(&hello, task.patience)?;
    let progress = Progress::new(task.quiet, task.total);
    let mut session = Session {
        wire,
        task,
        progress: &progress,
        account: Account::new(),
        tally: Tally::default(),
        awaiting: VecDeque::new(),
        batch: Vec::new(),
        offer: 0,
    };
    let done = session.send_all().map_err(|failure| session.last_word(failure));
    progress.end();
    done?;
    if !task.quiet {
        eprintln!("{}", session.account.line("sent", session.tally, wire.calls()));
    }
    Ok(session.tally)
}

impl Session<'_> {
    fn send_all(&mut self) -> Result<(), Failure> {
        let sources = &self.task.sources;
        sources.each(|met| {
            self.wire.look()?;
            match met {
                Met::Item(item) => self.add(item),
                Met::Unreadable(path, why) => {
                    self.failed(&path, &format!("not sent: {why}"));
                    Ok(())
                }
                Met::Passed(path, what) => {
                    if !self.task.quiet {
                        let path = printable(&path, false);
                        self.progress.say(&format!("{path}: not sent: it is {what}"));
                    }
                    Ok(())
                }
            }
        })?;
        self.send_batch()?;
        self.wire.say(&Message::Done)?;
        loop {
            if let Some(message) = self.hear()? {
                return match message {
                    Message::Done if self.awaiting.is_empty() => Ok(()),
                    _ => Err(unexpected()),
                };
            }
        }
    }

    /// Several files are offered at once, so that many small ones do not each wait for an answer.
    fn add(&mut self, item: Item) -> Result<(), Failure> {
        let entry = serde_json::to_vec(&item.entry)
            .map_err(|error| Failure::Local(format!("cannot offer a file: {error}")))?;
        let len = entry.len() + 1;
        if self.batch.len() == MAX_FILES || self.offer + len + AROUND > MAX_MESSAGE {
            self.send_batch()?;
        }
        self.offer += len;
        self.batch.push(item);
        Ok(())
    }

    fn send_batch(&mut self) -> Result<(), Failure> {
        let batch = mem::take(&mut self.batch);
        self.offer = 0;
        if batch.is_empty() {
            return Ok(());
        }
        let files = batch.iter().map(|item| item.entry.clone()).collect();
        self.wire.say(&Message::Offer { files })?;
        let have = loop {
            match self.hear()? {
                None => {}
                Some(Message::Have { files }) if files.len() == batch.len() => break files,
                Some(_) => return Err(unexpected()),
            }
        };
        for (item, have) in batch.into_iter().zip(have) {
            self.progress.file(item.entry.name.as_path());
            self.send(&item, have)?;
        }
        Ok(())
    }

    fn send(&mut self, item: &Item, have: Have) -> Result<(), Failure> {
        let sent = match (have, item.entry.kind, &item.file) {
            (Have::Refused { message }, ..) => {
                self.failed(&item.path, &format!("refused: {}", of_stranger(&message)));
                return Ok(());
            }
            (_, Kind::Stream, _) => self.send_stdin()?,
            (have, Kind::File, Some(file)) => {
                self.send_file(file, item.entry.size.unwrap_or_default(), &have)?
            }
            _ => {
                self.wire.say(&Message::Begin { from: 0 })?;
                Ok(None)
            }
        };
        let message = match sent {
            Ok(blake3) => Message::End { blake3 },
            Err(Broken { message, good }) => {
                self.progress.say(&format!("{}: {message}", printable(&item.path, false)));
                Message::Broken { message, good }
            }
        };
        let mut end = 0_u32.to_be_bytes().to_vec();
        end.extend(protocol::encode(&message)?);
        self.wire.write_all(&end)?;
        self.awaiting.push_back((item.path.clone(), item.entry.kind));
        while self.wire.has_word()? {
            self.expect_result()?;
        }
        Ok(())
    }

    /// Whether the beginning of a file is what the other side has. Goes on with `hashing` from there if so.
    fn verify(&mut self, file: &File, size: u64, have: &Have) -> OfOneFile<(u64, Hashing)> {
        let broken = |error: std::io::Error| Broken { message: could_not(&error), good: 0 };
        let fresh = |file| Hashing::new(file).map(|fresh| (0, fresh)).map_err(broken);
        let Have::Prefix { len, blake3 } = have else { return Ok(fresh(file)) };
        if *len > size {
            return Ok(fresh(file));
        }
        let mut hashing = match Hashing::new(file) {
            Ok(hashing) => hashing,
            Err(error) => return Ok(Err(broken(error))),
        };
        let busy = protocol::encode(&Message::Busy)?;
        loop {
            self.wire.look()?;
            self.wire.beat(&busy)?;
            match hashing.step(*len) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Ok(Err(broken(error))),
            }
        }
        Ok(if hashing.sum() == *blake3 { Ok((*len, hashing)) } else { fresh(file) })
    }

    /// What came from the other side; nothing if that was what became of a file.
    fn hear(&mut self) -> Result<Option<Message>, Failure> {
        match self.wire.hear(None)? {
            Message::Result { outcome } => {
                let (path, kind) = self.awaiting.pop_front().ok_or_else(unexpected)?;
                match outcome {
                    Outcome::Arrived if kind == Kind::Directory => {} // people count files
                    Outcome::Arrived => self.tally.arrived += 1,
                    Outcome::Incomplete => self.tally.failed += 1,
                    Outcome::Differs => {
                        self.tally.differs += 1;
                        let path = printable(&path, false);
                        self.progress.say(&format!("{path}: it arrived with another checksum"));
                    }
                }
                Ok(None)
            }
            Message::Failed { message, again } => Err(Failure::of_peer(message, again)),
            other => Ok(Some(other)),
        }
    }

    /// The same where nothing else can come.
    fn expect_result(&mut self) -> Result<(), Failure> {
        match self.hear()? {
            None => Ok(()),
            Some(_) => Err(unexpected()),
        }
    }

    /// Who cannot take more says so and closes; what is noticed first is that nothing can be sent any more.
    fn last_word(&mut self, failure: Failure) -> Failure {
        if !matches!(failure, Failure::Connection(_)) {
            return failure;
        }
        let until = Some(Instant::now() + LAST_WORD);
        loop {
            match self.wire.hear(until) {
                Ok(Message::Failed { message, again }) => return Failure::of_peer(message, again),
                Ok(_) => {}
                Err(_) => return failure,
            }
        }
    }

    fn failed(&mut self, path: &Path, why: &str) {
        self.tally.failed += 1;
        self.progress.say(&format!("{}: {why}", printable(path, false)));
    }

    fn follower(&self, hashing: Hashing, size: u64) -> Option<Follower> {
        self.task.checksum.then(|| {
            let more = size - hashing.len();
            Follower::new(hashing, more)
        })
    }
}

fn unexpected() -> Failure {
    Nonsense("something else was to come".into()).into()
}

fn could_not(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "the file became shorter while it was sent".into(),
        _ => format!("it could not be read: {error}"),
    }
}
