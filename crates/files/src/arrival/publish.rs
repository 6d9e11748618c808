//! The moment in which a file becomes visible: whole, in one step, and only if its conditions still hold.
//!
//! Under a turn that all arrivals of this process at this name share, what is there is looked at once more, and then replaced by one
//! linkat(2) or renameat(2). Another process may change the name between the look and the step. That it is absent is therefore
//! asked of the kernel (`EEXIST`); that it is a certain file cannot be. Exchanging the two (`RENAME_EXCHANGE`), looking, and exchanging
//! them back would show a refused upload to everybody for a moment, which is worse.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{
    AtFlags, Mode, RenameFlags, fchmod, fsync, linkat, renameat, renameat_with, unlinkat,
};
use rustix::io::Errno;
use sendrail_sys as sys;

use super::error::ArrivalError;
use super::landing::{Inner, c_string, is_refusal};
use super::place::{Found, Place};
use super::temporary::{self, part_name};
use super::{Condition, Stored};
use crate::facts::{Facts, wall_clock};

/// How often somebody else may be faster before this gives up. Each time he has made or removed a file of this very name.
const TRIES: u32 = 16;

/// Where the file is before.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// It has no name.
    Unnamed,
    /// In the hidden directory.
    Named(&'a CStr),
    /// In the target's own directory.
    Beside(&'a CStr),
}

/// What is about to happen, for who has to remember it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub(super) created: bool,
    pub(super) device: u64,
    pub(super) inode: u64,
}

pub(super) struct Published {
    pub(super) stored: Stored,
    /// Bytes that the file before had.
    pub(super) freed: u64,
}

/// The conditions: nothing may be there; this must be true of what is.
pub(super) type Conditions<'a> = (bool, Option<&'a Condition>);

/// What is called under the turn, right before the step.
pub(super) type Before<'a> = &'a mut dyn FnMut(Ending) -> Result<(), ArrivalError>;

enum Failed {
    /// The hidden directory is on another file system, or as good as (a bind mount, a subvolume, a project): EXDEV.
    Across,
    Error(ArrivalError),
}

impl From<ArrivalError> for Failed {
    fn from(error: ArrivalError) -> Self {
        Self::Error(error)
    }
}

/// Makes the file visible under the name of the place. It is on the disk when this returns, if that is asked for.
pub(super) fn publish(
    landing: &Inner,
    place: &Place,
    file: &File,
    source: Source<'_>,
    conditions: Conditions<'_>,
    before: Before<'_>,
) -> Result<Published, ArrivalError> {
    let published = match attempt(landing, place, file, source, conditions, before) {
        Ok(published) => published,
        Err(Failed::Error(error)) => return Err(error),
        Err(Failed::Across) => across(landing, place, file, conditions, before)?,
    };
    if landing.options.sync {
        fsync(&place.folder).map_err(ArrivalError::doing("writing the name to the disk"))?;
    }
    Ok(published)
}

/// A file cannot be renamed to another file system: it is copied there, and the copy gets the name.
fn across(
    landing: &Inner,
    place: &Place,
    file: &File,
    conditions: Conditions<'_>,
    before: Before<'_>,
) -> Result<Published, ArrivalError> {
    let name = beside()?;
    let (copy, source) = if let Ok(copy) = temporary::unnamed(place.folder.as_fd()) {
        (copy, Source::Unnamed)
    } else {
        let made = temporary::named(place.folder.as_fd(), &name);
        (made.map_err(ArrivalError::doing("making a copy"))?, Source::Beside(&name))
    };
    let copied = copy_all(file, &copy, landing.options.sync)
        .map_err(ArrivalError::doing("copying to another file system"))
        .and_then(|()| match attempt(landing, place, &copy, source, conditions, before) {
            Ok(published) => Ok(published),
            Err(Failed::Error(error)) => Err(error),
            Err(Failed::Across) => Err(ArrivalError::doing("renaming")(Errno::XDEV)),
        });
    if let (Err(_), Source::Beside(name)) = (&copied, source) {
        let _ = unlinkat(&place.folder, name, AtFlags::empty());
    }
    copied
}

fn copy_all(mut from: &File, mut to: &File, sync: bool) -> io::Result<()> {
    io::Seek::rewind(&mut from)?;
    // copy_file_range(2), and sendfile(2) or a buffer where that is refused.
    io::copy(&mut from, &mut to)?;
    if sync { to.sync_data() } else { Ok(()) }
}

