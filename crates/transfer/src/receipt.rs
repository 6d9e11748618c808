//! The receipt: what a transfer cost, counted while it happened.

use crate::{method::Method, residency::EvidenceSet};
use std::{fmt, io};

/// What a transfer cost.
///
/// Every figure is counted at the place where it arises; nothing is derived from what should have
/// happened. The test `receipts_match_strace` holds the system calls against an outside observer.
///
/// Figures will be added.
///
/// ```
/// use sendrail_transfer::{Chain, FileRange, Method, Options, blocking};
/// use std::{fs::File, os::unix::net::UnixStream, sync::Arc};
///
/// let (socket, _peer) = UnixStream::pair()?;
/// let mut chain = Chain::new();
/// chain.push_bytes("a head, ");
/// chain.push_file(FileRange::new(Arc::new(File::open("Cargo.toml")?), 0, 100));
/// let options = Options { method: Some(Method::Sendfile), ..Options::default() };
/// let receipt = blocking::send(&socket, chain, options)?;
///
/// assert_eq!((receipt.bytes, receipt.file_bytes, receipt.copied), (108, 100, 8));
/// assert!(receipt.methods.contains(Method::Sendfile));
/// assert_eq!(receipt.refusals.iter().count(), 0);
/// assert!(receipt.system_calls >= 2); // the head, the file, and looks at what lies where
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Receipt {
    /// Bytes that the socket took, heads and boundaries included.
    pub bytes: u64,
    /// Of those, bytes that came from files.
    pub file_bytes: u64,
    /// The methods by which file bytes left. Small ranges that left several at a time were copied.
    pub methods: MethodSet,
    /// System calls made for this transfer: sends, reads, socket options, looks at the page cache,
    /// waits of the blocking front. Calls that a signal interrupted (EINTR) or that the kernel refused
    /// are calls too; those that the kernel itself restarts (SA_RESTART) are one. What an event loop
    /// or a runtime does to wait for many transfers at once is not in here.
    pub system_calls: u64,
    /// Bytes that the CPU copied between user and kernel memory, each crossing counted once:
    /// read+write counts every byte twice, mmap+write and direct I/O once, sendfile and splice not at all.
    /// What was gathered from small ranges is read+write too, and if the socket was full then, what it
    /// did not take has been read in vain.
    /// (A network device without scatter-gather makes the kernel copy once more, out of our sight.)
    pub copied: u64,
    /// File bytes that were not in the page cache when the engine looked.
    pub cold: u64,
    /// What the engine knew that by. Empty if it never looked: all was said to be resident, or from
    /// memory.
    pub evidence: EvidenceSet,
    /// How often the transfer had to wait until the socket took more.
    pub socket_waits: u32,
    /// How often a window was handed to a thread that may sleep on the disk.
    pub disk_waits: u32,
    /// Methods that the kernel refused, oldest first.
    pub refusals: Refusals,
}

impl Receipt {
    /// Adds what another transfer has cost: for a message that is sent in parts, each by a transfer of its own.
    ///
    /// ```
    /// use sendrail_transfer::{Options, Receipt, Transfer};
    /// use std::os::unix::net::UnixStream;
    ///
    /// let (socket, _peer) = UnixStream::pair()?;
    /// socket.set_nonblocking(true)?;
    /// let mut all = Receipt::default();
    /// for part in [&b"what was there"[..], b"what came later"] {
    ///     all.add(&Transfer::send_whole(&socket, part, &Options::default()).expect("there is room"));
    /// }
    /// assert_eq!((all.bytes, all.system_calls), (29, 2));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn add(&mut self, part: &Self) {
        self.absorb(part);
        self.bytes += part.bytes;
        self.file_bytes += part.file_bytes;
        self.methods.0 |= part.methods.0;
        self.socket_waits += part.socket_waits;
        for refusal in part.refusals.iter() {
            self.refusals.push(refusal);
        }
    }

    /// Counts bytes that the socket took from user memory.
    pub(crate) fn count_from_memory(&mut self, sent: usize) {
        self.bytes += sent as u64;
        self.copied += sent as u64;
    }

    pub(crate) fn count_from_file(&mut self, method: Method, bytes: u64) {
        self.bytes += bytes;
        self.file_bytes += bytes;
        self.methods.insert(method);
    }

    /// Counts what was done for this transfer before it began.
    pub(crate) fn absorb(&mut self, before: &Self) {
        self.system_calls += before.system_calls;
        self.copied += before.copied;
        self.cold += before.cold;
        self.disk_waits += before.disk_waits;
        self.evidence.extend(before.evidence);
    }

    /// Runs one system call, again if a signal interrupted it (EINTR), and counts each try.
    pub(crate) fn call<T>(&mut self, mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            self.system_calls += 1;
            match call() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl fmt::Display for Receipt {
    /// `sendfile calls=3 copied=250 cold=0 waits=0/0`: waits for the socket, then for the disk. Then
    /// `known=cachestat`, if it looked whether the file was resident, and what was refused.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} calls={} copied={} cold={} waits={}/{}",
            self.methods,
            self.system_calls,
            self.copied,
            self.cold,
            self.socket_waits,
            self.disk_waits
        )?;
        if !self.evidence.is_empty() {
            write!(f, " known={}", self.evidence)?;
        }
        for refusal in self.refusals.iter() {
            write!(f, " {refusal}")?;
        }
        Ok(())
    }
}

