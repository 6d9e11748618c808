//! What the tests share: files with known bytes, pairs of sockets, and a driver for the steps.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{SeekFrom, seek},
};
use sendrail_sys::{
    fadvise::{Advice, fadvise},
    limits::page_size,
    poll::wait_readable,
    sockopt::tcp_cork,
};
use sendrail_transfer::{
    Chain, Disk, FileFault, FileRange, Medium, Method, Options, Receipt, Residency, Step, Transfer,
    receipt::{Refusal, Tried},
};
use socket2::{Domain, Socket, Type};
use std::{
    fs::File,
    io::{Read, Write},
    net::{Shutdown, TcpListener},
    os::{fd::AsFd, unix::fs::FileExt},
    sync::Arc,
    time::Duration,
};

pub(crate) const PAGE: u64 = 4096;
/// A window that is small enough to have many of them.
pub(crate) const SMALL_WINDOW: u64 = 64 << 10;
/// No test waits that long unless something hangs.
pub(crate) const HANGS: Duration = Duration::from_secs(20);

/// The byte at `offset` of every test file. Its period is prime: no shift by a page or a window
/// looks right.
pub(crate) fn byte_at(offset: u64) -> u8 {
    (offset % 251) as u8 ^ (offset / 65_521) as u8
}

pub(crate) fn bytes_at(offset: u64, len: u64) -> Vec<u8> {
    (offset..offset + len).map(byte_at).collect()
}

/// An unnamed file of `len` bytes, on the file system of the build (/tmp may be in memory).
pub(crate) fn file_of(len: u64) -> Arc<File> {
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    file.write_all(&bytes_at(0, len)).unwrap();
    Arc::new(file)
}

/// A file of `len` bytes that is nothing but holes, but for the `islands`.
pub(crate) fn sparse_file(len: u64, islands: &[(u64, u64)]) -> Arc<File> {
    let file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    file.set_len(len).unwrap();
    for (offset, len) in islands {
        file.write_all_at(&bytes_at(*offset, *len), *offset).unwrap();
    }
    Arc::new(file)
}

pub(crate) fn whole(file: &Arc<File>) -> FileRange {
    FileRange::new(Arc::clone(file), 0, file.metadata().unwrap().len())
}

pub(crate) fn chain_of(range: FileRange) -> Chain {
    let mut chain = Chain::new();
    chain.push_file(range);
    chain
}

pub(crate) fn by(method: Method) -> Options {
    Options { method: Some(method), ..Options::default() }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Unix,
}

pub(crate) const KINDS: [Kind; 2] = [Kind::Tcp, Kind::Unix];

/// A connected pair, the sender's end non-blocking.
pub(crate) fn pair(kind: Kind) -> (Socket, Socket) {
    let (sender, reader): (Socket, Socket) = match kind {
        Kind::Unix => Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap(),
        Kind::Tcp => {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let reader = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (sender, _) = listener.accept().unwrap();
            sender.set_nodelay(true).unwrap();
            (sender.into(), reader.into())
        }
    };
    sender.set_nonblocking(true).unwrap();
    (sender, reader)
}

/// As little buffer as the kernel gives, so that nearly every call comes up short. (A tiny receive
/// buffer as well would test TCP's avoidance of silly windows, 200 ms at a time.)
pub(crate) fn tiny_buffer(sender: &Socket) {
    sender.set_send_buffer_size(1).unwrap();
}

/// Reads at most `most` bytes of what has arrived; waits for the first one.
pub(crate) fn read_some(reader: &mut Socket, most: usize, into: &mut Vec<u8>) -> usize {
    assert!(wait_readable(reader.as_fd(), Some(HANGS)).unwrap(), "nothing comes any more");
    let mut buffer = vec![0; most];
    let count = reader.read(&mut buffer).unwrap();
    into.extend_from_slice(&buffer[..count]);
    count
}

/// Reads exactly `len` bytes.
pub(crate) fn read_exactly(reader: &mut Socket, len: u64, into: &mut Vec<u8>) {
    let mut left = len as usize;
    while left > 0 {
        let count = read_some(reader, left.min(1 << 20), into);
        assert!(count > 0, "the stream ended {left} bytes early");
        left -= count;
    }
}

fn readable_before_writable(reader: &Socket, sender: &Socket) -> bool {
    let mut ends = [PollFd::new(reader, PollFlags::IN), PollFd::new(sender, PollFlags::OUT)];
    let limit = Timespec::try_from(HANGS).unwrap();
    assert!(poll(&mut ends, Some(&limit)).unwrap() > 0, "nothing comes and nothing goes any more");
    !ends[0].revents().is_empty()
}

/// How a driven transfer ended.
#[derive(Debug)]
pub(crate) enum End {
    Done,
    PeerGone,
    Failed(FileFault),
}

