//! The receiver: says what it has, takes what comes, and gives a file its name when it is whole.

use super::{
    account::Account,
    failure::{Failure, Tally, of_stranger},
    names::{self, Checked},
    progress::Progress,
    protocol::{self, Entry, Have, Kind, Message, Name, Nonsense, Outcome, Role, Sum},
    receive::{self, Stuck},
    store::{Arriving, Existing, Store},
    sum::{Follower, Hashing},
    wire::Wire,
};
use crate::{
    page_cache::text::printable,
    trace::{Remains, Trace},
};
use std::{
    collections::VecDeque,
    ffi::CString,
    fs::File,
    io::{self, Write},
    mem, thread,
    time::Duration,
};

mod taking;

/// Bytes of whole files that are at most waited with until they get their names: a large one is not made to wait.
const SETTLE: u64 = 16 << 20;
/// Files whose way to the disk is waited for at the same time.
const FSYNCS: usize = 16;

/// Where it goes.
pub(super) enum Target {
    /// Into a directory, under the sender's names.
    Folder(Store),
    /// Into this file.
    File(Store, CString),
    /// Out again.
    Stdout(File),
}

/// A file that was offered and not refused.
struct Planned {
    entry: Entry,
    name: Option<Checked>,
    existing: Existing,
    /// Of what is there.
    hashing: Option<Hashing>,
}

/// A file that has arrived, and has not its name yet.
struct Whole {
    arriving: Arriving,
    entry: Entry,
    name: Checked,
    remains: Remains,
}

struct Session<'a> {
    wire: &'a Wire,
    target: &'a mut Target,
    checksum: bool,
    progress: Progress,
    account: Account,
    tally: Tally,
    queue: VecDeque<Planned>,
    remains: Remains,
    /// Files that are to get their names, those of one offer at most.
    whole: Vec<Whole>,
    /// How many bytes they are together.
    unsettled: u64,
    /// What became of files and has not been said yet; and whether it was a directory.
    outcomes: Vec<(Outcome, bool)>,
    /// The file that is arriving, if it can be gone on with.
    kept: Option<String>,
    /// Where there is one file to arrive, whether it has.
    has_taken: bool,
}

/// What is asked of a receiver.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task {
    /// What stays in the page cache.
    pub(super) remains: Remains,
    /// Whether to say only what goes wrong.
    pub(super) quiet: bool,
    /// How long the other side may take to greet.
    pub(super) patience: Duration,
}

/// Receives everything from one sender.
pub(super) fn run(wire: &Wire, target: &mut Target, task: Task) -> Result<Tally, Failure> {
    let hello = Message::Hello {
        role: Role::Receive,
        program: concat!("sendrail ", env!("CARGO_PKG_VERSION")).into(),
        checksum: false,
        total: None,
    };
    let greeting = wire.greet(&hello, task.patience).inspect_err(|failure| tell(wire, failure))?;
    let mut session = Session {
        wire,
        target,
        checksum: greeting.checksum,
        progress: Progress::new(task.quiet, greeting.total),
        account: Account::new(),
        tally: Tally::default(),
        queue: VecDeque::new(),
        remains: task.remains,
        whole: Vec::new(),
        unsettled: 0,
        outcomes: Vec::new(),
        kept: None,
        has_taken: false,
    };
    let done = session.receive_all();
    if done.is_err() {
        // What has arrived has arrived. If that fails, the next try finds it beside its name.
        let _ = session.name_all();
    }
    session.progress.end();
    if let Err(failure) = done {
        tell(wire, &failure);
        if let Some(kept) = &session.kept {
            eprintln!(
                "sendrail: {kept}.part is kept: start both sides again, and only the rest is sent"
            );
        }
        return Err(failure);
    }
    if !task.quiet {
        eprintln!("{}", session.account.line("received", session.tally, wire.calls()));
    }
    Ok(session.tally)
}

/// Tells the other side why it ends, if it is not the one that knows best.
fn tell(wire: &Wire, failure: &Failure) {
    match failure {
        Failure::Local(why) => wire.give_up(why.clone(), false),
        Failure::Nonsense(why) => wire.give_up(format!("nonsense: {why}"), true),
        _ => {}
    }
}