/// The methods that moved at least one byte.
///
/// ```
/// use sendrail_transfer::{Method, receipt::{MethodSet, Way}};
/// let none = MethodSet::default();
/// assert!(none.is_empty() && !none.contains(Method::Copy) && !none.went(Way::Ring));
/// assert_eq!(none.to_string(), "memory");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MethodSet(u8);

/// The way that `direct` reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Way {
    /// `io_uring(7)`.
    Ring = 6,
    /// `pread(2)`, where no ring is to be had.
    Pread = 7,
}

// A bit for each method and for each way.
const _: () = assert!(Method::ALL.len() <= Way::Ring as usize);

impl MethodSet {
    pub(crate) fn insert(&mut self, method: Method) {
        self.0 |= 1 << method as u8;
    }

    pub(crate) fn insert_way(&mut self, way: Way) {
        self.0 |= 1 << way as u8;
    }

    /// Whether `direct` has read this way.
    pub fn went(self, way: Way) -> bool {
        self.0 & (1 << way as u8) != 0
    }

    /// Whether bytes left by `method`.
    pub fn contains(self, method: Method) -> bool {
        self.0 & (1 << method as u8) != 0
    }

    /// Whether no file byte has left: an answer from memory, or none at all.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for MethodSet {
    /// `sendfile`, `sendfile+copy`, or `memory` when no file byte has left. `direct` is by io_uring,
    /// `direct(pread)` without it, and where both had their part it is `direct+direct(pread)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("memory");
        }
        let names =
            Method::ALL.iter().filter(|method| self.contains(**method)).flat_map(|method| {
                let by_pread = *method == Method::Direct && self.went(Way::Pread);
                let by_itself = !by_pread || self.went(Way::Ring);
                [by_itself.then_some(method.name()), by_pread.then_some("direct(pread)")]
            });
        for (place, name) in names.flatten().enumerate() {
            write!(f, "{}{name}", if place == 0 { "" } else { "+" })?;
        }
        Ok(())
    }
}

/// What the kernel, the file system or the socket refused, and what it said.
///
/// ```
/// use sendrail_transfer::{Method, receipt::Refusal};
/// assert_eq!(Refusal::of(Method::Sendfile, 22).to_string(), "refused=sendfile:EINVAL");
/// assert_eq!(Refusal::of_ring(1).to_string(), "refused=io_uring:EPERM");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// What was tried.
    pub tried: Tried,
    /// The errno with which it was refused.
    pub errno: i32,
}

/// What can be refused: a method, for which another takes over; or what a method would rather use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tried {
    /// The method itself.
    Method(Method),
    /// A ring for `direct`, which then reads by `pread(2)`; also one that broke later.
    IoUring,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method(method) => method.fmt(f),
            Self::IoUring => f.write_str("io_uring"),
        }
    }
}

impl Refusal {
    /// The refusal of a method.
    pub fn of(method: Method, errno: i32) -> Self {
        Self { tried: Tried::Method(method), errno }
    }

    /// The refusal of a ring.
    pub fn of_ring(errno: i32) -> Self {
        Self { tried: Tried::IoUring, errno }
    }
}

impl fmt::Display for Refusal {
    /// `refused=sendfile:EINVAL(22)` style, without spaces, so that a log line stays splittable.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused={}:{}", self.tried, ErrnoName(self.errno))
    }
}

pub(crate) struct ErrnoName(pub(crate) i32);

