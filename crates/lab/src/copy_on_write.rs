//! Copy-on-write, in memory and on the disk: what is copied of a private mapping and of a reflink clone,
//! before anybody writes and after.

mod images;

use images::Image;
use rustix::fs::{fstatvfs, syncfs};
use sendrail_sys::{
    limits::page_size,
    private::PrivateMapping,
    reflink::{clone_file, unnamed_file},
};
use serde::Serialize;
use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    os::{fd::AsFd, unix::fs::FileExt},
    path::Path,
};

/// Of the file, in bytes.
pub const LENGTH: usize = 16 << 20;

/// One byte is written in each 16th page.
pub const EACH: usize = 16;

/// One step, and what there was after it that had not been there before the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What was done.
    pub what: &'static str,
    /// Bytes that were written by it.
    pub written: u64,
    /// Bytes of memory, or of the disk, that are copies by now.
    pub copied: u64,
    /// Page faults by it. Nothing where the disk is looked at.
    pub faults: Option<u64>,
}

/// The steps of a private mapping (`mmap(2)`, MAP_PRIVATE).
///
/// # Errors
///
/// The file cannot be made or mapped, or `/proc` is not there.
pub fn private_mapping(scratch: &Path) -> io::Result<Vec<Step>> {
    let mut file = tempfile::tempfile_in(scratch)?;
    fill(&mut file)?;
    let page = page_size();
    let begin = Memory::now()?;
    let mut mapping = PrivateMapping::new(file.as_fd(), LENGTH)?;
    let mapped = Memory::now()?;
    let mut sum = 0_u64;
    for at in (0..LENGTH).step_by(page) {
        sum += u64::from(mapping.read(at));
    }
    let read = Memory::now()?;
    for at in (0..LENGTH).step_by(page * EACH) {
        mapping.write(at, (sum % 251) as u8);
    }
    let written = Memory::now()?;
    for at in (0..LENGTH).step_by(page * EACH) {
        mapping.write(at + 1, 1);
    }
    let again = Memory::now()?;
    let step = |what, count: usize, before: &Memory, after: &Memory| Step {
        what,
        written: count as u64,
        copied: after.own.saturating_sub(begin.own),
        faults: Some(after.faults - before.faults),
    };
    let writes = LENGTH / (page * EACH);
    Ok(vec![
        step("mapped", 0, &begin, &mapped),
        step("read: a byte of each page", 0, &mapped, &read),
        step("written: a byte of each 16th page", writes, &read, &written),
        step("written once more to the same pages", writes, &written, &again),
    ])
}

/// The steps of a reflink clone (`ioctl_ficlone(2)`), and of a copy beside it. Where the file system of
/// `scratch` has no such clones, on an XFS of its own, which takes root and mkfs.xfs(8).
///
/// # Errors
///
/// There is no file system for it.
pub fn reflink(scratch: &Path) -> io::Result<(String, Vec<Step>)> {
    if clones(scratch)? {
        let steps = on(scratch)?;
        return Ok((format!("on the file system of {}", scratch.display()), steps));
    }
    let image = Image::make(scratch)?;
    Ok(("on an XFS made for it".to_owned(), on(image.path())?))
}

fn clones(folder: &Path) -> io::Result<bool> {
    let mut source = tempfile::tempfile_in(folder)?;
    source.write_all(&[1; 4096])?;
    let folder = File::open(folder)?;
    Ok(unnamed_file(folder.as_fd())
        .and_then(|target| clone_file(target.as_fd(), source.as_fd()))
        .is_ok())
}

fn on(folder: &Path) -> io::Result<Vec<Step>> {
    let mut source = tempfile::tempfile_in(folder)?;
    fill(&mut source)?;
    let target = tempfile::tempfile_in(folder)?;
    let begin = used(&source)?;
    clone_file(target.as_fd(), source.as_fd())?;
    let cloned = used(&source)?;
    let writes = LENGTH / (page_size() * EACH);
    for at in 0..writes {
        target.write_all_at(&[1], (at * page_size() * EACH) as u64)?;
    }
    let written = used(&source)?;
    // By hand: copy_file_range(2) would clone it.
    let mut copy = tempfile::tempfile_in(folder)?;
    let mut bytes = Vec::new();
    source.rewind()?;
    source.read_to_end(&mut bytes)?;
    // Or else more is set aside than is written, for what might come.
    copy.set_len(LENGTH as u64)?;
    copy.write_all(&bytes)?;
    let copied = used(&copy)?;
    drop(target); // not before: what it gives back it gives back late
    let step = |what, written: usize, before: u64, after: u64| Step {
        what,
        written: written as u64,
        copied: after.saturating_sub(before),
        faults: None,
    };
    Ok(vec![
        step("cloned", 0, begin, cloned),
        step("written: a byte of each 16th page", writes, begin, written),
        step("instead of a clone, a copy", LENGTH, written, copied),
    ])
}

/// Bytes of its file system that are taken, when all is written.
fn used(file: &File) -> io::Result<u64> {
    syncfs(file.as_fd())?;
    let state = fstatvfs(file.as_fd())?;
    Ok((state.f_blocks - state.f_bfree) * state.f_frsize)
}

fn fill(file: &mut File) -> io::Result<()> {
    let bytes: Vec<u8> = (0..LENGTH).map(|at| (at / 4096 % 251) as u8).collect();
    file.write_all(&bytes)?;
    file.sync_all()
}

/// This process's memory, as far as it is its own.
struct Memory {
    own: u64,
    faults: u64,
}

impl Memory {
    fn now() -> io::Result<Self> {
        let missing = || io::Error::other("/proc/self/status says nothing of memory");
        // In this order: reading the one is not to change the other.
        let stat = fs::read_to_string("/proc/self/stat")?;
        let status = fs::read_to_string("/proc/self/status")?;
        let own = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let own = own.and_then(|own| own.trim().strip_suffix(" kB")).ok_or_else(missing)?;
        let own: u64 = own.trim().parse().map_err(|_| missing())?;
        Ok(Self { own: own << 10, faults: minor_faults(&stat).ok_or_else(missing)? })
    }
}

/// The tenth field of `/proc/self/stat` (`proc_pid_stat(5)`); the second one may have anything in it.
fn minor_faults(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(7)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenth_field_is_the_tenth() {
        assert_eq!(minor_faults("1 (a) b) S 2 3 4 5 6 7 800 9"), Some(800));
        assert_eq!(minor_faults("1"), None);
    }

    #[test]
    fn what_is_written_is_copied_and_nothing_else() {
        let steps = private_mapping(Path::new("/var/tmp")).unwrap();
        let pages = (LENGTH / page_size() / EACH * page_size()) as u64;
        // The process has other memory as well, which other tests use beside this one.
        assert!(steps[2].copied >= pages, "{steps:?}");
        assert!(steps[2].faults >= Some(pages / page_size() as u64), "{steps:?}");
    }
}
