//! Prefetch: a little that is not in the page cache, read by the thread that has just waited for the
//! disk to find the file, so that its bytes do not cost a second trip there.

use super::Transfer;
use crate::{
    bulk::{self, DropBehind, Reader},
    method::{Method, Mover},
    plan::{self, Medium, Options, Plan, Reason},
    receipt::Receipt,
    residency::Residency,
    segment::{FileRange, Segment},
};
use sendrail_sys::pread::{ReadFlags, preadv2};
use std::{io::ErrorKind, os::fd::AsFd, sync::Arc};

/// The most that is read ahead of a transfer, in bytes: what `copy` keeps for one, too.
const MOST: u64 = Method::Copy.widest_call();

/// All of a range, in memory, for the transfer that comes to it: see [`Transfer::take`].
#[derive(Debug)]
pub struct Prefetched {
    range: FileRange,
    bytes: Vec<u8>,
    plan: Plan,
    receipt: Receipt,
}

impl Prefetched {
    /// Reads a range, if it is little (64 KiB at the most), on a disk, and not in the page cache. What
    /// is there is better sent from there, and what was asked to go another way goes that way.
    ///
    /// Waits for the disk: for a thread that may.
    ///
    /// ```
    /// use std::{fs::File, io::Write, sync::Arc};
    /// use sendrail_transfer::{FileRange, Options, Prefetched};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let mut file = tempfile::tempfile()?;
    /// file.write_all(b"just written, so it is in memory")?;
    /// let range = FileRange::new(Arc::new(file), 0, 32);
    /// assert!(Prefetched::of(&range, &Options::default()).is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn of(range: &FileRange, options: &Options) -> Option<Box<Self>> {
        let goes_by_itself = options.method.is_none()
            && options.drop_behind != DropBehind::Off
            && range.unchanged_since.is_none()
            && range.medium == Some(Medium::Disk)
            && (1..=MOST).contains(&range.len)
            && !plan::is_large(Medium::Disk, range.file_len(), options);
        if !goes_by_itself {
            return None;
        }
        let mut receipt = Receipt::default();
        let file = range.file.as_fd();
        let seen =
            Residency::look_counted(file, Medium::Disk, range.offset, range.len, &mut receipt);
        if seen.cold_bytes() == 0 {
            return None;
        }
        receipt.evidence.insert(seen.evidence);
        receipt.cold = seen.cold_bytes().min(range.len);
        let mut reader = Reader::enter(range, Medium::Disk, options, None, &mut receipt)?;
        // Before it is judged: each judgement counts as a request, and the transfer would be the second.
        if !reader.may_leave_no_trace() {
            return None;
        }
        let drops = !reader.stays();
        drop(reader);
        let method = if drops { Method::Uncached } else { Method::Copy };
        let flags = ReadFlags { dontcache: drops, nowait: false };
        let mut bytes = vec![0; range.len as usize];
        match receipt.call(|| preadv2(file, &mut bytes, range.offset, flags)) {
            Ok(count) if count == bytes.len() => {}
            // Whatever is out of the ordinary is met again by the transfer, which can name it.
            Ok(_) => return None,
            Err(error) => {
                // A disk that cannot read a block refuses nothing.
                if drops && matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput)
                {
                    bulk::little_is_refused(range);
                }
                return None;
            }
        }
        receipt.copied += range.len;
        receipt.disk_waits += 1;
        let plan = Plan { method, window: MOST, reason: Reason::Little };
        Some(Box::new(Self { range: range.clone(), bytes, plan, receipt }))
    }

    /// What it has cost: for one that no transfer takes.
    pub fn into_receipt(self) -> Receipt {
        self.receipt
    }
}

