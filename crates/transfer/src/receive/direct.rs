//! direct: recv(2) into an aligned buffer, pwrite(2) with O_DIRECT from there: past the page cache.

use super::{
    ReceiveMethod::Direct,
    task::{Stop, Task, something},
};
use crate::method::is_refusal;
use rustix::io::Errno;
use sendrail_sys::{
    limits::page_size,
    open::{OpenFlags, reopen},
    pread::pwrite,
    stat::direct_alignment,
};
use std::{
    io,
    ops::Range,
    os::fd::{AsFd, OwnedFd},
};

/// Length of the buffer in bytes: a disk is told of so much at once.
pub(super) const BUFFER: usize = super::options::DIRECT_FROM as usize;

pub(super) fn run(task: &mut Task<'_>) -> Result<(), Stop> {
    let (direct, block) = open(task).map_err(Stop::Refused)?;
    let result = through(task, &direct, block);
    drop(direct);
    task.received.system_calls += 1; // close(2)
    result
}

/// The file once more, and what its offsets must be multiples of.
fn open(task: &mut Task<'_>) -> io::Result<(OwnedFd, usize)> {
    let file = task.file;
    let direct = task.call(|| reopen(file, OpenFlags::WRITE | OpenFlags::DIRECT))?;
    let said = task.call(|| direct_alignment(direct.as_fd())).ok().flatten();
    let page = page_size();
    let block = match said {
        // A kernel before 6.1. Nothing asks for more than a page.
        None => Some(page),
        // Whole pages, so that no page is written both ways.
        Some(said) if said.is_supported() && said.memory as usize <= page => {
            Some(page.max(said.offset as usize))
                .filter(|block| block.is_multiple_of(page) && BUFFER.is_multiple_of(*block))
        }
        // It would open, and write through the page cache after all (data journalling, for one).
        Some(_) => None,
    };
    if let Some(block) = block {
        return Ok((direct, block));
    }
    task.received.system_calls += 1; // close(2)
    Err(Errno::INVAL.into())
}

fn through(task: &mut Task<'_>, direct: &OwnedFd, block: usize) -> Result<(), Stop> {
    let mut memory = vec![0; BUFFER + page_size()];
    let lead = memory.as_ptr().align_offset(page_size());
    let buffer = &mut memory[lead..lead + BUFFER];
    loop {
        // Up to the next block, if it begins within one; then as much as there is room for.
        let within = (task.offset() % block as u64) as usize;
        let room = if within == 0 { BUFFER } else { block - within };
        let (filled, outcome) = fill(task, &mut buffer[..room]);
        // What was taken comes into the file before anything else is said.
        write(task, direct, block, &buffer[..filled])?;
        if filled > 0 {
            task.report()?;
        }
        match outcome {
            Filled::Room => {}
            Filled::End => return task.end(),
            Filled::Stopped(stop) => return Err(stop),
        }
    }
}

/// Why no more was taken into the buffer.
enum Filled {
    Room,
    End,
    Stopped(Stop),
}

fn fill(task: &mut Task<'_>, buffer: &mut [u8]) -> (usize, Filled) {
    let mut filled = 0;
    loop {
        let want = task.want(buffer.len() - filled);
        if want == 0 {
            // Either of the two is used up.
            let outcome = if filled == buffer.len() { Filled::Room } else { Filled::End };
            return (filled, outcome);
        }
        match task.take_into(&mut buffer[filled..filled + want]) {
            Ok(0) => return (filled, Filled::End),
            Ok(count) => filled += count,
            Err(stop) => return (filled, Filled::Stopped(stop)),
        }
    }
}

/// Writes what has come: whole blocks past the page cache, the rest through it.
fn write(task: &mut Task<'_>, direct: &OwnedFd, block: usize, bytes: &[u8]) -> Result<(), Stop> {
    let Range { start: mut at, end } = whole_blocks(task.offset(), bytes.len(), block);
    while at < end {
        let offset = task.offset();
        match task.call(|| pwrite(direct.as_fd(), &bytes[at..end], offset)).and_then(something) {
            Ok(count) => {
                task.wrote(Direct, count);
                at += count;
                if !count.is_multiple_of(block) {
                    break; // The rest of the buffer is not aligned any more.
                }
            }
            Err(error) if is_refusal(&error) => {
                task.write_out(Direct, &bytes[at..])?;
                task.report()?;
                return Err(Stop::Refused(error));
            }
            Err(error) => return Err(task.file_failed(error, bytes[at..].to_vec())),
        }
    }
    task.write_out(Direct, &bytes[at..])
}

/// Which of `len` bytes at `offset` can go past the page cache, from the first one on.
fn whole_blocks(offset: u64, len: usize, block: usize) -> Range<usize> {
    if offset.is_multiple_of(block as u64) { 0..len - len % block } else { 0..0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_blocks_at_their_places_go_past_the_page_cache() {
        for (offset, len, expected) in
            [(0, 4096, 4096), (0, 4095, 0), (8192, 10_000, 8192), (1, 8192, 0), (4096, 0, 0)]
        {
            assert_eq!(whole_blocks(offset, len, 4096), 0..expected, "{len} at {offset}");
        }
    }
}
