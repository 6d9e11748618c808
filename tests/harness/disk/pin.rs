//! Keeps what is hot hot: the kernel may evict a page for reasons of its own, also while memory is free
//! (DAMON, `reclaim.rst` of the kernel's documentation), but none that a pipe refers to.

use sendrail_sys::splice::{Pipe, splice_from_file};
use std::{fs::File, os::fd::AsFd, path::Path};

/// Pages of files, held in pipes by `splice(2)`.
#[must_use]
pub(crate) struct Pinned(Vec<Pipe>);

impl Pinned {
    /// Reads files in, and holds every page of theirs until this is dropped.
    pub(crate) fn all_of<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Self {
        let mut pipes = Vec::new();
        for path in paths {
            let file = File::open(path.as_ref()).unwrap();
            let len = file.metadata().unwrap().len();
            let mut offset = 0;
            while offset < len {
                let pipe = Pipe::with_capacity(1 << 20).unwrap();
                let before = offset;
                // As much as a pipe holds. One that is full takes nothing, and does not wait.
                while offset < len
                    && let Ok(moved @ 1..) =
                        splice_from_file(file.as_fd(), offset, &pipe, (len - offset) as usize)
                {
                    offset += moved as u64;
                }
                assert!(offset > before, "{} cannot be held", path.as_ref().display());
                pipes.push(pipe);
            }
        }
        Self(pipes)
    }
}
