//! A file that may be gone on with: after the connection was cut, and after this process was killed.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::fdatasync;
use rustix::io::Errno;
use sendrail_sys as sys;

use super::about::{self, About, End, Reach, Unreadable};
use super::active::{Hold, Stop};
use super::digest::{self, Digest};
use super::error::ArrivalError;
use super::id::UploadId;
use super::landing::{Inner, Landing};
use super::place::{Found, Place};
use super::plain::{len_of, set_aside};
use super::publish::{self, Source};
use super::room::Claim;
use super::workshop::{age, data_name};
use super::{Condition, Stored, Terms, temporary};
use crate::facts::Facts;

/// Bytes that an owner and a note may have.
const LONGEST_NOTE: usize = 16 << 10;

/// What is remembered of a resumable upload beside its [`Terms`].
#[derive(Clone, Debug, Default)]
pub struct ResumableTerms {
    /// Whose it is: nobody else can go on with it. `None`: whoever knows its id.
    pub owner: Option<String>,
    /// What all of its bytes must come to before it becomes visible.
    pub digests: Vec<Digest>,
    /// Whatever the caller wants to have again when it is gone on with, up to 16 KiB: [`Upload::note`]. For example the preconditions,
    /// of which [`Terms::only_if`] cannot be remembered.
    pub note: Vec<u8>,
}

/// What has come of an upload.
#[derive(Debug)]
pub enum Resumed {
    /// It can be gone on with.
    Open(Upload),
    /// It has its name; whoever asks has missed the answer.
    Completed(Completed),
}

/// An upload that is complete, as it is remembered for [`LandingOptions::keep`](crate::LandingOptions).
#[derive(Clone, Debug)]
pub struct Completed {
    /// Nothing was there under its name before.
    pub created: bool,
    /// Bytes that it has.
    pub len: u64,
    /// What is there now, if it is still that file.
    pub facts: Option<Facts>,
    /// Under which path it arrived, relative to the landing.
    pub path: Vec<u8>,
    /// The caller's own.
    pub note: Vec<u8>,
}

/// A file that arrives, and can be gone on with until it is complete. Dropped, it stays as far as it has come.
#[derive(Debug)]
pub struct Upload {
    landing: Arc<Inner>,
    id: UploadId,
    about: About,
    file: File,
    offset: u64,
    claim: Option<Claim>,
    only_if: Option<Condition>,
    hold: Hold,
}

impl Upload {
    pub(super) fn create(
        landing: &Landing,
        path: &[u8],
        terms: Terms,
        resumable: ResumableTerms,
    ) -> Result<Self, ArrivalError> {
        let landing = Arc::clone(&landing.inner);
        let place = landing.place(path)?;
        place.current(&landing)?.check_terms(&terms)?;
        let mut claim = landing.room.claim(terms.len);
        claim.grow(place.folder.as_fd(), terms.len.unwrap_or_default())?;
        let ResumableTerms { owner, digests, note } = resumable;
        if note.len() + owner.as_ref().map_or(0, String::len) > LONGEST_NOTE {
            return Err(ArrivalError::BadName { why: "there is too much to remember of it" });
        }
        let Terms { only_if_absent, only_if, len } = terms;
        let (path, boot) = (path.to_vec(), about::boot().to_owned());
        let (safe, ending) = (0, None);
        let about = About { path, owner, len, only_if_absent, digests, note, safe, boot, ending };
        let id = UploadId::random().map_err(ArrivalError::doing("asking for random bytes"))?;
        let hold = landing.active.take(id).ok_or(ArrivalError::Busy)?;
        let file = landing.workshop.make(&data_name(id))?;
        let upload =
            Self { landing, id, about, file, offset: 0, claim: Some(claim), only_if, hold };
        let reach = if upload.landing.options.sync { Reach::Disk } else { Reach::Cache };
        let begun = set_aside(&upload.file, 0, len).and_then(|()| upload.remember(reach));
        match begun {
            Ok(()) => Ok(upload),
            Err(error) => {
                upload.cancel()?;
                Err(error)
            }
        }
    }

    pub(super) fn resume(
        landing: &Landing,
        id: UploadId,
        owner: Option<&str>,
    ) -> Result<Resumed, ArrivalError> {
        let landing = Arc::clone(&landing.inner);
        // Whose it is first: nobody is told to stop by somebody else.
        read(&landing, id, owner)?;
        let hold = landing.active.take(id).ok_or(ArrivalError::Busy)?;
        let file = match landing.workshop.open(&data_name(id)) {
            Ok(file) => file,
            Err(Errno::NOENT) => return ended(&landing, id, owner).map(Resumed::Completed),
            Err(error) => return Err(ArrivalError::doing("opening an upload")(error)),
        };
        match temporary::lock(&file) {
            Err(Errno::WOULDBLOCK) => return Err(ArrivalError::Elsewhere),
            other => other.map_err(ArrivalError::doing("locking an upload"))?,
        }
        let stat =
            sys::fstat(file.as_fd()).map_err(ArrivalError::doing("asking for its length"))?;
        // Between the two, another process may have finished it or taken it away.
        if stat.links == 0 || age(&stat) >= landing.options.keep {
            return Err(ArrivalError::NotFound);
        }
        // Nobody but us can change it any more.
        let about = read(&landing, id, owner)?;
        if let Some(end) = about.ending
            && landing.place(&about.path).is_ok_and(|place| is_there(&landing, &place, &end))
        {
            // It was killed after the link and before it took this name away.
            landing.workshop.remove(&data_name(id));
            return ended(&landing, id, owner).map(Resumed::Completed);
        }
        let claim = Some(landing.room.take_up(id, about.len));
        let (offset, only_if) = (stat.len, None);
        let mut upload = Self { landing, id, about, file, offset, claim, only_if, hold };
        upload.settle()?;
        Ok(Resumed::Open(upload))
    }

