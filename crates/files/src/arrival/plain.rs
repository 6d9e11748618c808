//! One file that arrives in one go: nothing is left of it unless it is finished.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate, fdatasync};

use super::digest::{self, Digest};
use super::error::ArrivalError;
use super::landing::{Inner, Landing};
use super::place::Place;
use super::publish::{self, Source};
use super::room::Claim;
use super::temporary::Temporary;
use super::{Stored, Terms};
use sendrail_sys as sys;

/// From this length in bytes on, space is set aside before the first byte arrives: it says at once that the disk is full, and two that
/// arrive together do not break each other into pieces. On ext4 that also saves CPU; for less than this the call costs as much.
const SET_ASIDE: u64 = 1 << 20;

/// A file that arrives, and that nobody can see yet. Dropped without [`finish`](Self::finish), nothing is left of it.
#[derive(Debug)]
pub struct Arrival {
    landing: Arc<Inner>,
    place: Place,
    terms: Terms,
    claim: Option<Claim>,
    temporary: Option<Temporary>,
}

impl Arrival {
    pub(super) fn begin(
        landing: &Landing,
        path: &[u8],
        terms: Terms,
    ) -> Result<Self, ArrivalError> {
        let landing = Arc::clone(&landing.inner);
        let place = landing.place(path)?;
        place.current(&landing)?.check_terms(&terms)?;
        let mut claim = landing.room.claim(terms.len);
        if let Some(len) = terms.len {
            claim.grow(place.folder.as_fd(), len)?;
        }
        let temporary = Temporary::make(&landing, &place)?;
        let arrival =
            Self { landing, place, terms, claim: Some(claim), temporary: Some(temporary) };
        set_aside(arrival.file(), 0, arrival.terms.len)?;
        Ok(arrival)
    }

    /// The file, open for reading and writing, empty, at its beginning.
    pub fn file(&self) -> &File {
        &self.temporary.as_ref().expect("it is there until it is finished").file
    }

    /// Asks for room: the file may become `len` bytes long. Returns how long it may become without asking again, which is no less.
    ///
    /// To be asked before more is written. For a file whose length was announced all has been asked for already, so that this only
    /// says no to what is longer.
    pub fn claim(&mut self, len: u64) -> Result<u64, ArrivalError> {
        let folder = self.place.folder.as_fd();
        self.claim.as_mut().expect("it is there until it is finished").grow(folder, len)
    }

    /// Reads the whole file and compares its digests, for who did not see the bytes pass by. Leaves nothing in the page cache that was
    /// not there.
    pub fn verify(&self, digests: &[Digest]) -> Result<(), ArrivalError> {
        digest::verify(self.file(), digests)
    }

    /// Makes the file visible under its name, whole, in the place of what is there: in one step, so that nobody sees anything else
    /// than the old file or the new one. What is there is looked at once more.
    ///
    /// The new file has the permissions of the one that it replaces, and belongs to the user of this process. Whoever has the old one
    /// open goes on reading that.
    pub fn finish(mut self) -> Result<Stored, ArrivalError> {
        let arrived = len_of(self.file())?;
        if let Some(announced) = self.terms.len.filter(|announced| arrived != *announced) {
            return Err(ArrivalError::Length { announced, arrived });
        }
        self.claim(arrived)?;
        if self.landing.options.sync {
            fdatasync(self.file()).map_err(ArrivalError::doing("writing to the disk"))?;
        }
        let temporary = self.temporary.as_ref().expect("it is there until it is finished");
        let source = temporary.name().map_or(Source::Unnamed, Source::Named);
        let (landing, place) = (&self.landing, &self.place);
        let conditions = (self.terms.only_if_absent, self.terms.only_if.as_ref());
        let published =
            publish::publish(landing, place, &temporary.file, source, conditions, &mut |_| Ok(()))?;
        let claim = self.claim.take().expect("it is there until it is finished");
        claim.settle(arrived, published.freed);
        Ok(published.stored)
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            temporary.remove(&self.landing);
        }
    }
}

/// What `fstat` says of the length.
pub(super) fn len_of(file: &File) -> Result<u64, ArrivalError> {
    let stat = sys::fstat(file.as_fd()).map_err(ArrivalError::doing("asking for the length"))?;
    Ok(stat.len)
}

/// Sets space aside for what is still to come of a large file. The length stays, so that it says what has arrived.
pub(super) fn set_aside(file: &File, have: u64, len: Option<u64>) -> Result<(), ArrivalError> {
    let Some(more) = len.map(|len| len.saturating_sub(have)).filter(|more| *more >= SET_ASIDE)
    else {
        return Ok(());
    };
    match fallocate(file, FallocateFlags::KEEP_SIZE, have, more) {
        Err(error) if !super::landing::is_refusal(error) => {
            Err(ArrivalError::doing("setting space aside")(error))
        }
        // fallocate(2): a file system that cannot is none that will not take the bytes.
        _ => Ok(()),
    }
}
