//! What is remembered of a resumable upload beside its bytes, so that it outlives this process.
//!
//! `.uploads/ID.about` is one line with the version and a SHA-256 of the rest, and the rest is JSON. It is written whole beside, and
//! renamed: a reader sees the old one or the new one. One that does not check is no upload any more.

use std::ffi::CString;
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::LazyLock;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use rustix::fs::renameat;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::digest::Digest;
use super::error::ArrivalError;
use super::id::UploadId;
use super::landing::c_string;
use super::workshop::Workshop;

/// The first line begins so.
const MAGIC: &str = "sendrail-upload 1 ";

/// Bytes of the longest record: a path, an owner and a note, percent-encoded, and room to spare.
const LONGEST: u64 = 128 << 10;

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    #[serde(with = "encoded")]
    pub(super) path: Vec<u8>,
    pub(super) owner: Option<String>,
    pub(super) len: Option<u64>,
    pub(super) only_if_absent: bool,
    pub(super) digests: Vec<Digest>,
    /// The caller's own.
    #[serde(with = "encoded")]
    pub(super) note: Vec<u8>,
    /// Bytes that were on the disk when this was written.
    pub(super) safe: u64,
    /// Since when the machine ran then ([`boot`]).
    pub(super) boot: String,
    /// Set right before the file gets its name: if its data is gone after that, it has it.
    pub(super) ending: Option<End>,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) created: bool,
    pub(super) len: u64,
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// Why there is no record.
#[derive(Debug)]
pub(super) enum Unreadable {
    Absent,
    Damaged,
    Io(io::Error),
}

pub(super) fn name(id: UploadId) -> CString {
    c_string(format!("{id}.about").as_bytes())
}

/// What tells one run of the machine from another: random(4). Empty if nobody can say.
pub(super) fn boot() -> &'static str {
    static BOOT: LazyLock<String> = LazyLock::new(|| {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        id.trim_end().to_owned()
    });
    &BOOT
}

/// Reads the record of an upload.
pub(super) fn read(workshop: &Workshop, id: UploadId) -> Result<About, Unreadable> {
    let file = workshop.open(&name(id)).map_err(|error| match error {
        Errno::NOENT => Unreadable::Absent,
        error => Unreadable::Io(error.into()),
    })?;
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).map_err(Unreadable::Io)?;
    parse(&bytes).ok_or(Unreadable::Damaged)
}

fn parse(bytes: &[u8]) -> Option<About> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, rest) = text.split_once('\n')?;
    (head.strip_prefix(MAGIC)? == sum(rest)).then(|| serde_json::from_str(rest).ok())?
}

fn format(about: &About) -> String {
    let rest = serde_json::to_string(about).expect("a record has nothing that JSON has not") + "\n";
    format!("{MAGIC}{}\n{rest}", sum(&rest))
}

fn sum(text: &str) -> String {
    format!("{:x}", HexSum(&Sha256::digest(text)))
}

/// How far a record goes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Into the page cache, for one that has none before it.
    Cache,
    /// What is in it to the disk, before it takes the place of the one before: else a power failure can leave neither.
    Content,
    /// Its name too.
    Disk,
}

/// Writes the record of an upload, in the place of the one before.
pub(super) fn write(
    workshop: &Workshop,
    id: UploadId,
    about: &About,
    reach: Reach,
) -> Result<(), ArrivalError> {
    let new = c_string(format!("{id}.new").as_bytes());
    // Left by a process that was killed here. Whoever goes on with an upload is alone.
    workshop.remove(&new);
    let mut file = workshop.make(&new)?;
    let writing = "writing the record of an upload";
    let written = file
        .write_all(format(about).as_bytes())
        .and_then(|()| if reach >= Reach::Content { file.sync_data() } else { Ok(()) })
        .and_then(|()| Ok(workshop.with(|folder| renameat(folder, &new, folder, name(id)))?));
    if let Err(error) = written {
        workshop.remove(&new);
        return Err(ArrivalError::from_kernel(writing, error));
    }
    if reach == Reach::Disk { workshop.sync() } else { Ok(()) }
}

struct HexSum<'a>(&'a [u8]);

impl fmt::LowerHex for HexSum<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Bytes that need not be text, as text that anybody can read.
mod encoded {
    use super::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&percent_encode(bytes, NON_ALPHANUMERIC))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        Ok(percent_decode_str(&text).collect())
    }
}
