//! What the articles on zero copy assert of each way of sending a file.

use crate::{
    link::Link,
    way::{Front, Reading, Way},
};

/// The usual table: for one pass of the bytes from the disk to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asserted {
    /// Crossings of the border between user and kernel, in either direction.
    pub switches: u32,
    /// Copies by the processor.
    pub cpu_copies: u32,
    /// Copies by devices (DMA).
    pub dma_copies: u32,
}

/// What is asserted of a way, if anything is.
pub fn asserted(way: Way, link: Link) -> Option<Asserted> {
    let row = |switches, cpu_copies| Some(Asserted { switches, cpu_copies, dma_copies: 2 });
    match way {
        Way::Sendfile | Way::Splice | Way::Front(_) if link == Link::NotGathering => row(2, 1),
        Way::ReadWrite { .. } => row(4, 2),
        Way::MmapWrite => row(4, 1),
        Way::Sendfile | Way::Splice | Way::Front(_) => row(2, 0),
        Way::ReadZerocopy { .. }
        | Way::MmapZerocopy { .. }
        | Way::RingRead
        | Way::DirectZerocopy
        | Way::Uncached
        | Way::Direct
        | Way::Sendrail
        | Way::Checksum(_)
        | Way::Known => None,
    }
}

/// Why what is measured differs from what is asserted, where it always does.
pub fn remark(way: Way) -> &'static str {
    match way {
        Way::ReadWrite { .. } => {
            "four switches are one pass: a read and a write for each buffer. How many passes there are is \
             the size of the buffer"
        }
        Way::MmapWrite => {
            "two calls, and one that takes the mapping away again. Pages that are met for the first time are \
             faults, several at once; within the call they cross no border, but they cost time, which the \
             articles leave out"
        }
        Way::Sendfile => "one call for up to 2 GiB; it waits for the socket within",
        Way::Splice => {
            "two calls for each pass, into a pipe (of 64 KiB here, as pipes are) and out of it: four switches, not two"
        }
        Way::ReadZerocopy { .. } => {
            "one copy by reading, none by sending, but pages are pinned and reports awaited. To a receiver on \
             the same machine the kernel copies after all, when it delivers (forced); to another machine, \
             with scatter-gather, it does not"
        }
        Way::MmapZerocopy { .. } => {
            "nothing is read and nothing copied into packets: pages of the file are pinned where they lie. To a \
             receiver on the same machine the kernel copies when it delivers (forced), and sendfile does not"
        }
        Way::RingRead => {
            "read+write whose reads are begun ahead: asynchronous, and the same two copies. What does not wait is \
             the thread; a copy is a copy"
        }
        Way::Uncached => "read+write whose pages do not stay; the articles do not know it",
        Way::Direct => {
            "past the page cache into a buffer of the process, and from there copied into packets: one \
             copy, which the articles leave out when they recommend it"
        }
        Way::DirectZerocopy => {
            "no copy at all: the disk writes into the buffers, and packets point to them. To a receiver on the same \
             machine the kernel copies when it delivers (forced)"
        }
        Way::Sendrail => {
            "looks whether the bytes are in the page cache, sends them without a copy, and gives back what it \
             brought in"
        }
        Way::Front(Front::Blocking) => "the thread waits within its calls",
        Way::Front(Front::NonBlocking) => {
            "a call takes what the socket has room for; then poll(2) waits for more, which is one call more"
        }
        Way::Front(Front::Asynchronous) => {
            "one thread for all tasks, which waits in epoll(7) for any of them; what is not in memory is sent by \
             another thread, which may sleep on the disk"
        }
        Way::Checksum(Reading::Nothing) => {
            "the checksum alone, of as many bytes that lie in memory"
        }
        Way::Checksum(Reading::Read) => {
            "one copy into a buffer that stays in the processor's cache"
        }
        Way::Checksum(Reading::Mmap) => {
            "no copy, but page faults: for each, the kernel is entered once and some pages are mapped"
        }
        Way::Checksum(Reading::Direct) => {
            "no copy by the processor: the disk writes into the buffers, each time anew, and the page cache is \
             not touched"
        }
        Way::Known => "what it does is known",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classical_rows_are_there() {
        let copies = |way| {
            asserted(way, Link::Loopback).map(|row| (row.switches, row.cpu_copies, row.dma_copies))
        };
        assert_eq!(copies(Way::ReadWrite { buffer: 65_536 }), Some((4, 2, 2)));
        assert_eq!(copies(Way::MmapWrite), Some((4, 1, 2)));
        assert_eq!(copies(Way::Sendfile), Some((2, 0, 2)));
        assert_eq!(copies(Way::Direct), None);
        let without = asserted(Way::Sendfile, Link::NotGathering).map(|row| row.cpu_copies);
        assert_eq!(without, Some(1));
        for way in Way::ALL.into_iter().chain(Way::FRONTS).chain(Way::CHECKSUMS) {
            assert!(!remark(way).is_empty());
        }
    }
}
