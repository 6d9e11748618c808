//! A place: where somebody who reads a file in many transfers goes on with the next. Each transfer knows its own range alone; what the kernel
//! reads ahead of it would be given back before the next one comes, or be taken for what was resident before.

use super::{DropBehind, reader::Reader};
use crate::{
    plan::{Medium, Options, WINDOW},
    receipt::Receipt,
    segment::FileRange,
};
use std::fmt;

/// So much is gone on by, in bytes, before a thread is sent to give back what lies behind.
const GIVE_BACK_EVERY: u64 = 4 << 20;

/// The place in a file at which somebody goes on who reads it in many transfers, as a consumer of a log does that is far behind. As long as it is held, what has
/// been read ahead of it stays in the page cache, and what lies behind it is given back ([`DropBehind`]).
///
/// ```
/// use sendrail_transfer::{FileRange, Medium, Options, Place};
/// use std::{fs::File, sync::Arc};
///
/// let file = Arc::new(File::open("Cargo.toml")?);
/// let sent = FileRange::new(file, 0, 100).on(Medium::Disk).of_file(1000); // and found not to be in the page cache
/// let mut place = Place::behind(&sent, &Options::default()).expect("this is a disk");
/// assert_eq!(place.position(), 100);
/// place.move_to(200); // the next 100 bytes have been sent
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Place {
    reader: Reader,
    gave_back_at: u64,
}

impl Place {
    /// Behind a range that has just been sent, and was not in the page cache: what follows in the file will be sent next, up to
    /// [`FileRange::file_len`]. `None` where nothing is given back anyway.
    ///
    /// Looks at what is resident ahead (`cachestat(2)`), which waits for no disk.
    pub fn behind(range: &FileRange, options: &Options) -> Option<Self> {
        let medium = range.medium.unwrap_or(Medium::Disk);
        let leaves_pages = matches!(medium, Medium::Disk | Medium::Overlay);
        if !leaves_pages || options.drop_behind == DropBehind::Off {
            return None;
        }
        let mut rest = range.clone();
        rest.offset = range.offset + range.len;
        rest.len = range.file_len().saturating_sub(rest.offset);
        let mut receipt = Receipt::default();
        let mut reader = Reader::enter(&rest, medium, options, None, &mut receipt)?;
        reader.survey(WINDOW, false, &mut receipt);
        Some(Self { reader, gave_back_at: rest.offset })
    }

    /// Goes on to byte `position`; not back. What lies behind is given back by a thread of its own.
    pub fn move_to(&mut self, position: u64) {
        self.reader.advance(position.saturating_sub(self.reader.position()));
        // Before the next transfer has more read ahead.
        self.reader.survey(WINDOW, false, &mut Receipt::default());
        if self.position() - self.gave_back_at >= GIVE_BACK_EVERY {
            self.gave_back_at = self.position();
            self.reader.give_back_later();
        }
    }

    /// Where it is, in bytes.
    pub fn position(&self) -> u64 {
        self.reader.position()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("position", &self.position()).finish_non_exhaustive()
    }
}