fn attempt(
    landing: &Inner,
    place: &Place,
    file: &File,
    source: Source<'_>,
    (only_if_absent, only_if): Conditions<'_>,
    before: Before<'_>,
) -> Result<Published, Failed> {
    let stat = sys::fstat(file.as_fd()).map_err(ArrivalError::doing("asking for the inode"))?;
    let _turn = landing.turn(place);
    for _ in 0..TRIES {
        let found = place.current(landing)?;
        found.check(only_if_absent, only_if)?;
        let created = matches!(found, Found::Nothing);
        if let Found::File(current) = found {
            keep_mode(file, current.mode)?;
        }
        before(Ending { created, device: stat.device, inode: stat.inode })?;
        let put = if created {
            put_new(landing, place, file, source)
        } else {
            put_over(landing, place, file, source)
        };
        match put {
            Ok(()) => {
                let stat = sys::fstat(file.as_fd())
                    .map_err(ArrivalError::doing("asking for size and times"))?;
                let facts = Facts::new(&stat, wall_clock(), place.file_system(landing)?);
                let freed = if let Found::File(current) = found { current.freed } else { 0 };
                return Ok(Published { stored: Stored { created, facts }, freed });
            }
            Err(Errno::EXIST) if only_if_absent => {
                return Err(ArrivalError::PreconditionFailed.into());
            }
            // Somebody else has made one: that is another file to look at, and to replace.
            Err(Errno::EXIST) => {}
            Err(Errno::XDEV) => return Err(Failed::Across),
            Err(Errno::NOENT) => return Err(ArrivalError::NoParent.into()),
            Err(error) => return Err(ArrivalError::doing("giving the file its name")(error).into()),
        }
    }
    Err(ArrivalError::PreconditionFailed.into())
}

/// Permissions, without setuid, setgid and the sticky bit: those were given to a program that is gone.
fn keep_mode(file: &File, mode: u32) -> Result<(), ArrivalError> {
    match fchmod(file, Mode::from_raw_mode(mode & 0o777)) {
        // A file system without permissions, or where they are not ours to change.
        Err(error) if is_refusal(error) => Ok(()),
        other => other.map_err(ArrivalError::doing("keeping the permissions")),
    }
}

/// Where nothing is: EEXIST, if something is there after all.
fn put_new(landing: &Inner, place: &Place, file: &File, source: Source<'_>) -> Result<(), Errno> {
    let target = place.folder.as_fd();
    match source {
        Source::Unnamed => temporary::link(file, target, &place.name),
        Source::Beside(name) => rename_new(target, name, place),
        Source::Named(name) => landing.workshop.with(|folder| rename_new(folder, name, place)),
    }
}

fn rename_new(folder: BorrowedFd<'_>, name: &CStr, place: &Place) -> Result<(), Errno> {
    match renameat_with(folder, name, &place.folder, &place.name, RenameFlags::NOREPLACE) {
        Err(error) if is_refusal(error) => {}
        other => return other,
    }
    match linkat(folder, name, &place.folder, &place.name, AtFlags::empty()) {
        // No links here either (FAT before Linux 4.9): between this process's uploads the turn is enough.
        Err(error) if is_refusal(error) => renameat(folder, name, &place.folder, &place.name),
        Err(error) => Err(error),
        Ok(()) => {
            let _ = unlinkat(folder, name, AtFlags::empty());
            Ok(())
        }
    }
}

/// In the place of what is there.
fn put_over(landing: &Inner, place: &Place, file: &File, source: Source<'_>) -> Result<(), Errno> {
    let target = place.folder.as_fd();
    match source {
        Source::Named(name) => {
            landing.workshop.with(|folder| renameat(folder, name, target, &place.name))
        }
        Source::Beside(name) => renameat(target, name, target, &place.name),
        // linkat(2) replaces nothing: the file needs another name first.
        Source::Unnamed => {
            let name = part_name().map_err(|_| Errno::IO)?;
            let put = landing.workshop.with(|folder| over(file, folder, &name, place));
            match put {
                Err(Errno::XDEV) => over(file, target, &beside().map_err(|_| Errno::IO)?, place),
                other => other,
            }
        }
    }
}

fn over(file: &File, folder: BorrowedFd<'_>, name: &CStr, place: &Place) -> Result<(), Errno> {
    // So that no other process takes the name for a remainder and removes it.
    let _ = temporary::lock(file);
    temporary::link(file, folder, name)?;
    let renamed = renameat(folder, name, &place.folder, &place.name);
    if renamed.is_err() {
        let _ = unlinkat(folder, name, AtFlags::empty());
    }
    renamed
}

/// A hidden name that nobody has, in the directory of a target.
fn beside() -> Result<CString, ArrivalError> {
    Ok(c_string(format!(".upload-{}", part_name()?.to_string_lossy()).as_bytes()))
}