    /// How much of it there is. As long as the machine runs it is all that was written, whoever was killed. After that only what was
    /// on the disk: a file that was growing when the power failed may be longer, and end in zeros (ext4 writes the length of a file
    /// before bytes in a block that it had already).
    fn settle(&mut self) -> Result<(), ArrivalError> {
        let boot = about::boot();
        let is_same_run = !boot.is_empty() && self.about.boot == boot;
        if !is_same_run {
            if self.offset < self.about.safe {
                tracing::warn!(upload = ?self.id, "an upload has lost bytes that were on the disk: it is as if gone");
                return Err(ArrivalError::NotFound);
            }
            self.offset = self.about.safe;
            let cut = rustix::fs::ftruncate(&self.file, self.offset);
            cut.map_err(ArrivalError::doing("cutting off what is not sure"))?;
            boot.clone_into(&mut self.about.boot);
            self.remember(self.reach())?;
        }
        // What is told to be stored has to be, also what nobody was told of by the one before.
        if self.landing.options.sync { self.make_safe() } else { Ok(()) }
    }

    /// All that has arrived is on the disk, and so is that it is.
    fn make_safe(&mut self) -> Result<(), ArrivalError> {
        if self.about.safe != self.offset {
            fdatasync(&self.file).map_err(ArrivalError::doing("writing to the disk"))?;
            self.about.safe = self.offset;
            about::write(&self.landing.workshop, self.id, &self.about, Reach::Disk)?;
        }
        Ok(())
    }

    /// Its name.
    pub fn id(&self) -> UploadId {
        self.id
    }

    /// Where it goes, relative to the landing.
    pub fn path(&self) -> &[u8] {
        &self.about.path
    }

    /// What the caller gave to be remembered.
    pub fn note(&self) -> &[u8] {
        &self.about.note
    }

    /// The length in bytes, if it is known by now.
    pub fn len(&self) -> Option<u64> {
        self.about.len
    }

    /// Whether nothing has arrived yet.
    pub fn is_empty(&self) -> bool {
        self.offset == 0
    }

    /// Bytes that have arrived and are safe. Nothing takes them back as long as the machine runs; with
    /// [`LandingOptions::sync`](crate::LandingOptions) also no power failure. Without, such a failure takes back what came since an
    /// `Upload` of it was last dropped.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The file, open for reading and writing. Bytes go to [`offset`](Self::offset), one after the other: what lies before the end
    /// of the file counts as arrived if this process is killed, so there must be no holes.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Says when somebody else wants to go on.
    pub fn stop(&self) -> &Stop {
        self.hold.stop()
    }

    /// How much longer it is kept if nothing arrives.
    pub fn expires_in(&self) -> Duration {
        let since = sys::fstat(self.file.as_fd()).map_or(Duration::ZERO, |stat| age(&stat));
        self.landing.options.keep.saturating_sub(since)
    }

    /// The length becomes known. [`ArrivalError::Length`] if it was known, and another; too long, or no room for it, are errors too.
    pub fn announce(&mut self, len: u64) -> Result<(), ArrivalError> {
        match self.about.len {
            Some(announced) if announced == len => return Ok(()),
            Some(announced) => return Err(ArrivalError::Length { announced, arrived: len }),
            None if len < self.offset => {
                return Err(ArrivalError::Length { announced: len, arrived: self.offset });
            }
            None => {}
        }
        self.claim_mut().announce(len);
        self.claim(len)?;
        self.about.len = Some(len);
        self.remember(self.reach())
    }

    /// Asks for room, as [`Arrival::claim`](crate::Arrival::claim).
    pub fn claim(&mut self, len: u64) -> Result<u64, ArrivalError> {
        let landing = Arc::clone(&self.landing);
        self.claim_mut().grow(landing.directory(), len)
    }

    /// So many bytes more have been written to the file. When this returns they are safe, and may be acknowledged: the new offset.
    ///
    /// With [`LandingOptions::sync`](crate::LandingOptions) that is two or three writes to the disk that are waited for. Right before
    /// [`complete`](Self::complete), [`arrived`](Self::arrived) will do.
    pub fn advanced(&mut self, bytes: u64) -> Result<u64, ArrivalError> {
        self.arrived(bytes);
        if self.landing.options.sync {
            self.make_safe()?;
        }
        Ok(self.offset)
    }

