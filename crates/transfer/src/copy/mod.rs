//! Copying from file to file, by the cheapest way the kernel offers, with a receipt.
//!
//! | method | call | since | what happens to the bytes |
//! |---|---|---|---|
//! | `clone` | FICLONERANGE, `ioctl_ficlonerange(2)` | 4.5: btrfs, XFS, bcachefs, and others | nothing: the files share the blocks |
//! | `copy_file_range` | `copy_file_range(2)` | 4.5; within one file system | shared, copied by a server (NFS 4.2, SMB), or once in the kernel |
//! | `splice` | `splice(2)` through a pipe of 1 MiB | 2.6.17 | copied once in the kernel |
//! | `buffered` | `pread(2)` and `pwrite(2)` | always | copied twice |
//!
//! The first that is not refused is taken. Refused is: `clone` where blocks cannot be shared (EOPNOTSUPP, EXDEV, EINVAL); it is tried if
//! both offsets are multiples of 4096. `copy_file_range` from one file system to another (EXDEV) and for files without a length, as in `/proc`.
//! The receipt says what was, and why.
//!
//! Holes stay holes, where the source says that it has some (`lseek(2)`, SEEK_DATA) and the target can (`fallocate(2)`,
//! FALLOC_FL_PUNCH_HOLE).

mod copied;
mod sparse;
mod task;

pub use crate::{
    receive::Progress,
    refused::{Refused, Why},
};
pub use copied::{Copied, CopyError, CopyFault, CopyMethod, CopyOptions};

use crate::{ceiling::Ceiling, segment::FileRange};
use rustix::{
    fs::{OFlags, fcntl_getfl, ftruncate},
    io::Errno,
};
use sendrail_sys::{
    reflink::clone_range,
    stat::{Stat, fstat},
};
use sparse::{Holes, Piece, skip};
use std::{fs::File, ops::ControlFlow, os::fd::AsFd};
use task::{Stop, Task};

/// What file systems that share blocks have blocks of, at the least. Of larger ones they say EINVAL.
const BLOCK: u64 = 4096;

/// Copies a range of a file into `target`, from byte `offset` there. Neither file's position moves, and the target keeps what
/// it has around that; it may be the same file, if the ranges do not overlap.
///
/// It says nothing of the disk: whoever wants the copy to survive a power failure calls fsync(2).
///
/// # Errors
///
/// [`CopyError`] says which file failed, or that the source is shorter than the range, and how many bytes of it the target has.
/// A `target` that was opened with O_APPEND has to end at `offset`. Of a source that was to be of one version
/// ([`FileRange::unchanged_since`]) it is looked before and after whether it still is: [`CopyFault::Changed`].
///
/// ```
/// use std::{fs::File, io::Write, sync::Arc};
/// use sendrail_transfer::{FileRange, copy::{CopyFault, CopyOptions, copy_file}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (mut source, mut target) = (tempfile::tempfile()?, tempfile::tempfile()?);
/// source.write_all(b"0123456789")?;
/// let source = Arc::new(source);
///
/// let range = FileRange::new(Arc::clone(&source), 2, 5);
/// let receipt = copy_file(&range, &target, 1, &CopyOptions::default())?;
/// assert_eq!(receipt.bytes, 5);
/// println!("{receipt}"); // copy_file_range calls=5 copied=0 holes=0
/// assert_eq!(std::io::read_to_string(&mut target)?, "\x0023456");
///
/// let too_long = FileRange::new(source, 8, 5);
/// let error = copy_file(&too_long, &target, 0, &CopyOptions::default()).unwrap_err();
/// assert!(matches!(error.fault, CopyFault::TooShort { expected: 5, copied: 2 }));
/// # Ok(())
/// # }
/// ```
pub fn copy_file(
    source: &FileRange,
    target: &File,
    offset: u64,
    options: &CopyOptions,
) -> Result<Copied, CopyError> {
    copy_file_with_progress(source, target, offset, options, &mut |_| ControlFlow::Continue(()))
}

