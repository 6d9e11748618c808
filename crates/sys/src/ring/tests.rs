//! The ring against files, and against pipes, whose reads stay in flight for as long as a test wants.
#![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use super::*;
use crate::open::{OpenFlags, reopen};
use crate::testing::{errno, file_with, pattern};

const LEN: usize = 64 << 10;
/// No test waits that long unless something hangs.
const HANGS: Duration = Duration::from_mins(1);

/// A ring of four buffers, or a line that says why there is none.
fn ring() -> Option<ReadRing> {
    match ReadRing::new(4, LEN) {
        Ok(ring) => Some(ring),
        Err(NoRing { error, .. }) => {
            eprintln!("skipped: no io_uring here: {error}");
            None
        }
    }
}

fn read(buffer: usize, offset: u64, len: usize) -> Read {
    Read { buffer, offset, len }
}

/// Waits for as many reads as are in flight; the results by buffer.
fn finish(ring: &mut ReadRing) -> Vec<(usize, io::Result<usize>)> {
    let mut all = Vec::new();
    while ring.in_flight() > 0 {
        match ring.completed() {
            Some(Completed { buffer, result }) => all.push((buffer, result)),
            None => match ring.wait(HANGS) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => outcome.unwrap(),
            },
        }
    }
    all.sort_by_key(|(buffer, _)| *buffer);
    all
}

#[test]
fn several_reads_at_once_fill_their_buffers() {
    let Some(mut ring) = ring() else { return };
    let bytes = pattern(200_000);
    let file = file_with(&bytes);
    let places = [(0, 5, LEN), (1, 150_000, 10_000), (2, 190_000, LEN), (3, 200_000, 100)];
    for _ in 0..3 {
        let reads = places.map(|(buffer, offset, len)| read(buffer, offset, len));
        ring.submit(file.as_fd(), &reads).unwrap();
        assert_eq!(ring.in_flight(), 4);
        let done: Vec<_> = finish(&mut ring)
            .into_iter()
            .map(|(buffer, result)| (buffer, result.unwrap()))
            .collect();
        assert_eq!(done, [(0, LEN), (1, 10_000), (2, 10_000), (3, 0)]);
        for ((buffer, offset, _), (_, count)) in places.iter().zip(done) {
            let (from, contents) = (*offset as usize, ring.contents(*buffer).unwrap());
            assert_eq!(contents[..count], bytes[from..from + count], "buffer {buffer}");
        }
        assert!(ring.completed().is_none() && ring.is_sound());
    }
}

#[test]
fn direct_reads_want_alignment_and_leave_the_file_to_itself() {
    let Some(mut ring) = ring() else { return };
    let bytes = pattern(100_000);
    let file = file_with(&bytes);
    file.sync_all().unwrap();
    let direct = match reopen(file.as_fd(), OpenFlags::READ | OpenFlags::DIRECT) {
        Ok(direct) => direct,
        Err(error) => {
            eprintln!("skipped: no O_DIRECT in the temporary directory: {error}");
            return;
        }
    };
    ring.submit(direct.as_fd(), &[read(0, 0, LEN), read(1, LEN as u64, LEN), read(2, 1, 511)])
        .unwrap();
    // The kernel has a reference of its own.
    drop(direct);
    let mut done = finish(&mut ring);
    let (_, misaligned) = done.pop().unwrap();
    assert_eq!(done[0].1.as_ref().unwrap(), &LEN);
    assert_eq!(done[1].1.as_ref().unwrap(), &(100_000 - LEN), "the last block is short");
    assert_eq!(ring.contents(0).unwrap(), &bytes[..LEN]);
    assert_eq!(ring.contents(1).unwrap()[..100_000 - LEN], bytes[LEN..]);
    match misaligned {
        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EINVAL)),
        Ok(count) => eprintln!("skipped: this file system reads {count} bytes at any offset"),
    }
}

