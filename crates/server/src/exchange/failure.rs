//! Why an exchange ended early, and on whose side; what a script is told of it.

use super::protocol::Nonsense;
use crate::page_cache::text::printable;
use std::{fmt, io, path::Path, process::ExitCode, time::Duration};

/// Why it ended before all was done.
#[derive(Debug)]
pub(super) enum Failure {
    /// On this side: a file, a disk, what was typed.
    Local(String),
    /// On the other side, as it says itself.
    Peer(String),
    /// Between the two, as the other side says.
    Lost(String),
    /// Between the two.
    Connection(String),
    /// The other side says what makes no sense.
    Nonsense(String),
    /// A signal came.
    Interrupted,
}

impl Failure {
    /// Of the connection, as the kernel says it.
    pub(super) fn broke(error: &io::Error) -> Self {
        Self::Connection(format!("the connection broke: {error}"))
    }

    /// The other side closed where more was to come.
    pub(super) fn closed() -> Self {
        Self::Connection("the other side closed the connection too early".into())
    }

    /// The other side has been silent for longer than anybody would wait.
    pub(super) fn silent(patience: Duration) -> Self {
        let patience = patience.as_secs_f64();
        Self::Connection(format!("the other side has said nothing for {patience} s"))
    }

    /// What the other side says of its own end.
    pub(super) fn of_peer(message: String, again: bool) -> Self {
        if again { Self::Lost(message) } else { Self::Peer(message) }
    }

    /// Of a file here.
    pub(super) fn of_file(doing: &str, path: &Path, error: &io::Error) -> Self {
        Self::Local(format!("{doing} {}: {error}", printable(path, false)))
    }

    /// What a script is told.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Local(_) | Self::Peer(_) => ExitCode::from(1),
            Self::Connection(_) | Self::Lost(_) | Self::Nonsense(_) => ExitCode::from(2),
            Self::Interrupted => ExitCode::from(130),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(why) | Self::Connection(why) => f.write_str(why),
            Self::Nonsense(why) => {
                write!(f, "the other side talks nonsense: {}", of_stranger(why))
            }
            Self::Peer(why) | Self::Lost(why) => {
                write!(f, "the other side says: {}", of_stranger(why))
            }
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl From<Nonsense> for Failure {
    fn from(nonsense: Nonsense) -> Self {
        Self::Nonsense(nonsense.0)
    }
}

/// A text that a stranger wrote, without what could lead a terminal astray.
pub(super) fn of_stranger(text: &str) -> String {
    printable(Path::new(text), false)
}

/// How an exchange came out that was not broken off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Files that have arrived, or had before.
    pub(super) arrived: u64,
    /// Files that could not be read or not be written, on either side.
    pub(super) failed: u64,
    /// Files whose checksum differs.
    pub(super) differs: u64,
}

impl Tally {
    /// What a script is told.
    pub(super) fn exit_code(self) -> ExitCode {
        if self.differs > 0 {
            ExitCode::from(3)
        } else if self.failed > 0 {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}