    /// So many bytes more have been written to the file. They are not to be acknowledged yet.
    pub fn arrived(&mut self, bytes: u64) {
        self.offset = self.offset.saturating_add(bytes);
    }

    /// All has arrived: makes the file visible under its name, as [`Arrival::finish`](crate::Arrival::finish). The digests are made of
    /// what is in the file. `only_if` is asked again, and is the caller's to give again if this was resumed.
    ///
    /// After an error the upload is as it was, and can be gone on with, or [cancelled](Self::cancel).
    pub fn complete(&mut self, only_if: Option<Condition>) -> Result<Stored, ArrivalError> {
        let arrived = len_of(&self.file)?;
        let announced = self.about.len.unwrap_or(self.offset);
        if arrived != announced {
            return Err(ArrivalError::Length { announced, arrived });
        }
        self.claim(arrived)?;
        let place = self.landing.place(&self.about.path)?;
        digest::verify(&self.file, &self.about.digests)?;
        let sync = self.landing.options.sync;
        if sync {
            fdatasync(&self.file).map_err(ArrivalError::doing("writing to the disk"))?;
        }
        let landing = Arc::clone(&self.landing);
        let name = data_name(self.id);
        let only_if = only_if.or_else(|| self.only_if.clone());
        let conditions = (self.about.only_if_absent, only_if.as_ref());
        let (id, reach, about) = (self.id, self.reach(), &mut self.about);
        let published = publish::publish(
            &landing,
            &place,
            &self.file,
            Source::Named(&name),
            conditions,
            &mut |publish::Ending { created, device, inode }| {
                about.ending = Some(End { created, len: arrived, device, inode });
                about::write(&landing.workshop, id, about, reach)
            },
        )?;
        // Only there if the file had to be copied.
        landing.workshop.remove(&name);
        if let Some(claim) = self.claim.take() {
            claim.settle(arrived, published.freed);
            landing.room.forget(id);
        }
        Ok(published.stored)
    }

    /// Gives the upload up: nothing is left of it.
    pub fn cancel(mut self) -> Result<(), ArrivalError> {
        // The record first: data without one is nobody's upload.
        self.landing.workshop.remove(&about::name(self.id));
        self.landing.workshop.remove(&data_name(self.id));
        self.claim = None;
        self.landing.room.forget(self.id);
        if self.landing.options.sync { self.landing.workshop.sync() } else { Ok(()) }
    }

    fn remember(&self, reach: Reach) -> Result<(), ArrivalError> {
        about::write(&self.landing.workshop, self.id, &self.about, reach)
    }

    /// How far what replaces a record has to go.
    fn reach(&self) -> Reach {
        if self.landing.options.sync { Reach::Disk } else { Reach::Content }
    }

    fn claim_mut(&mut self) -> &mut Claim {
        self.claim.as_mut().expect("it is there until it is complete")
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(mut claim) = self.claim.take() else { return };
        // Also without sync: the machine may be started anew before anybody goes on with it.
        if let Err(error) = self.make_safe() {
            tracing::warn!(upload = ?self.id, "what has arrived of an upload is not on the disk: {error}");
        }
        claim.wait(self.id);
        temporary::unlock(&self.file);
    }
}

/// The record of an upload that is this owner's.
fn read(landing: &Inner, id: UploadId, owner: Option<&str>) -> Result<About, ArrivalError> {
    match about::read(&landing.workshop, id) {
        Ok(about) if about.owner.as_deref() == owner => Ok(about),
        Ok(_) | Err(Unreadable::Absent) => Err(ArrivalError::NotFound),
        Err(Unreadable::Damaged) => {
            tracing::warn!(upload = ?id, "the record of an upload is damaged: it is as if gone");
            Err(ArrivalError::NotFound)
        }
        Err(Unreadable::Io(error)) => {
            Err(ArrivalError::from_kernel("reading the record of an upload", error))
        }
    }
}

/// What has come of an upload whose data is gone.
fn ended(landing: &Inner, id: UploadId, owner: Option<&str>) -> Result<Completed, ArrivalError> {
    // Again, for it may just have been written.
    let About { path, note, ending, .. } = read(landing, id, owner)?;
    let Some(end) = ending else { return Err(ArrivalError::NotFound) };
    let facts = landing.place(&path).ok().and_then(|place| facts_of(landing, &place, &end));
    Ok(Completed { created: end.created, len: end.len, facts, path, note })
}

fn facts_of(landing: &Inner, place: &Place, end: &End) -> Option<Facts> {
    match place.current(landing) {
        Ok(Found::File(current)) => Some(current.facts).filter(|facts| {
            (facts.device, facts.inode, facts.len) == (end.device, end.inode, end.len)
        }),
        _ => None,
    }
}

fn is_there(landing: &Inner, place: &Place, end: &End) -> bool {
    facts_of(landing, place, end).is_some()
}
