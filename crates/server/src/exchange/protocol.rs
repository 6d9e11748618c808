//! The protocol as plain values: what the two sides say to each other, how it is written, what is nonsense. Pure.
//!
//! `docs/send-recv.md` describes it. Whatever is decoded here comes from a stranger.

use serde::{Deserialize, Serialize};
use std::{ffi::OsStr, fmt, os::unix::ffi::OsStrExt, path::Path};

/// What each side says first: what this is, and the version.
pub(super) const PREAMBLE: [u8; 20] = *b"SENDRAIL EXCHANGE 1\n";
/// The longest message in bytes, without the four bytes of its length.
pub(super) const MAX_MESSAGE: usize = 64 << 10;
/// The most files in one offer: so many are open, and so many answers kept, on either side.
pub(super) const MAX_FILES: usize = 64;
/// The longest chunk of a file in bytes. What was promised in a chunk is sent, if need be as zeros; so it is bounded.
pub(super) const MAX_CHUNK: u32 = 64 << 20;
/// In the place of a chunk's length: none has come yet, and the sender is still there.
pub(super) const BUSY: u32 = 1 << 31;
/// The longest name in bytes, as PATH_MAX.
pub(super) const MAX_NAME: usize = 4096;
/// The longest text that is taken from the other side, in characters.
const MAX_TEXT: usize = 400;

/// What one side says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Message {
    /// Both, first.
    Hello {
        /// What this side is.
        role: Role,
        /// The program and its version: for people.
        program: String,
        /// Sender: whether checksums follow the files.
        #[serde(default)]
        checksum: bool,
        /// Sender: bytes that there are to send in all, if known: for progress.
        #[serde(default)]
        total: Option<u64>,
    },
    /// Sender: what comes next, in this order.
    Offer {
        /// From one to [`MAX_FILES`].
        files: Vec<Entry>,
    },
    /// Receiver: what of it is there, one answer for each.
    Have {
        /// In the order of the offer.
        files: Vec<Have>,
    },
    /// Sender: chunks of the next file that was not refused follow, from this byte on.
    Begin {
        /// 0, or what the receiver has.
        from: u64,
    },
    /// Sender, after the chunks: the file is whole.
    End {
        /// Of the whole file; absent where no checksum was wanted.
        blake3: Option<Sum>,
    },
    /// Sender, after the chunks: the file could not be read to its end.
    Broken {
        /// Why.
        message: String,
        /// Up to here it is as it was in the file.
        good: u64,
    },
    /// Receiver: what became of the file that ended.
    Result {
        /// What.
        outcome: Outcome,
    },
    /// Either, when it has nothing to say for long: it is busy. To be passed over.
    Busy,
    /// Sender: there is no more. Receiver, in answer: all of it is on the disk, but for what was said.
    Done,
    /// Receiver: nothing more can be taken.
    Failed {
        /// Why.
        message: String,
        /// It is the connection's fault: a new one may do better.
        #[serde(default)]
        again: bool,
    },
}

/// What a side is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    /// It has the files.
    Send,
    /// It wants them.
    Receive,
}

/// A file or a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Relative, with `/` between directories. What is allowed is `names`' matter.
    pub(super) name: Name,
    /// What it is.
    pub(super) kind: Kind,
    /// In bytes; absent where only the end will tell.
    pub(super) size: Option<u64>,
    /// When it was last modified.
    pub(super) modified: Option<Time>,
    /// Permission bits.
    pub(super) mode: Option<u32>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A regular file.
    File,
    /// A directory, after all that is in it.
    Directory,
    /// Standard input.
    Stream,
}

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Time {
    /// Since 1970-01-01 00:00 UTC.
    pub(super) seconds: i64,
    /// Below 10⁹.
    pub(super) nanoseconds: u32,
}

/// What the receiver has of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Have {
    /// Nothing of use.
    Nothing,
    /// Its first bytes, perhaps.
    Prefix {
        /// How many.
        len: u64,
        /// Theirs.
        blake3: Sum,
    },
    /// It will not be taken.
    Refused {
        /// Why.
        message: String,
    },
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// It is whole, and has its name.
    Arrived,
    /// It arrived otherwise than it was sent, and was thrown away.
    Differs,
    /// The sender could not finish it.
    Incomplete,
}