#[test]
fn a_buffer_is_the_kernels_while_its_read_is_under_way() {
    let Some(mut ring) = ring() else { return };
    let (pipe, mut writer) = io::pipe().unwrap();
    ring.submit(pipe.as_fd(), &[read(2, 0, 10)]).unwrap();
    assert!(ring.contents(2).is_none() && ring.contents(1).is_some());
    assert!(ring.completed().is_none());
    match ring.wait(Duration::from_millis(5)) {
        Err(error) if error.raw_os_error() == Some(libc::ETIME) => {}
        outcome => panic!("{outcome:?}"),
    }
    let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        ring.submit(pipe.as_fd(), &[read(2, 0, 10)])
    }));
    assert!(again.is_err(), "two reads into one buffer");
    writer.write_all(b"abc").unwrap();
    assert!(matches!(&finish(&mut ring)[..], [(2, Ok(3))]));
    assert_eq!(&ring.contents(2).unwrap()[..4], b"abc\0");
}

#[test]
fn nothing_is_waited_for_that_was_not_begun() {
    let Some(mut ring) = ring() else { return };
    assert_eq!(errno(ring.wait(HANGS)), libc::EINVAL);
    assert!(ring.completed().is_none());
}

#[test]
fn a_ring_goes_from_thread_to_thread_with_reads_in_flight() {
    let Some(mut ring) = ring() else { return };
    let bytes = pattern(LEN * 4);
    let file = file_with(&bytes);
    for round in 0..20 {
        let reads = [0, 1, 2, 3].map(|buffer| read(buffer, (buffer * LEN) as u64, LEN));
        // The thread that begins them is gone when they are waited for.
        ring = std::thread::scope(|scope| {
            let submit = || {
                ring.submit(file.as_fd(), &reads).unwrap();
                ring
            };
            scope.spawn(submit).join().unwrap()
        });
        for (buffer, result) in finish(&mut ring) {
            match result {
                Ok(count) => {
                    assert_eq!(count, LEN, "round {round}");
                    let at = buffer * LEN;
                    assert_eq!(ring.contents(buffer).unwrap(), &bytes[at..at + LEN]);
                }
                Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ECANCELED)),
            }
        }
    }
}

#[test]
fn memory_that_takes_the_place_of_a_dropped_ring_stays_as_it_is() {
    for _ in 0..20 {
        let Some(mut ring) = ring() else { return };
        let (pipe, mut writer) = io::pipe().unwrap();
        let (base, len) = (ring.buffers.start(0), ring.buffers() * ring.buffer_len());
        ring.submit(pipe.as_fd(), &[0, 1, 2, 3].map(|buffer| read(buffer, 0, 4096))).unwrap();
        drop(ring);
        let mapped = map_at(base, len);
        let _ = writer.write_all(&[0xab; 16 << 10]);
        assert!(mapped.iter().all(|byte| *byte == 0), "the kernel wrote to what is not its own");
        drop(pipe);
        unmap(mapped);
    }
}

/// Fresh memory at an address where a mapping has just ended. (Where another thread was faster, at another one.)
fn map_at(base: *mut u8, len: usize) -> &'static mut [u8] {
    let access = rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE;
    // SAFETY: without MAP_FIXED the address is a wish, which the kernel grants where nothing is mapped.
    let mapped = unsafe {
        rustix::mm::mmap_anonymous(base.cast(), len, access, rustix::mm::MapFlags::PRIVATE).unwrap()
    };
    // SAFETY: just mapped, so long, full of zeros, and nobody else's.
    unsafe { std::slice::from_raw_parts_mut(mapped.cast(), len) }
}

fn unmap(memory: &'static mut [u8]) {
    // SAFETY: exactly what `map_at` mapped, and nothing refers to it any more.
    unsafe { rustix::mm::munmap(memory.as_mut_ptr().cast(), memory.len()).unwrap() }
}

#[test]
fn buffers_that_make_no_sense_are_refused() {
    for (count, len) in [(0, LEN), (4, 0), (4, 1000), (2, usize::MAX & !4095)] {
        let Err(NoRing { error, .. }) = ReadRing::new(count, len) else {
            panic!("{count} buffers of {len} bytes")
        };
        assert!(error.raw_os_error().is_some(), "{error}");
    }
}

#[test]
fn a_descriptor_that_cannot_be_read_is_a_result_and_no_panic() {
    let Some(mut ring) = ring() else { return };
    let directory = File::open("/").unwrap();
    ring.submit(directory.as_fd(), &[read(0, 0, 4096)]).unwrap();
    let done = finish(&mut ring);
    assert_eq!(done[0].1.as_ref().unwrap_err().raw_os_error(), Some(libc::EISDIR));
}