/// Steps a transfer to its end in one thread. Whenever the socket is full, reads at most `bite`
/// bytes and steps again at once, whether or not poll(2) would call the socket writable: the next
/// step then meets EAGAIN wherever it happens to stand.
pub(crate) fn drive(
    transfer: &mut Transfer,
    sender: &Socket,
    reader: &mut Socket,
    bite: usize,
    received: &mut Vec<u8>,
) -> End {
    loop {
        let before = transfer.remaining();
        match transfer.step(sender, Disk::MayWait) {
            Step::Done => return End::Done,
            Step::Yield => assert!(transfer.remaining() < before, "yields without progress spin"),
            Step::WaitSocket => {
                // All may have been read while its acknowledgement is still on the way.
                if readable_before_writable(reader, sender) {
                    assert!(read_some(reader, bite, received) > 0, "the stream ended early");
                }
            }
            Step::WaitDisk => panic!("a step that may wait for the disk never says so"),
            Step::PeerGone(_) => return End::PeerGone,
            Step::Failed(fault) => return End::Failed(fault),
        }
    }
}

/// Closes the sending side and reads what is left.
pub(crate) fn read_rest(sender: &Socket, reader: &mut Socket, received: &mut Vec<u8>) {
    sender.shutdown(Shutdown::Write).unwrap();
    while read_some(reader, 1 << 20, received) > 0 {}
}

/// Sends all of `chain` and gives back what arrived, with the receipt.
pub(crate) fn deliver(
    (sender, mut reader): (Socket, Socket),
    chain: Chain,
    options: Options,
    bite: usize,
) -> (Vec<u8>, Receipt) {
    let mut transfer = Transfer::new(chain, options);
    let mut received = Vec::new();
    let end = drive(&mut transfer, &sender, &mut reader, bite, &mut received);
    assert!(matches!(end, End::Done), "{end:?}");
    // A socket left corked would hold the next message back for 200 ms.
    assert!(!tcp_cork(sender.as_fd()).unwrap_or(false), "left corked");
    let receipt = transfer.into_receipt();
    read_rest(&sender, &mut reader, &mut received);
    assert_eq!(receipt.bytes, received.len() as u64, "{receipt}");
    (received, receipt)
}

/// How often `method` copies a byte between user and kernel memory.
pub(crate) fn copies(method: Method) -> u64 {
    match method {
        Method::Copy | Method::Uncached => 2,
        Method::Mapped | Method::Direct => 1,
        Method::Sendfile | Method::Splice => 0,
        _ => panic!("nobody has said how often {method} copies"),
    }
}

/// What was copied is what came from memory, and each byte of a file as often as the method says. What a full socket did
/// not take, `uncached` may have to read again, up to an eighth.
#[track_caller]
pub(crate) fn assert_copied(
    receipt: &Receipt,
    from_memory: u64,
    from_files: u64,
    method: Method,
    context: &dyn std::fmt::Debug,
) {
    let least = from_memory + from_files * copies(method);
    let again = if method == Method::Uncached { from_files / 8 } else { 0 };
    assert!((least..=least + again).contains(&receipt.copied), "{context:?} {receipt}");
}

/// The methods that look into the page cache, and wait for the disk if they find nothing there.
pub(crate) const CACHED: [Method; 5] =
    [Method::Copy, Method::Uncached, Method::Mapped, Method::Sendfile, Method::Splice];

/// The methods that are not refused here, on the file system of the build; says which are, and why.
pub(crate) fn usable_methods() -> impl Iterator<Item = Method> {
    let file = file_of(10_000);
    Method::ALL.into_iter().filter(move |method| {
        let (_, receipt) = deliver(pair(Kind::Tcp), chain_of(whole(&file)), by(*method), 1 << 20);
        let refusal = refused_methods(&receipt).into_iter().next();
        refusal.inspect(|refusal| eprintln!("skipped: {refusal}")).is_none()
    })
}

/// The methods that were refused. (That io_uring is, as in many containers, is no method's refusal.)
pub(crate) fn refused_methods(receipt: &Receipt) -> Vec<Refusal> {
    receipt.refusals.iter().filter(|refusal| refusal.tried != Tried::IoUring).collect()
}

/// `assert_eq!` for long byte strings: tells where they part instead of printing both.
#[track_caller]
pub(crate) fn assert_same(received: &[u8], expected: &[u8], context: &dyn std::fmt::Debug) {
    let parts = received.iter().zip(expected).position(|(got, want)| got != want);
    assert_eq!(parts, None, "the first byte that differs, {context:?}");
    assert_eq!(received.len(), expected.len(), "length, {context:?}");
}

/// Evicts a file from the page cache and turns its read-ahead off, so that only what is read
/// becomes resident; or says why the test cannot run.
pub(crate) fn evict(file: &File) -> Result<(), &'static str> {
    let len = file.metadata().unwrap().len();
    file.sync_all().unwrap();
    fadvise(file.as_fd(), 0, 0, Advice::Random).unwrap();
    fadvise(file.as_fd(), 0, 0, Advice::DontNeed).unwrap();
    assert_eq!(page_size() as u64, PAGE);
    let look = Residency::look(file, Medium::Disk, 0, len);
    if look.resident == 0 { Ok(()) } else { Err("this file system does not evict its pages") }
}

/// Leaves the file where a careless reader would have: no method may care.
pub(crate) fn move_position(file: &File) {
    seek(file, SeekFrom::Start(12_345)).unwrap();
}