/// A name: on Linux that is bytes. In JSON it is a string where it is UTF-8, else a list of numbers.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "NameForm", into = "NameForm")]
pub(super) struct Name(pub(super) Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum NameForm {
    Text(String),
    Bytes(Vec<u8>),
}

impl Name {
    /// As it would be, if it were a path here.
    pub(super) fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }
}

impl From<NameForm> for Name {
    fn from(form: NameForm) -> Self {
        match form {
            NameForm::Text(text) => Self(text.into_bytes()),
            NameForm::Bytes(bytes) => Self(bytes),
        }
    }
}

impl From<Name> for NameForm {
    fn from(name: Name) -> Self {
        match String::from_utf8(name.0) {
            Ok(text) => Self::Text(text),
            Err(error) => Self::Bytes(error.into_bytes()),
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// A BLAKE3 checksum; 64 hexadecimal digits in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Sum(pub(super) blake3::Hash);

impl TryFrom<String> for Sum {
    type Error = blake3::HexError;

    fn try_from(text: String) -> Result<Self, blake3::HexError> {
        blake3::Hash::from_hex(text).map(Self)
    }
}

impl From<Sum> for String {
    fn from(sum: Sum) -> Self {
        sum.0.to_hex().to_string()
    }
}

/// What the other side said makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Nonsense(pub(super) String);

impl fmt::Display for Nonsense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A message as it goes over the wire: its length in four bytes, the highest first, then JSON.
///
/// # Errors
///
/// It would be longer than [`MAX_MESSAGE`].
pub(super) fn encode(message: &Message) -> Result<Vec<u8>, Nonsense> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message).map_err(|error| Nonsense(error.to_string()))?;
    let len = bytes.len() - 4;
    if len > MAX_MESSAGE {
        return Err(Nonsense(format!("a message of {len} bytes is longer than {MAX_MESSAGE}")));
    }
    bytes[..4].copy_from_slice(&(len as u32).to_be_bytes());
    Ok(bytes)
}

/// How long the message is that follows these four bytes.
pub(super) fn message_len(head: [u8; 4]) -> Result<usize, Nonsense> {
    let len = u32::from_be_bytes(head) as usize;
    if (2..=MAX_MESSAGE).contains(&len) {
        Ok(len)
    } else {
        Err(Nonsense(format!("a message of {len} bytes was announced")))
    }
}

/// How long the chunk is that follows these four bytes; 0 ends the file.
pub(super) fn chunk_len(head: [u8; 4]) -> Result<u32, Nonsense> {
    match u32::from_be_bytes(head) {
        len if len <= MAX_CHUNK => Ok(len),
        len => Err(Nonsense(format!("a chunk of {len} bytes was announced"))),
    }
}

/// Reads a message without the bytes of its length, and looks whether its values can be.
pub(super) fn decode(bytes: &[u8]) -> Result<Message, Nonsense> {
    let mut message: Message = serde_json::from_slice(bytes)
        .map_err(|error| Nonsense(format!("a message cannot be read: {error}")))?;
    match &mut message {
        Message::Offer { files } => {
            if files.is_empty() || files.len() > MAX_FILES {
                return Err(Nonsense(format!("{} files were offered at once", files.len())));
            }
            files.iter().try_for_each(check)?;
        }
        Message::Have { files } => {
            for file in files {
                if let Have::Refused { message } = file {
                    shorten(message);
                }
            }
        }
        Message::Hello { program: text, .. }
        | Message::Broken { message: text, .. }
        | Message::Failed { message: text, .. } => shorten(text),
        _ => {}
    }
    Ok(message)
}

fn check(entry: &Entry) -> Result<(), Nonsense> {
    let Entry { name, kind, size, modified, mode } = entry;
    let nonsense = |what: &str| Err(Nonsense(format!("{what} in the offer of {name:.60?}")));
    if name.0.len() > MAX_NAME {
        return Err(Nonsense(format!("a name of {} bytes was offered", name.0.len())));
    }
    if size.is_some() != (*kind == Kind::File) {
        return nonsense("a size where there is none, or none where there is one,");
    }
    if size.is_some_and(|size| i64::try_from(size).is_err()) {
        return nonsense("an impossible size");
    }
    if modified.is_some_and(|time| time.nanoseconds >= 1_000_000_000) {
        return nonsense("an impossible time");
    }
    if mode.is_some_and(|mode| mode > 0o7777) {
        return nonsense("impossible permissions");
    }
    Ok(())
}

fn shorten(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
        text.truncate(end);
    }
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
