//! What there is to send: the files and directories that were named, with all beneath them, one after the other.

use super::{
    failure::Failure,
    protocol::{Entry, Kind, Name, Time},
};
use crate::page_cache::interrupt::Stop;
use rustix::fs::{Mode, OFlags, open};
use sendrail_sys::{FileKind, Stat, fstat, pread};
use std::{
    ffi::OsStr,
    fs::{File, Metadata},
    os::{fd::AsFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    sync::Arc,
};
use walkdir::{DirEntry, WalkDir};

/// Standard input, or output.
pub(super) const DASH: &str = "-";

/// What was named.
#[derive(Debug)]
pub(super) struct Sources {
    /// Files, directories, or [`DASH`].
    pub(super) paths: Vec<PathBuf>,
    /// What standard input is called on the other side; empty for no name.
    pub(super) stdin_name: String,
}

/// Something that was met.
#[derive(Debug)]
pub(super) enum Met {
    /// It is to be sent.
    Item(Item),
    /// It cannot be, and why.
    Unreadable(PathBuf, String),
    /// It is passed over, which is no error: what it is.
    Passed(PathBuf, &'static str),
}

/// Something to send.
#[derive(Debug)]
pub(super) struct Item {
    /// As people know it.
    pub(super) path: PathBuf,
    /// As the other side is told of it.
    pub(super) entry: Entry,
    /// Open, if it is a file.
    pub(super) file: Option<Arc<File>>,
}

impl Sources {
    /// How many bytes it is in all, as far as anybody can tell before.
    pub(super) fn total(&self, stop: &Stop) -> Option<u64> {
        if self.paths.iter().any(|path| path.as_os_str() == DASH) {
            return None;
        }
        let files = self.paths.iter().flat_map(|path| WalkDir::new(path).into_iter());
        let files = files.take_while(|_| !stop.is_asked()).filter_map(Result::ok);
        let sizes = files.filter_map(|entry| entry.metadata().ok());
        Some(sizes.filter(Metadata::is_file).map(|file| file.len()).sum())
    }

    /// Gives each to `visit`: a directory after what is in it, so that its time stays as it is set. Nothing is kept of a
    /// tree but the way down to where it is.
    pub(super) fn each(
        &self,
        mut visit: impl FnMut(Met) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for path in &self.paths {
            if path.as_os_str() == DASH {
                visit(Met::Item(self.stdin()))?;
                continue;
            }
            let base = base(path);
            for found in WalkDir::new(path).contents_first(true) {
                match found {
                    Ok(found) => {
                        if let Some(met) = meet(path, base, &found) {
                            visit(met)?;
                        }
                    }
                    Err(error) => {
                        let at = error.path().unwrap_or(path).to_owned();
                        let why =
                            error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                        visit(Met::Unreadable(at, why))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn stdin(&self) -> Item {
        let name = Name(self.stdin_name.clone().into_bytes());
        let entry = Entry { name, kind: Kind::Stream, size: None, modified: None, mode: None };
        Item { path: "standard input".into(), entry, file: None }
    }
}

/// What a path that was typed is called on the other side. For `.`, `DIR/.`, `..` and `/` nothing: what is in them goes
/// there.
fn base(path: &Path) -> &OsStr {
    if path.as_os_str().as_bytes().ends_with(b"/.") {
        return OsStr::new("");
    }
    path.file_name().unwrap_or_default()
}

fn meet(root: &Path, base: &OsStr, found: &DirEntry) -> Option<Met> {
    let path = found.path();
    let relative = path.strip_prefix(root).unwrap_or(path);
    let mut name = base.as_bytes().to_vec();
    if !name.is_empty() && !relative.as_os_str().is_empty() {
        name.push(b'/');
    }
    name.extend_from_slice(relative.as_os_str().as_bytes());
    let kind = found.file_type();
    let is_typed = found.depth() == 0;
    if name.is_empty() {
        return None; // `.` itself
    }
    if !is_typed && !kind.is_file() && !kind.is_dir() {
        let what = if kind.is_symlink() { "a symbolic link" } else { "no regular file" };
        return Some(Met::Passed(path.to_owned(), what));
    }
    Some(match open_item(path, is_typed, kind.is_dir()) {
        Ok((file, stat)) => {
            let is_file = stat.kind == FileKind::File;
            let entry = Entry {
                name: Name(name),
                kind: if is_file { Kind::File } else { Kind::Directory },
                size: is_file.then_some(stat.len),
                modified: Some(Time {
                    seconds: stat.modified.seconds,
                    nanoseconds: stat.modified.nanoseconds,
                }),
                mode: Some(stat.mode & 0o7777),
            };
            let file = is_file.then(|| Arc::new(file));
            Met::Item(Item { path: path.to_owned(), entry, file })
        }
        Err(why) => Met::Unreadable(path.to_owned(), why),
    })
}

/// Opens a file or a directory. A link is followed only where it was typed; a FIFO is not waited for.
fn open_item(path: &Path, is_typed: bool, is_directory: bool) -> Result<(File, Stat), String> {
    let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    flags.set(OFlags::NOFOLLOW, !is_typed);
    flags.set(OFlags::DIRECTORY, is_directory);
    let file = loop {
        match open(path, flags, Mode::empty()) {
            Ok(file) => break File::from(file),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.to_string()),
        }
    };
    let stat = fstat(file.as_fd()).map_err(|error| error.to_string())?;
    match stat.kind {
        FileKind::File if hides_its_length(&file, &stat) => {
            Err("it says that it is empty, and is not; - sends what a program like cat reads of it"
                .into())
        }
        FileKind::File | FileKind::Directory => Ok((file, stat)),
        _ => Err("is neither a file nor a directory".into()),
    }
}

/// Whether there is something to be read of a file without a length, as of those in /proc, which are made when they are read.
fn hides_its_length(file: &File, stat: &Stat) -> bool {
    stat.len == 0
        && matches!(pread(file.as_fd(), &mut [0], 0), Ok(1..))
        && fstat(file.as_fd()).is_ok_and(|stat| stat.len == 0) // it has not just grown
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    fn names(paths: &[PathBuf]) -> Vec<String> {
        let sources = Sources { paths: paths.to_vec(), stdin_name: String::new() };
        let mut names = Vec::new();
        sources
            .each(|met| {
                names.push(match met {
                    Met::Item(item) => String::from_utf8(item.entry.name.0).unwrap(),
                    Met::Unreadable(path, _) => format!("unreadable {}", base(&path).display()),
                    Met::Passed(path, what) => format!("{what} {}", base(&path).display()),
                });
                Ok(())
            })
            .unwrap();
        names
    }

    #[test]
    fn a_directory_comes_after_what_is_in_it() {
        let temp = tempfile::tempdir().unwrap();
        let tree = temp.path().join("tree");
        fs::create_dir_all(tree.join("a/empty")).unwrap();
        fs::write(tree.join("a/x"), "12345").unwrap();
        symlink("x", tree.join("a/link")).unwrap();
        let mut all = names(std::slice::from_ref(&tree));
        assert_eq!(all.last().unwrap(), "tree");
        assert_eq!(all[all.len() - 2], "tree/a");
        all.sort();
        assert_eq!(all, ["a symbolic link link", "tree", "tree/a", "tree/a/empty", "tree/a/x"]);
        for typed in ["a/..", "."] {
            let mut inside = names(&[tree.join(typed)]);
            inside.sort();
            assert_eq!(inside, ["a", "a symbolic link link", "a/empty", "a/x"]);
        }
        assert_eq!(names(&[tree.join("absent")]), ["unreadable absent"]);
        let sources = Sources { paths: vec![tree], stdin_name: String::new() };
        assert_eq!(sources.total(&Stop::default()), Some(5));
        let sources = Sources { paths: vec![DASH.into()], ..sources };
        assert_eq!(sources.total(&Stop::default()), None);
    }
}