impl Session<'_> {
    fn receive_all(&mut self) -> Result<(), Failure> {
        loop {
            match self.wire.hear(None)? {
                Message::Offer { files } if self.queue.is_empty() => {
                    let mut answers = Vec::with_capacity(files.len());
                    for entry in files {
                        answers.push(self.answer(entry)?);
                    }
                    self.wire.say(&Message::Have { files: answers })?;
                }
                Message::Begin { from } => {
                    let planned = self.queue.pop_front();
                    let planned = planned.ok_or_else(|| unexpected("nothing was offered"))?;
                    let is_directory = planned.entry.kind == Kind::Directory;
                    // Two of one name would have one partial file.
                    if self.whole.iter().any(|whole| Some(&whole.name) == planned.name.as_ref()) {
                        self.settle()?;
                    }
                    let outcome = self.take(planned, from)?;
                    self.outcomes.push((outcome, is_directory));
                    if self.queue.is_empty() || self.unsettled >= SETTLE {
                        self.settle()?;
                    }
                }
                Message::Done if self.queue.is_empty() => {
                    if let Target::Folder(store) | Target::File(store, _) = &mut *self.target {
                        store.sync().map_err(|error| {
                            Failure::Local(format!("cannot write a directory to the disk: {error}"))
                        })?;
                    }
                    return self.wire.say(&Message::Done);
                }
                _ => return Err(unexpected("that does not come here")),
            }
        }
    }

    /// Gives whole files their names, and says so.
    fn settle(&mut self) -> Result<(), Failure> {
        self.name_all()?;
        for (outcome, is_directory) in mem::take(&mut self.outcomes) {
            match outcome {
                Outcome::Arrived if is_directory => {} // people count files
                Outcome::Arrived => self.tally.arrived += 1,
                Outcome::Differs => self.tally.differs += 1,
                Outcome::Incomplete => self.tally.failed += 1,
            }
            self.wire.say(&Message::Result { outcome })?;
        }
        Ok(())
    }

    /// Gives whole files their names. Several wait for the disk together: a journal writes at once what many ask for.
    fn name_all(&mut self) -> Result<(), Failure> {
        let all = mem::take(&mut self.whole);
        self.unsettled = 0;
        let failed = |whole: &Whole, error: &io::Error| {
            Failure::Local(format!("{}: finishing it failed: {error}", whole.arriving.shown()))
        };
        let settle = |some: &[Whole]| {
            some.iter().try_for_each(|whole| {
                let settled = whole.arriving.settle(&whole.entry, whole.remains);
                settled.map_err(|error| failed(whole, &error))
            })
        };
        let mut shares = all.chunks(all.len().div_ceil(FSYNCS).max(1));
        let ours = shares.next().unwrap_or_default();
        thread::scope(|scope| {
            let others: Vec<_> = shares.map(|share| scope.spawn(move || settle(share))).collect();
            others.into_iter().fold(settle(ours), |done, other| {
                done.and(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            })
        })?;
        if let Target::Folder(store) | Target::File(store, _) = &mut *self.target {
            for whole in &all {
                store.name(&whole.arriving).map_err(|error| failed(whole, &error))?;
            }
        }
        Ok(())
    }

    /// Looks what is there of a file, and puts it in the queue unless it is refused.
    fn answer(&mut self, entry: Entry) -> Result<Have, Failure> {
        match self.plan(entry)? {
            Ok(planned) => {
                let have = match (&planned.existing, &planned.hashing) {
                    (Existing::Part(_, len) | Existing::Whole(_, len), Some(hashing))
                        if *len > 0 =>
                    {
                        Have::Prefix { len: *len, blake3: hashing.sum() }
                    }
                    _ => Have::Nothing,
                };
                self.queue.push_back(planned);
                Ok(have)
            }
            Err((name, message)) => {
                self.tally.failed += 1;
                let name = printable(name.as_path(), false);
                self.progress.say(&format!("{name}: refused: {message}"));
                Ok(Have::Refused { message })
            }
        }
    }

    fn plan(&mut self, entry: Entry) -> Result<Result<Planned, (Name, String)>, Failure> {
        let is_directory = entry.kind == Kind::Directory;
        let refuse = |entry: Entry, why: String| Ok(Err((entry.name, why)));
        let (store, name) = match &mut *self.target {
            Target::Stdout(_) => {
                let existing = Existing::Nothing;
                return Ok(Ok(Planned { entry, name: None, existing, hashing: None }));
            }
            Target::File(_, name) if is_directory || mem::replace(&mut self.has_taken, true) => {
                let name = name.to_string_lossy();
                let why = format!("{name} is one file: for more make a directory first (mkdir)");
                return refuse(entry, why);
            }
            Target::File(store, name) => {
                (store, Checked { folders: Vec::new(), last: name.clone() })
            }
            Target::Folder(_) if entry.kind == Kind::Stream && entry.name.0.is_empty() => {
                let why = "standard input has no name: recv into a FILE, or send with --name";
                return refuse(entry, why.into());
            }
            Target::Folder(store) => match names::check(&entry.name.0, is_directory) {
                Ok(name) => (store, name),
                Err(why) => return refuse(entry, format!("the name {why}")),
            },
        };
        let look = if is_directory {
            store.look_for_directory(&name)
        } else {
            store.look(&name, entry.size)
        };
        let existing = match look {
            Ok(existing) => existing,
            Err(why) => return refuse(entry, why),
        };
        let hashing = match (&existing, entry.size) {
            (Existing::Part(file, len) | Existing::Whole(file, len), Some(size))
                if *len <= size =>
            {
                self.hash(file, *len)?
            }
            _ => None,
        };
        Ok(Ok(Planned { entry, name: Some(name), existing, hashing }))
    }

    /// The checksum of what is there; none if it cannot be read.
    fn hash(&self, file: &File, len: u64) -> Result<Option<Hashing>, Failure> {
        let Ok(mut hashing) = Hashing::new(file) else { return Ok(None) };
        loop {
            self.wire.look()?;
            match hashing.step(len) {
                Ok(true) => {}
                Ok(false) => return Ok(Some(hashing.rest())),
                Err(_) => return Ok(None),
            }
        }
    }
}

fn unexpected(what: &str) -> Failure {
    Nonsense(what.into()).into()
}
