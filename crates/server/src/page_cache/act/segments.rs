//! Which parts of a file are data: holes have nothing on the disk that could be brought in.

use crate::page_cache::walk::Found;
use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};
use std::{ops::Range, os::fd::AsFd};

/// The parts of `range` that hold data, in order. All of it where the file system does not tell (`lseek(2)`, SEEK_DATA).
pub(super) fn data_segments(
    file: impl AsFd,
    range: &Range<u64>,
) -> impl Iterator<Item = Range<u64>> {
    let mut at = range.start;
    let end = range.end;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let data = match seek(file.as_fd(), SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(Errno::NXIO) => end, // nothing but a hole up to the end
            Err(_) => at,
        };
        if data >= end {
            at = end;
            return None;
        }
        // There is always a hole at the end of the file; one before where we stand would be a kernel's mistake.
        let hole = seek(file.as_fd(), SeekFrom::Hole(data)).unwrap_or(end);
        at = if hole > data { hole.min(end) } else { end };
        Some(data..at)
    })
}

/// How many bytes of `range` hold data. Asks only for files that take less on the disk than their size.
pub(in crate::page_cache) fn data_bytes(found: &Found, range: &Range<u64>) -> u64 {
    let Some(file) = &found.file else { return 0 };
    if found.allocated >= found.len {
        return range.end - range.start;
    }
    data_segments(file, range).map(|segment| segment.end - segment.start).sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails
    #![allow(clippy::single_range_in_vec_init)] // a list of one segment is meant
    use super::*;
    use std::{fs::File, os::unix::fs::FileExt};

    #[test]
    fn holes_are_left_out() {
        let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let file = File::from(file);
        file.set_len(100 << 20).unwrap();
        file.write_all_at(&[1; 8192], 10 << 20).unwrap();
        file.write_all_at(&[1; 4096], 50 << 20).unwrap();
        let page = sendrail_sys::limits::page_size() as u64;
        let segments = |range| data_segments(&file, &range).collect::<Vec<_>>();
        let (one, other) = (10 << 20, 50 << 20);
        let round = |len: u64| len.div_ceil(page) * page;
        let all = [one..one + round(8192), other..other + round(4096)];
        assert_eq!(segments(0..100 << 20), all);
        assert_eq!(segments(0..200 << 20), all, "the file may have become shorter");
        assert_eq!(segments(one + 1..one + 2), vec![one + 1..one + 2]);
        assert_eq!(segments(60 << 20..100 << 20), []);
        assert_eq!(segments(7..7), []);
    }

    #[test]
    fn what_cannot_seek_is_all_data() {
        let (pipe, _other) = rustix::pipe::pipe().unwrap();
        assert_eq!(data_segments(&pipe, &(5..9)).collect::<Vec<_>>(), vec![5..9]);
    }
}
