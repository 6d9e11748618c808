//! The chain: the queue of segments of one message, sent as one gather.

use crate::{
    plan::Medium,
    segment::{FileRange, Segment},
};
use bytes::Bytes;
use std::{collections::VecDeque, io::IoSlice};

/// The segments of one message, in the order of the wire.
///
/// Cloning it clones the handles (`Bytes`, `Arc<File>`), no byte of what is to be sent.
///
/// ```
/// use sendrail_transfer::{Chain, FileRange, Segment};
/// use std::{fs::File, sync::Arc};
///
/// let file = Arc::new(File::open("Cargo.toml")?);
/// let mut chain = Chain::new();
/// chain.push_bytes("--boundary\r\n\r\n");
/// chain.push_file(FileRange::new(Arc::clone(&file), 0, 100));
/// chain.push_bytes(""); // dropped: it is empty
/// chain.push(Segment::File(FileRange::new(file, 200, 50)));
/// assert_eq!(chain.remaining(), 164);
/// assert_eq!(chain.segments().count(), 3);
/// assert!(!chain.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Chain {
    /// Kept apart from the rest, so that the usual chain (one file) allocates nothing.
    front: Option<Segment>,
    rest: VecDeque<Segment>,
    remaining: u64,
}

impl Chain {
    /// An empty chain. Allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends bytes in memory.
    pub fn push_bytes(&mut self, bytes: impl Into<Bytes>) {
        self.push(Segment::Bytes(bytes.into()));
    }

    /// Appends a range of a file.
    pub fn push_file(&mut self, range: FileRange) {
        self.push(Segment::File(range));
    }

    /// Appends a segment. An empty one is dropped.
    pub fn push(&mut self, segment: Segment) {
        if segment.is_empty() {
            return;
        }
        self.remaining += segment.len();
        if self.front.is_none() {
            self.front = Some(segment);
        } else {
            self.rest.push_back(segment);
        }
    }

    /// Puts bytes before everything else: the part of a head that the socket did not take.
    pub(crate) fn push_front_bytes(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.remaining += bytes.len() as u64;
        if let Some(second) = self.front.replace(Segment::Bytes(bytes)) {
            self.rest.push_front(second);
        }
    }

    /// Bytes that are still to be sent.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Whether everything has been sent.
    pub fn is_empty(&self) -> bool {
        self.front.is_none()
    }

    /// The segments that are still to be sent.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.front.iter().chain(&self.rest)
    }

    pub(crate) fn front(&self) -> Option<&Segment> {
        self.front.as_ref()
    }

    /// Whether more follows behind the front segment.
    pub(crate) fn continues(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Notes what the front range lies on, so that it is asked once.
    pub(crate) fn set_front_medium(&mut self, medium: Medium) {
        if let Some(Segment::File(range)) = &mut self.front {
            range.medium = Some(medium);
        }
    }

    /// Fills `slices` with the bytes in memory that stand at the front, up to the next file.
    /// Says how many slices were filled, how many bytes they are, and whether more follows.
    pub(crate) fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> (usize, usize, bool) {
        let (mut used, mut bytes) = (0, 0);
        let mut segments = self.segments();
        loop {
            match segments.next() {
                None => return (used, bytes, false),
                Some(Segment::Bytes(piece)) if used < slices.len() => {
                    slices[used] = IoSlice::new(piece);
                    used += 1;
                    bytes += piece.len();
                }
                Some(_) => return (used, bytes, true),
            }
        }
    }

    /// Takes `bytes` off the front, dropping the segments that are finished.
    pub(crate) fn advance(&mut self, mut bytes: u64) {
        debug_assert!(bytes <= self.remaining, "no more can be sent than was there");
        self.remaining -= bytes;
        while let Some(front) = &mut self.front {
            let len = front.len();
            if bytes < len {
                match front {
                    Segment::Bytes(piece) => {
                        let _ = piece.split_to(bytes as usize);
                    }
                    Segment::File(range) => range.advance(bytes),
                }
                return;
            }
            bytes -= len;
            self.front = self.rest.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gathers_bytes_up_to_the_next_file() {
        let mut chain = Chain::new();
        chain.push_bytes("ab");
        chain.push_bytes("");
        chain.push_bytes("cd");
        let file = std::sync::Arc::new(tempfile::tempfile().expect("a temporary file"));
        chain.push_file(FileRange::new(file, 5, 10));
        chain.push_bytes("ef");

        let mut slices = [IoSlice::new(b""); 8];
        assert_eq!(chain.gather(&mut slices), (2, 4, true));
        chain.advance(3);
        let mut slices = [IoSlice::new(b""); 8];
        assert_eq!(chain.gather(&mut slices), (1, 1, true));
        assert_eq!(&*slices[0], b"d");

        chain.advance(4);
        let Some(Segment::File(range)) = chain.front() else { panic!("the file comes next") };
        assert_eq!((range.offset(), range.len(), chain.remaining()), (8, 7, 9));
        chain.advance(9);
        assert!(chain.is_empty() && chain.remaining() == 0);
    }

    #[test]
    fn an_unsent_head_goes_before_everything() {
        let mut chain = Chain::new();
        chain.push_bytes("body");
        chain.push_front_bytes(Bytes::from_static(b"head "));
        let mut slices = [IoSlice::new(b""); 8];
        assert_eq!(chain.gather(&mut slices), (2, 9, false));
        assert_eq!((&*slices[0], &*slices[1]), (&b"head "[..], &b"body"[..]));
    }
}
