//! Where a file goes: its directory, held open, and its name in there; and what is there now.

use std::ffi::CString;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use sendrail_sys::{self as sys, FileKind, FileSystem, OpenFlags, Stat};

use super::error::ArrivalError;
use super::landing::{Inner, c_string};
use super::{Condition, Terms};
use crate::error::OpenError;
use crate::facts::{Facts, wall_clock};

#[derive(Debug)]
pub(super) struct Place {
    /// Relative to the landing.
    pub(super) path: CString,
    pub(super) folder: OwnedFd,
    pub(super) device: u64,
    pub(super) name: CString,
    /// The same for all who mean this name in this directory.
    pub(super) key: u64,
}

/// What is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    pub(super) facts: Facts,
    pub(super) mode: u32,
    /// Bytes that are given back when it is replaced: of a link, none.
    pub(super) freed: u64,
}

impl Place {
    pub(super) fn open(landing: &Inner, path: CString) -> Result<Self, ArrivalError> {
        let (folder, name) = match path.as_bytes().iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (c_string(&path.as_bytes()[..slash]), &path.as_bytes()[slash + 1..]),
            None => (c".".to_owned(), path.as_bytes()),
        };
        let name = c_string(name);
        let folder = landing
            .open_beneath(&folder, OpenFlags::READ | OpenFlags::DIRECTORY)
            .map_err(why_no_folder)?;
        let Stat { device, inode, .. } = sys::fstat(folder.as_fd())
            .map_err(ArrivalError::doing("asking about the directory"))?;
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let key = hasher.hash_one((device, inode, &name));
        Ok(Self { path, folder, device, name, key })
    }

    /// What is there under the name. Of a symbolic link the file that it leads to, as a GET would find it; one that leads nowhere, or
    /// out, is there all the same, but has no facts.
    pub(super) fn current(&self, landing: &Inner) -> Result<Found, ArrivalError> {
        let asking = "asking what is there";
        let stat = match sys::stat_at(self.folder.as_fd(), &self.name, false) {
            Ok(stat) => stat,
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => {
                return Ok(Found::Nothing);
            }
            Err(error) => return Err(ArrivalError::from_kernel(asking, error)),
        };
        let (stat, freed) = match stat.kind {
            FileKind::Symlink => {
                let led = landing.open_beneath(&self.path, OpenFlags::PATH);
                match led.and_then(|led| sys::fstat(led.as_fd())) {
                    Ok(stat) => (stat, 0),
                    Err(_) => return Ok(Found::Link),
                }
            }
            _ => (stat, stat.len),
        };
        match stat.kind {
            FileKind::File => {
                let facts = Facts::new(&stat, wall_clock(), self.file_system(landing)?);
                Ok(Found::File(Current { facts, mode: stat.mode, freed }))
            }
            FileKind::Directory => Err(ArrivalError::IsDirectory),
            kind => Err(ArrivalError::NotAFile { kind }),
        }
    }

    /// The file system that the file will be on.
    pub(super) fn file_system(&self, landing: &Inner) -> Result<FileSystem, ArrivalError> {
        if self.device == landing.device {
            return Ok(landing.file_system);
        }
        let asking = ArrivalError::doing("asking for the file system");
        sys::file_system(self.folder.as_fd()).map_err(asking)
    }
}

/// What is there under a name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    Nothing,
    /// A symbolic link that leads to no file.
    Link,
    File(Current),
}

impl Found {
    pub(super) fn check(
        &self,
        only_if_absent: bool,
        only_if: Option<&Condition>,
    ) -> Result<(), ArrivalError> {
        let facts = match self {
            Self::File(current) => Some(&current.facts),
            Self::Nothing | Self::Link => None,
        };
        let in_the_way = only_if_absent && !matches!(self, Self::Nothing);
        if in_the_way || only_if.is_some_and(|condition| !condition.holds(facts)) {
            return Err(ArrivalError::PreconditionFailed);
        }
        Ok(())
    }

    pub(super) fn check_terms(&self, terms: &Terms) -> Result<(), ArrivalError> {
        self.check(terms.only_if_absent, terms.only_if.as_ref())
    }
}

pub(super) fn why_bad(error: &OpenError) -> ArrivalError {
    match error {
        OpenError::Forbidden { why } => ArrivalError::BadName { why },
        OpenError::NotFound => ArrivalError::BadName { why: "names with a dot are hidden here" },
        OpenError::NameTooLong => ArrivalError::BadName { why: "the path is too long" },
        _ => ArrivalError::BadName { why: "it is refused" },
    }
}

fn why_no_folder(error: std::io::Error) -> ArrivalError {
    match Errno::from_io_error(&error) {
        Some(Errno::NOENT | Errno::NOTDIR) => ArrivalError::NoParent,
        Some(Errno::XDEV | Errno::LOOP) => {
            ArrivalError::BadName { why: "a symbolic link is in the way" }
        }
        _ => ArrivalError::from_kernel("opening the directory", error),
    }
}
