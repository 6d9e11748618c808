//! The subject: a process of its own that sends one file after another, one way or the other, and the
//! wire by which it is told.
//!
//! Of its own, so that all that is counted for its process is the transfer's. What it does besides lies
//! outside its marks: two calls of getpgid(2) that the probe knows, before the first byte and after the
//! last.

mod checksum;
pub(crate) mod known;
mod life;
mod rings;
mod sending;
mod usage;

pub use life::run;

use crate::way::Way;
use sendrail_transfer::Options;
use serde::{Deserialize, Serialize};
use std::{
    io::{self, BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// What the subject is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    /// How to send.
    pub way: Way,
    /// What.
    pub file: PathBuf,
    /// All of it, in bytes.
    pub len: u64,
    /// Where to. Nowhere, if the way sends nothing.
    pub address: Option<SocketAddr>,
    /// What the engine is told besides; nothing, for its own thresholds.
    pub thresholds: Option<Thresholds>,
}

/// Thresholds of the engine, as they can be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thresholds {
    /// The most that is moved at a time, in bytes.
    pub window: u64,
    /// What stays behind a bulk transfer before it is given back, in bytes.
    pub drop_behind_lag: u64,
    /// Reads in flight at once past the page cache.
    pub ring_depth: usize,
}

impl Default for Thresholds {
    fn default() -> Self {
        let Options { window, drop_behind_lag, ring_depth, .. } = Options::default();
        Self { window, drop_behind_lag, ring_depth }
    }
}

/// What it says when it is connected, and waits for the word.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Ready {
    port: u16,
}

/// What it says when it has sent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Done {
    /// Processor time, in nanoseconds.
    pub cpu: u64,
    /// Time, in nanoseconds.
    pub wall: u64,
    /// Context switches because it waited (`voluntary_ctxt_switches`, `proc_pid_status(5)`).
    pub voluntary: u64,
    /// Context switches because its time was up, or somebody went first.
    pub involuntary: u64,
    /// Bytes that it made disks read (`read_bytes`, `proc_pid_io(5)`); nothing if it may not be known.
    pub disk: Option<u64>,
    /// System calls by its own count: the engine's receipt, or the loop's.
    pub calls: u64,
    /// Bytes copied by its own count.
    pub copied: u64,
    /// What the engine says of the methods that moved the bytes.
    pub methods: String,
    /// How often the engine waited for the socket, and for the disk: beside its calls, not in them.
    pub waits: (u32, u32),
    /// What the subject knows to have done, for a probe to be held against.
    pub known: Option<known::Known>,
    /// Why it could not.
    pub error: Option<String>,
}

/// The subject as its master sees it. It ends when this is dropped.
#[derive(Debug)]
pub struct Subject {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Subject {
    /// Starts one: `program lab subject`.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start(program: &Path) -> io::Result<Self> {
        Self::start_by(Command::new(program))
    }

    /// The same by a command that becomes the program, or is it.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start_by(mut command: Command) -> io::Result<Self> {
        command.args(["lab", "subject"]);
        Self::start_as(command)
    }

    /// Starts whatever hears lines and answers in lines, as it is.
    pub(crate) fn start_as(mut command: Command) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take());
        let (Some(orders), Some(answers)) = (orders, answers) else {
            unreachable!("both are pipes");
        };
        Ok(Self { child, orders, answers: BufReader::new(answers) })
    }

    /// Its number.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Has it connect. Says from which port.
    ///
    /// # Errors
    ///
    /// It has ended, or says something else.
    pub fn prepare(&mut self, task: &Task) -> io::Result<u16> {
        self.say(&serde_json::to_string(task)?)?;
        Ok(self.hear::<Ready>()?.port)
    }

    /// Has it send.
    ///
    /// # Errors
    ///
    /// It has ended, or could not send.
    pub fn go(&mut self) -> io::Result<Done> {
        self.say("go")?;
        let done = self.hear::<Done>()?;
        match done.error {
            None => Ok(done),
            Some(error) => Err(io::Error::other(error)),
        }
    }

    pub(crate) fn say(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.orders, "{line}")
    }

    pub(crate) fn hear<T: for<'a> Deserialize<'a>>(&mut self) -> io::Result<T> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(io::Error::other("the process that sends has ended"));
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