/// The same, and calls `progress` with the bytes that the target has whenever they are more (after at most 64 MiB; a clone is
/// made at once). If that breaks off, the error is [`CopyFault::Stopped`].
///
/// ```
/// use std::{io::Write, ops::ControlFlow, sync::Arc};
/// use sendrail_transfer::{FileRange, copy::{CopyOptions, copy_file_with_progress}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut source = tempfile::tempfile()?;
/// source.write_all(&[7; 100_000])?;
/// let range = FileRange::new(Arc::new(source), 0, 100_000);
/// let (target, options) = (tempfile::tempfile()?, CopyOptions::default());
/// let mut percent = 0;
/// copy_file_with_progress(&range, &target, 0, &options, &mut |bytes| {
///     percent = bytes * 100 / range.len();
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!(percent, 100);
/// # Ok(())
/// # }
/// ```
pub fn copy_file_with_progress(
    source: &FileRange,
    target: &File,
    offset: u64,
    options: &CopyOptions,
    progress: &mut Progress<'_>,
) -> Result<Copied, CopyError> {
    let progress = &mut |bytes| progress(bytes);
    let mut task = Task {
        source: source.file.as_fd(),
        from: source.offset,
        target: target.as_fd(),
        to: offset,
        len: source.len,
        copied: Copied::default(),
        ceiling: Ceiling::NONE,
        progress,
    };
    let result = if source.is_empty() { Ok(()) } else { run(&mut task, source, options) };
    match result {
        Ok(()) => Ok(task.copied),
        Err(fault) => Err(CopyError { fault, receipt: Box::new(task.copied) }),
    }
}

/// What is found out before a byte is copied.
struct Ends {
    source: Stat,
    /// The target's length.
    target_len: u64,
    appends: bool,
}

fn look(task: &mut Task<'_>) -> Result<Ends, Stop> {
    let (source, target) = (task.source, task.target);
    let end = |start: u64| start.checked_add(task.len).and_then(|end| i64::try_from(end).ok());
    if end(task.to).is_none() {
        return Err(task.target_failed(Errno::FBIG.into())); // offsets are signed to the kernel
    }
    let mode = task.call(|| Ok(fcntl_getfl(target)?)).map_err(|error| task.target_failed(error))?;
    if mode & OFlags::RWMODE == OFlags::RDONLY {
        return Err(task.target_failed(Errno::BADF.into()));
    }
    task.ceiling = Ceiling::of(target, &mut task.copied.system_calls);
    task.room(1)?;
    let of_source = task.call(|| fstat(source)).map_err(|error| task.source_failed(error))?;
    let of_target = task.call(|| fstat(target)).map_err(|error| task.target_failed(error))?;
    let appends = mode.contains(OFlags::APPEND);
    if appends && of_target.len != task.to {
        return Err(task.target_failed(Errno::INVAL.into()));
    }
    let one = (of_source.device, of_source.inode) == (of_target.device, of_target.inode);
    if one && task.from.abs_diff(task.to) < task.len {
        return Err(CopyFault::Overlap.into());
    }
    Ok(Ends { source: of_source, target_len: of_target.len, appends })
}

/// Whether the source is the version that the range must be of, if it must.
fn check_version(range: &FileRange, now: &Stat) -> Result<(), CopyFault> {
    match range.unchanged_since {
        Some(modified) if (modified, range.file_len()) != (now.modified, now.len) => {
            Err(CopyFault::Changed)
        }
        _ => Ok(()),
    }
}

fn run(task: &mut Task<'_>, range: &FileRange, options: &CopyOptions) -> Result<(), CopyFault> {
    let stopped = |stop| match stop {
        Stop::Fault(fault) => fault,
        Stop::Refused(_) => unreachable!("nobody is refused before a method is tried"),
    };
    let ends = look(task).map_err(stopped)?;
    check_version(range, &ends.source)?;
    copy(task, &ends, options)?;
    if range.unchanged_since.is_some() {
        let source = task.source;
        let now =
            task.call(|| fstat(source)).map_err(|error| stopped(task.source_failed(error)))?;
        check_version(range, &now)?;
    }
    Ok(())
}

