//! The hidden directory in which unfinished uploads lie, and the sweeping of it.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, fchmod, fsync, mkdirat, openat, unlinkat};
use rustix::io::Errno;
use sendrail_sys::{self as sys, FileKind, OpenFlags, Stat};

use super::about::{self, About};
use super::error::ArrivalError;
use super::id::UploadId;
use super::landing::{Inner, Landing, Swept, c_string};
use super::temporary::{self, Locked};
use crate::path::WORKSHOP;

/// The hidden directory, made when it is first needed.
#[derive(Debug)]
pub(super) struct Workshop {
    landing: OwnedFd,
    folder: Mutex<Option<Arc<OwnedFd>>>,
}

impl Workshop {
    pub(super) fn new(landing: OwnedFd) -> Self {
        Self { landing, folder: Mutex::default() }
    }

    /// The directory, if it is there.
    fn existing(&self) -> Result<Arc<OwnedFd>, Errno> {
        let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = &*folder {
            return Ok(Arc::clone(folder));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = Arc::new(openat(&self.landing, WORKSHOP, flags, Mode::empty())?);
        // Whoever can read it can go on with every upload. Where there are no permissions there are none.
        let _ = fchmod(&opened, Mode::RWXU);
        *folder = Some(Arc::clone(&opened));
        Ok(opened)
    }

    fn opened(&self) -> Result<Arc<OwnedFd>, Errno> {
        match self.existing() {
            Err(Errno::NOENT) => {}
            other => return other,
        }
        match mkdirat(&self.landing, WORKSHOP, Mode::RWXU) {
            // Once and for all: what is in it is not there for sure before it is.
            Ok(()) => fsync(&self.landing)?,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        self.existing()
    }

    /// Does something in it. If somebody has removed it, it is made anew, once.
    pub(super) fn with<T>(
        &self,
        mut act: impl FnMut(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let folder = self.opened()?;
        match act(folder.as_fd()) {
            Err(Errno::NOENT) if is_removed(&folder) => {
                *self.folder.lock().unwrap_or_else(PoisonError::into_inner) = None;
                act(self.opened()?.as_fd())
            }
            other => other,
        }
    }

    /// A new file in it, that no other process takes away.
    pub(super) fn make(&self, name: &CStr) -> Result<File, ArrivalError> {
        let making = "making a file in .uploads";
        loop {
            let made = self.with(|folder| temporary::named(folder, name));
            let file = made.map_err(ArrivalError::doing(making))?;
            temporary::lock(&file).map_err(ArrivalError::doing(making))?;
            // A process that sweeps can have been faster than the lock, once: it has no more to do with a file that is held.
            let stat = sys::fstat(file.as_fd()).map_err(ArrivalError::doing(making))?;
            if stat.links > 0 {
                return Ok(file);
            }
        }
    }

    /// Opens what is there under this name.
    pub(super) fn open(&self, name: &CStr) -> Result<File, Errno> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let folder = self.existing()?;
        openat(&*folder, name, flags, Mode::empty()).map(File::from)
    }

    pub(super) fn remove(&self, name: &CStr) {
        if let Ok(folder) = self.existing() {
            let _ = unlinkat(&*folder, name, AtFlags::empty());
        }
    }

    /// Its names are on the disk when this returns.
    pub(super) fn sync(&self) -> Result<(), ArrivalError> {
        self.with(|folder| fsync(folder)).map_err(ArrivalError::doing("writing names to the disk"))
    }
}

fn is_removed(folder: &OwnedFd) -> bool {
    sys::fstat(folder.as_fd()).is_ok_and(|stat| stat.links == 0)
}

/// What a name in the hidden directory stands for.
enum Kind {
    Data(UploadId),
    About(UploadId),
    /// Of no use once nobody writes it: a plain arrival that was cut off, a record that was being written.
    Part,
    /// Not of our making.
    Unknown,
}

fn kind(name: &[u8]) -> Kind {
    let (stem, extension) = match name.iter().position(|&byte| byte == b'.') {
        Some(dot) => (&name[..dot], &name[dot..]),
        None => (name, &b""[..]),
    };
    match (UploadId::parse(stem), extension) {
        (Some(id), b"") => Kind::Data(id),
        (Some(id), b".about") => Kind::About(id),
        (Some(_), b".part" | b".new") => Kind::Part,
        _ => Kind::Unknown,
    }
}

/// See [`Landing::sweep`].
pub(super) fn sweep(landing: &Landing) -> Result<Swept, ArrivalError> {
    let inner = &landing.inner;
    let folder = match inner.workshop.existing() {
        Err(Errno::NOENT) => return Ok(Swept::default()),
        other => other.map_err(ArrivalError::doing("opening .uploads"))?,
    };
    let mut swept = Swept::default();
    for name in names(folder.as_fd())? {
        let Ok(stat) = sys::stat_at(folder.as_fd(), &name, false) else { continue };
        if stat.kind != FileKind::File {
            continue;
        }
        match kind(name.to_bytes()) {
            Kind::Data(id) => sweep_data(inner, id, &name, &stat, &mut swept),
            Kind::About(id) => sweep_about(inner, id, &name, &stat, &mut swept),
            Kind::Part => take_away(inner, &name, None, &stat, &mut swept),
            Kind::Unknown => {}
        }
    }
    Ok(swept)
}

fn sweep_data(inner: &Inner, id: UploadId, name: &CStr, stat: &Stat, swept: &mut Swept) {
    if inner.active.is_held(id) {
        swept.unfinished += 1;
        return;
    }
    let about = about::read(&inner.workshop, id);
    let is_of_no_use = match &about {
        Ok(_) => age(stat) >= inner.options.keep,
        // Killed before anybody was told of it; if it is not just being made.
        Err(about::Unreadable::Absent) => true,
        Err(about::Unreadable::Damaged) => {
            tracing::warn!(upload = ?id, "the record of an upload is damaged: it cannot be gone on with");
            age(stat) >= inner.options.keep
        }
        Err(about::Unreadable::Io(error)) => {
            tracing::warn!(upload = ?id, "the record of an upload cannot be read: {error}");
            false
        }
    };
    if is_of_no_use {
        inner.room.forget(id);
        take_away(inner, name, Some(&about::name(id)), stat, swept);
    } else {
        let announced = about.ok().and_then(|About { len, .. }| len);
        inner.room.found(id, announced.unwrap_or_default().max(stat.len));
        swept.unfinished += 1;
    }
}

/// Records of what has arrived, which are remembered for a while. Those of unfinished uploads go with their data.
fn sweep_about(inner: &Inner, id: UploadId, name: &CStr, stat: &Stat, swept: &mut Swept) {
    let has_data = inner.workshop.open(&data_name(id)).is_ok();
    if !has_data && age(stat) >= inner.options.keep && !inner.active.is_held(id) {
        take_away(inner, name, None, stat, swept);
    }
}

/// Removes a file, and the record before it, unless some process goes on with it. The lock is held meanwhile: whoever is next to get
/// it finds that the file has no name any more.
fn take_away(inner: &Inner, name: &CStr, record: Option<&CStr>, stat: &Stat, swept: &mut Swept) {
    let Ok(file) = inner.workshop.open(name) else { return };
    let is_free = match temporary::try_lock(&file) {
        Ok(Locked::ByUs) => true,
        Ok(Locked::Never) => age(stat) >= inner.options.keep,
        Err(_) => false,
    };
    if is_free {
        // The record first: data alone is an upload that nobody was told of.
        if let Some(record) = record {
            inner.workshop.remove(record);
        }
        inner.workshop.remove(name);
        swept.removed += 1;
        swept.bytes += stat.len;
    }
}

pub(super) fn data_name(id: UploadId) -> CString {
    c_string(id.to_string().as_bytes())
}

/// Since the last write.
pub(super) fn age(stat: &Stat) -> Duration {
    let modified = UNIX_EPOCH + Duration::from_secs(stat.modified.seconds.max(0) as u64);
    SystemTime::now().duration_since(modified).unwrap_or_default()
}

fn names(folder: BorrowedFd<'_>) -> Result<Vec<CString>, ArrivalError> {
    let reading = "reading .uploads";
    let entries = Dir::read_from(folder).map_err(ArrivalError::doing(reading))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(ArrivalError::doing(reading))?.file_name().to_owned());
    }
    Ok(names)
}

/// Bytes of all files below a directory, without the hidden one, and without what is mounted there. A directory that may not be read
/// counts for nothing.
pub(super) fn count(directory: BorrowedFd<'_>) -> Result<u64, ArrivalError> {
    let counting = "counting the files";
    let entries = Dir::read_from(directory).map_err(ArrivalError::doing(counting))?;
    let mut sum: u64 = 0;
    for entry in entries {
        let entry = entry.map_err(ArrivalError::doing(counting))?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") || name == WORKSHOP {
            continue;
        }
        let Ok(stat) = sys::stat_at(directory, name, false) else { continue };
        match stat.kind {
            FileKind::File => sum = sum.saturating_add(stat.len),
            FileKind::Directory => {
                let flags = OpenFlags::READ | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW;
                if let Ok(below) = sys::openat(directory, name, flags) {
                    sum = sum.saturating_add(count(below.as_fd()).unwrap_or_default());
                }
            }
            _ => {}
        }
    }
    Ok(sum)
}