impl fmt::Display for ErrnoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The few with which Linux refuses a method; anything else keeps its number.
        let name = match self.0 {
            1 => "EPERM",
            2 => "ENOENT",
            9 => "EBADF",
            12 => "ENOMEM",
            13 => "EACCES",
            18 => "EXDEV",
            19 => "ENODEV",
            22 => "EINVAL",
            23 => "ENFILE",
            24 => "EMFILE",
            25 => "ENOTTY",
            29 => "ESPIPE",
            38 => "ENOSYS",
            62 => "ETIME",
            95 => "EOPNOTSUPP",
            other => return write!(f, "{other}"),
        };
        f.write_str(name)
    }
}

/// The refusals of one transfer: the first of each method and of a ring. `copy`, below which there is
/// nothing, leaves room for the ring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refusals([Option<Refusal>; Method::ALL.len()]);

impl Refusals {
    pub(crate) fn push(&mut self, refusal: Refusal) {
        if self.iter().any(|known| known.tried == refusal.tried) {
            return;
        }
        if let Some(free) = self.0.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(refusal);
        }
    }

    /// The refusals, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Refusal> + '_ {
        self.0.iter().flatten().copied()
    }

    pub(crate) fn contains(&self, method: Method) -> bool {
        self.iter().any(|refusal| refusal.tried == Tried::Method(method))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_call_is_made_again_and_counted() {
        let mut receipt = Receipt::default();
        let mut tries = 0;
        let result = receipt.call(|| {
            tries += 1;
            if tries < 4 { Err(io::ErrorKind::Interrupted.into()) } else { Ok(tries) }
        });
        assert_eq!(result.ok(), Some(4));
        assert_eq!(receipt.system_calls, 4);
    }

    #[test]
    fn reads_as_one_line() {
        let mut receipt = Receipt { system_calls: 5, copied: 20, ..Receipt::default() };
        assert_eq!(receipt.to_string(), "memory calls=5 copied=20 cold=0 waits=0/0");
        receipt.methods.insert(Method::Copy);
        receipt.refusals.push(Refusal::of(Method::Sendfile, 22));
        receipt.refusals.push(Refusal::of(Method::Sendfile, 22));
        receipt.refusals.push(Refusal::of_ring(1));
        assert_eq!(
            receipt.to_string(),
            "copy calls=5 copied=20 cold=0 waits=0/0 refused=sendfile:EINVAL refused=io_uring:EPERM"
        );
    }

    #[test]
    fn parts_add_up() {
        let part = |method, errno| {
            let mut part = Receipt { bytes: 3, file_bytes: 2, copied: 1, ..Receipt::default() };
            (part.system_calls, part.socket_waits, part.disk_waits, part.cold) = (4, 5, 6, 7);
            part.methods.insert(method);
            part.refusals.push(Refusal::of(Method::Splice, errno));
            part
        };
        let mut all = part(Method::Copy, 22);
        all.add(&part(Method::Sendfile, 1));
        assert_eq!((all.bytes, all.file_bytes, all.copied, all.cold), (6, 4, 2, 14));
        assert_eq!((all.system_calls, all.socket_waits, all.disk_waits), (8, 10, 12));
        assert!(all.methods.contains(Method::Copy) && all.methods.contains(Method::Sendfile));
        assert_eq!(all.refusals.iter().collect::<Vec<_>>(), [Refusal::of(Method::Splice, 22)]);
    }

    #[test]
    fn names_the_way_of_direct_reads() {
        for (ways, expected) in [
            (&[Way::Ring][..], "copy+direct+splice"),
            (&[Way::Pread], "copy+direct(pread)+splice"),
            (&[Way::Pread, Way::Ring], "copy+direct+direct(pread)+splice"),
        ] {
            let mut methods = MethodSet::default();
            for method in [Method::Splice, Method::Direct, Method::Copy] {
                methods.insert(method);
            }
            for way in ways {
                methods.insert_way(*way);
            }
            assert_eq!(methods.to_string(), expected);
            assert!(methods.went(ways[0]) && !methods.contains(Method::Mapped));
        }
    }

    #[test]
    fn there_is_room_for_a_refusal_of_everything() {
        let mut refusals = Refusals::default();
        refusals.push(Refusal::of_ring(1));
        refusals.push(Refusal::of_ring(62));
        for method in Method::ALL.into_iter().filter(|method| method.next_best().is_some()) {
            refusals.push(Refusal::of(method, 22));
            assert!(refusals.contains(method), "else it would be tried for ever: {method}");
        }
    }
}