fn copy(task: &mut Task<'_>, ends: &Ends, options: &CopyOptions) -> Result<(), CopyFault> {
    let aligned = task.from.is_multiple_of(BLOCK) && task.to.is_multiple_of(BLOCK);
    let usual = if aligned { CopyMethod::Clone } else { CopyMethod::CopyFileRange };
    let mut method = options.method.unwrap_or(usual);
    if ends.appends && method != CopyMethod::Buffered {
        task.copied.refusals.push(Refused { method, why: Why::Append });
        method = CopyMethod::Buffered;
    }
    if method == CopyMethod::Clone {
        match clone_all(task) {
            Ok(()) => return Ok(()),
            Err(Stop::Fault(fault)) => return Err(fault),
            Err(Stop::Refused(why)) => task.copied.refusals.push(Refused { method, why }),
        }
        method = CopyMethod::CopyFileRange;
    }
    let mut holes = Holes::of(&ends.source, task);
    let result = by_pieces(task, &mut holes, ends, method);
    holes.forget(task);
    let lengthened = lengthen(task, ends);
    result.and(lengthened)
}

fn clone_all(task: &mut Task<'_>) -> Result<(), Stop> {
    let (source, from, target, to, len) = (task.source, task.from, task.target, task.to, task.len);
    // Whatever it says: a call that copies says it again, or does not.
    task.call(|| clone_range(target, to, source, from, len))
        .map_err(|error| Stop::Refused(Why::of(&error)))?;
    task.moved(CopyMethod::Clone, len);
    task.report()
}

fn by_pieces(
    task: &mut Task<'_>,
    holes: &mut Holes,
    ends: &Ends,
    first: CopyMethod,
) -> Result<(), CopyFault> {
    let mut method = first;
    while task.left() > 0 {
        let piece = holes.next(task);
        // O_APPEND writes at the end: a hole would have to be there first.
        let may_skip = piece.hole && !ends.appends;
        match may_skip.then(|| skip(task, piece, ends.target_len)) {
            Some(Ok(true)) => continue,
            Some(Err(Stop::Fault(fault))) => return Err(fault),
            Some(Ok(false) | Err(Stop::Refused(_))) => holes.forget(task), // zeros, then
            None => {}
        }
        method = copy_piece(task, piece, method)?;
    }
    Ok(())
}

/// Copies a piece by this method, or those that take over; which one is the next piece's.
fn copy_piece(
    task: &mut Task<'_>,
    piece: Piece,
    first: CopyMethod,
) -> Result<CopyMethod, CopyFault> {
    let mut method = first;
    loop {
        match (task.copy_by(method, piece.until), method.next_best()) {
            (Ok(()), _) => return Ok(method),
            (Err(Stop::Fault(fault)), _) => return Err(fault),
            (Err(Stop::Refused(why)), Some(next)) => {
                task.copied.refusals.push(Refused { method, why });
                method = next;
            }
            (Err(Stop::Refused(_)), None) => unreachable!("buffered refuses nothing"),
        }
    }
}

/// A hole at the end of what was copied is there only if the target reaches so far.
fn lengthen(task: &mut Task<'_>, ends: &Ends) -> Result<(), CopyFault> {
    let (target, end) = (task.target, task.writes_at());
    if task.copied.holes == 0 || end <= ends.target_len {
        return Ok(());
    }
    let failed = |error, offset| CopyFault::Target { error, offset };
    let len = task.call(|| fstat(target)).map_err(|error| failed(error, end))?.len;
    if len >= end {
        return Ok(());
    }
    let last = task.ceiling.room(end - 1, 1);
    if let Err(error) = last.and_then(|_| task.call(|| Ok(ftruncate(target, end)?))) {
        let there = len.max(task.to);
        let missing = end - there;
        task.copied.bytes -= missing;
        task.copied.holes -= missing;
        return Err(failed(error, there));
    }
    Ok(())
}