impl Transfer {
    /// Takes what has been read ahead, if it is what comes first in the chain. To be called before the
    /// first step.
    ///
    /// # Errors
    ///
    /// It is given back if something else comes first.
    ///
    /// ```
    /// use sendrail_transfer::{Chain, FileRange, Medium, Options, Prefetched, Transfer};
    /// use std::{fs::File, sync::Arc};
    ///
    /// // In a thread that has just waited for the disk to find the name.
    /// let range = FileRange::new(Arc::new(File::open("Cargo.toml")?), 0, 100).on(Medium::Disk);
    /// let prefetched = Prefetched::of(&range, &Options::default()); // None: it is in the page cache
    ///
    /// let mut chain = Chain::new();
    /// chain.push_file(range);
    /// let mut transfer = Transfer::new(chain, Options::default());
    /// if let Some(prefetched) = prefetched {
    ///     transfer.take(prefetched).expect("it is what comes first");
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn take(&mut self, prefetched: Box<Prefetched>) -> Result<(), Box<Prefetched>> {
        let Some(Segment::File(front)) = self.chain.front() else { return Err(prefetched) };
        let range = &prefetched.range;
        if !Arc::ptr_eq(&front.file, &range.file)
            || (front.offset, front.len) != (range.offset, range.len)
            || front.unchanged_since.is_some()
        {
            return Err(prefetched);
        }
        let Prefetched { range, bytes, plan, receipt } = *prefetched;
        self.past_cache = Some((range.offset + range.len, plan));
        self.mover = Some(Mover::that_has_read(plan.method, bytes));
        self.receipt.absorb(&receipt);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails

    use super::*;
    use crate::{
        chain::Chain,
        transfer::{Disk, Step},
    };
    use sendrail_sys::{
        cachestat::cachestat,
        fadvise::{Advice, fadvise},
    };
    use std::{
        fs::File,
        io::{Read, Write},
        os::unix::net::UnixStream,
    };

    const LEN: u64 = MOST;

    /// A range none of which is resident, or a line that says why there is none.
    fn cold(len: u64) -> Option<FileRange> {
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        file.sync_all().unwrap();
        fadvise(file.as_fd(), 0, len, Advice::DontNeed).unwrap();
        if cachestat(file.as_fd(), 0, len).map_or(true, |stat| stat.cached > 0) {
            eprintln!("skipped: nobody can say here that a file is not resident");
            return None;
        }
        Some(FileRange::new(Arc::new(file), 0, len).on(Medium::Disk))
    }

    fn dropping() -> Options {
        Options { drop_behind: DropBehind::On, ..Options::default() }
    }

    fn cached(file: &File) -> u64 {
        cachestat(file.as_fd(), 0, LEN).unwrap().cached
    }

    #[test]
    fn what_is_cold_is_read_and_sent_and_leaves_nothing() {
        let Some(range) = cold(LEN) else { return };
        let prefetched = Prefetched::of(&range, &dropping()).unwrap();
        if prefetched.plan.method == Method::Uncached {
            assert_eq!(cached(&range.file), 0);
        }
        let mut chain = Chain::new();
        chain.push_file(range);
        let mut transfer = Transfer::new(chain, dropping());
        transfer.take(prefetched).unwrap();
        let (socket, mut peer) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        let step = transfer.begin(&socket, b"head", Disk::MustNotWait);
        assert!(matches!(step, Step::Done), "{step:?}");
        drop(socket);
        let mut received = Vec::new();
        peer.read_to_end(&mut received).unwrap();
        assert_eq!(&received[..4], b"head");
        assert!(received[4..].iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8));
        let receipt = transfer.into_receipt();
        assert_eq!((receipt.cold, receipt.bytes, receipt.disk_waits), (LEN, LEN + 4, 1));
        assert_eq!(receipt.copied, 2 * LEN + 4, "into memory, and to the socket");
        assert!(receipt.methods.contains(Method::Uncached), "{receipt}");
    }

    #[test]
    fn what_may_stay_is_read_and_stays() {
        let Some(range) = cold(LEN) else { return };
        // By the second request a small file is popular.
        assert!(Prefetched::of(&range, &dropping()).is_some());
        assert_eq!(cached(&range.file), 0);
        let prefetched = Prefetched::of(&range, &dropping()).unwrap();
        assert_eq!(prefetched.plan.method, Method::Copy);
        assert_eq!(cached(&range.file), 16);
    }

    #[test]
    fn where_it_would_leave_a_trace_nothing_is_judged() {
        let Some(range) = cold(LEN) else { return };
        let mut receipt = Receipt::default();
        // Somebody else reads the same file.
        let other = Reader::enter(&range, Medium::Disk, &dropping(), None, &mut receipt);
        for _ in 0..3 {
            assert!(Prefetched::of(&range, &dropping()).is_none());
        }
        drop(other);
        // Three requests would have made it popular.
        let prefetched = Prefetched::of(&range, &dropping()).unwrap();
        assert_eq!(prefetched.plan.method, Method::Uncached);
    }

    #[test]
    fn what_has_its_own_way_is_left_alone() {
        let Some(range) = cold(LEN) else { return };
        let none = |range: &FileRange, options: &Options| {
            assert!(Prefetched::of(range, options).is_none(), "{range:?} {options:?}");
            assert_eq!(cached(&range.file), 0, "{options:?}");
        };
        none(&range, &Options { method: Some(Method::Sendfile), ..dropping() });
        none(&range, &Options { direct_above: Some(LEN), ..dropping() });
        none(&range, &Options { drop_behind: DropBehind::Off, ..dropping() });
        none(&range.clone().on(Medium::Overlay), &dropping());
        none(&range.clone().on(Medium::Remote), &dropping());
        let modified = sendrail_sys::stat::fstat(range.file.as_fd()).unwrap().modified;
        none(&range.clone().unchanged_since(modified, LEN), &dropping());
        none(&FileRange::new(Arc::clone(&range.file), 0, 0).on(Medium::Disk), &dropping());
        let Some(longer) = cold(LEN + 1) else { return };
        none(&longer, &dropping());
    }

    #[test]
    fn a_file_that_is_shorter_is_left_to_the_transfer() {
        let Some(range) = cold(LEN) else { return };
        range.file.set_len(LEN / 2).unwrap();
        assert!(Prefetched::of(&range, &dropping()).is_none());
    }

    #[test]
    fn only_the_transfer_of_that_range_takes_it() {
        let Some(range) = cold(LEN) else { return };
        let mut prefetched = Prefetched::of(&range, &dropping()).unwrap();
        let part = FileRange::new(Arc::clone(&range.file), 1, LEN - 1).on(Medium::Disk);
        let other = FileRange::new(Arc::new(tempfile::tempfile().unwrap()), 0, LEN);
        for front in [part, other] {
            let mut chain = Chain::new();
            chain.push_file(front);
            let mut transfer = Transfer::new(chain, dropping());
            prefetched = transfer.take(prefetched).unwrap_err();
            assert_eq!(transfer.receipt().system_calls, 0);
        }
        assert!(prefetched.into_receipt().system_calls >= 2);
    }
}
