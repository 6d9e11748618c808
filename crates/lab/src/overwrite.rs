//! The proof of zero copy that needs no probe: a file is sent to somebody who does not read yet, then
//! overwritten in place. Who gets to read the new bytes was sent pages, and no copy of them.

use crate::{
    course::receiving_held,
    link::{Link, Pair},
    subject::{Subject, Task},
    way::Way,
};
use serde::Serialize;
use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
    path::Path,
    thread,
    time::Duration,
};

/// Little enough for any socket to take it while nobody reads, in bytes.
const LENGTH: usize = 32 << 10;

/// How long packets may take to the other end; it acknowledges by itself.
const ON_THE_WAY: Duration = Duration::from_millis(50);

/// What the receiver got of a file that was overwritten behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Got {
    /// What was in the file when it was sent: somebody has copied it.
    Old,
    /// What was written after: nobody has.
    New,
    /// Some of both.
    Both,
}

/// What came of it for one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Overwritten {
    /// The way.
    pub way: Way,
    /// What over.
    pub link: Link,
    /// What the receiver got.
    pub got: Got,
}

/// Tries it.
///
/// # Errors
///
/// The file cannot be made, or a transfer failed.
pub fn overwrite(
    subject: &mut Subject,
    scratch: &Path,
    way: Way,
    (link, pair): (Link, Option<&Pair>),
) -> io::Result<Overwritten> {
    let (old, new) = (vec![b'o'; LENGTH], vec![b'n'; LENGTH]);
    let mut file = tempfile::Builder::new().prefix("sendrail-lab-").tempfile_in(scratch)?;
    file.write_all(&old)?;
    let file: (&File, &Path) = (file.as_file(), file.path());
    let bytes = receiving_held(pair, |address, received| {
        let task = Task {
            way,
            file: file.1.to_owned(),
            len: LENGTH as u64,
            address: Some(address),
            thresholds: None,
        };
        subject.prepare(&task)?;
        subject.go()?;
        thread::sleep(ON_THE_WAY);
        file.0.write_all_at(&new, 0)?;
        received()
    })?;
    if bytes.len() != LENGTH {
        return Err(io::Error::other(format!("{} bytes came of {LENGTH}, by {way}", bytes.len())));
    }
    let got = if bytes == old {
        Got::Old
    } else if bytes == new {
        Got::New
    } else {
        Got::Both
    };
    Ok(Overwritten { way, link, got })
}
