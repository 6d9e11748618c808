//! The seam between a socket and a file: the engine's receiving, so many bytes at a time, never deaf to a signal.

use super::{account::Account, failure::Failure, wire::Wire};
use rustix::event::PollFlags;
use sendrail_sys::send::recv;
use sendrail_transfer::receive::{
    LITTLE, RangeInto, ReceiveFault, ReceiveMethod, ReceiveOptions, Received,
    recv_file_with_progress,
};
use std::{
    fs::File,
    io,
    ops::ControlFlow,
    time::{Duration, Instant},
};

/// What is copied at once to standard output, in bytes.
const BUFFER: usize = 256 << 10;
/// So many bytes are waited for (SO_RCVLOWAT, socket(7)), that are sure to come: a sender that is slower than this side would
/// else be answered by two calls for each packet.
const SOME: u32 = 256 << 10;
/// For so long: then what is there is taken, and it is looked for a signal.
const GLANCE: Duration = Duration::from_millis(250);

/// Why it did not come so far.
#[derive(Debug)]
pub(super) enum Stuck {
    /// The connection.
    Wire(Failure),
    /// The file: what was done to it, and what the kernel said.
    File(&'static str, io::Error),
}

impl Stuck {
    /// Of a file, as people know it.
    pub(super) fn of_file(self, shown: &str) -> Failure {
        match self {
            Self::Wire(failure) => failure,
            Self::File(doing, error) => Failure::Local(format!("{shown}: {doing} failed: {error}")),
        }
    }

    /// Of standard output.
    pub(super) fn of_stdout(self) -> Failure {
        match self {
            Self::Wire(failure) => failure,
            Self::File(_, error) if error.kind() == io::ErrorKind::BrokenPipe => {
                Failure::Local("who reads standard output has closed it".into())
            }
            Self::File(_, error) => {
                Failure::Local(format!("cannot write to standard output: {error}"))
            }
        }
    }
}

impl From<Failure> for Stuck {
    fn from(failure: Failure) -> Self {
        Self::Wire(failure)
    }
}

/// Receives `len` bytes into `file` at `offset`; without a length, all until the end of the stream. How many that were.
/// `moved`: so many more are in the file.
pub(super) fn receive_into(
    wire: &Wire,
    file: &File,
    offset: u64,
    len: Option<u64>,
    account: &mut Account,
    mut moved: impl FnMut(u64) -> io::Result<()>,
) -> Result<u64, Stuck> {
    // Into new files it costs what a buffer does, by a third of the calls (docs/decisions/0012-receiving.md).
    let method = len.is_none_or(|len| len > LITTLE).then_some(ReceiveMethod::Splice);
    let options = ReceiveOptions { method, timeout: Some(GLANCE), ..ReceiveOptions::default() };
    let (mut done, mut heard) = (0, Instant::now());
    loop {
        let left = len.map(|len| len - done);
        if left == Some(0) {
            return Ok(done);
        }
        // The last ones come alone, and what follows them may be waited for in vain.
        let before_last = left.and_then(|left| left.checked_sub(SOME.into())).filter(|&it| it > 0);
        // The end of the stream can always be heard.
        wire.wait_for(if left.is_none() || before_last.is_some() { SOME } else { 1 });
        let range = RangeInto { offset: offset + done, len: before_last.or(left) };
        let (mut told, mut fault) = (0, None);
        let received =
            recv_file_with_progress(wire.socket(), file, range, &options, &mut |bytes| {
                let more = bytes - told;
                told = bytes;
                fault = moved(more).err();
                if fault.is_some() || wire.look().is_err() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
        let (receipt, stopped) = match received {
            Ok(receipt) => (receipt, None),
            Err(error) => (*error.receipt, Some(error.fault)),
        };
        let Received { bytes, .. } = receipt;
        account.reception(&receipt);
        done += bytes;
        if bytes > 0 {
            heard = Instant::now();
        }
        if let Some(error) = fault {
            return Err(Stuck::File("writing it out", error));
        }
        match stopped {
            None if left.is_none() => return Ok(done),
            None => {}
            Some(ReceiveFault::TimedOut) => {
                wire.look()?;
                wire.is_patient(heard)?;
            }
            Some(ReceiveFault::File { error, .. }) => return Err(Stuck::File("writing", error)),
            Some(ReceiveFault::Socket(error)) => return Err(Failure::broke(&error).into()),
            Some(ReceiveFault::TooShort { .. }) => return Err(Failure::closed().into()),
            Some(_) => wire.look()?, // a signal
        }
    }
}

/// Receives `len` bytes and gives them to `take`, piece by piece; without a length, all until the end of the stream.
pub(super) fn receive_for(
    wire: &Wire,
    len: Option<u64>,
    account: &mut Account,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<u64, Stuck> {
    let mut buffer = vec![0; len.map_or(BUFFER, |len| len.min(BUFFER as u64) as usize)];
    let mut done = 0;
    wire.wait_for(1);
    while len != Some(done) {
        let want = len.map_or(BUFFER, |len| (len - done).min(BUFFER as u64) as usize);
        account.calls += 1;
        let count = match recv(wire.socket(), &mut buffer[..want]) {
            Ok(0) if len.is_none() => break,
            Ok(0) => return Err(Failure::closed().into()),
            Ok(count) => count,
            Err(error) => {
                wire.wait_after(&error, PollFlags::IN, None)?;
                continue;
            }
        };
        take(&buffer[..count]).map_err(|error| Stuck::File("write(2)", error))?;
        account.method("copy");
        account.calls += 1;
        account.copied += 2 * count as u64;
        account.bytes += count as u64;
        done += count as u64;
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails
    use super::*;
    use crate::page_cache::interrupt::Stop;
    use std::{
        io::{Read, Seek, Write},
        net::{TcpListener, TcpStream},
        thread,
    };

    /// Sends `bytes` to a wire from another thread.
    fn wire_with(bytes: Vec<u8>) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        thread::spawn(move || peer.write_all(&bytes));
        Wire::new(listener.accept().unwrap().0, Stop::default(), None).unwrap()
    }

    fn content(file: &mut File) -> Vec<u8> {
        let mut content = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut content).unwrap();
        content
    }

    #[test]
    fn exactly_so_many_bytes_go_into_the_file() {
        // Longer and shorter than what is waited for at once.
        for len in [1, 70_000, u64::from(SOME), u64::from(SOME) + 1, 3_000_001] {
            let bytes: Vec<u8> = (0..len as u32 + 5).map(|at| (at % 251) as u8).collect();
            let wire = wire_with(bytes.clone());
            let (mut file, mut account) = (tempfile::tempfile().unwrap(), Account::new());
            let mut told = 0;
            let done = receive_into(&wire, &file, 3, Some(len), &mut account, |more| {
                told += more;
                Ok(())
            });
            assert_eq!((done.unwrap(), told, account.bytes), (len, len, len));
            assert_eq!(content(&mut file)[3..], bytes[..len as usize]);
            let mut rest = [0; 5];
            wire.read_exact(&mut rest, None).unwrap();
            assert_eq!(rest, bytes[len as usize..], "what follows is still there");
        }
    }

    #[test]
    fn without_a_length_the_end_of_the_stream_is_the_end() {
        let bytes: Vec<u8> = (0..1_000_001_u32).map(|at| (at % 251) as u8).collect();
        let (file, mut account) = (tempfile::tempfile().unwrap(), Account::new());
        let wire = wire_with(bytes.clone());
        let done = receive_into(&wire, &file, 0, None, &mut account, |_| Ok(()));
        assert_eq!(done.unwrap(), 1_000_001);
        assert_eq!(content(&mut { file }), bytes);
        let (wire, mut copied) = (wire_with(bytes.clone()), Vec::new());
        let done = receive_for(&wire, None, &mut account, |some| {
            copied.extend_from_slice(some);
            Ok(())
        });
        assert_eq!((done.unwrap(), copied), (1_000_001, bytes));
    }

    #[test]
    fn the_end_of_the_connection_is_no_end_of_the_file() {
        let wire = wire_with(vec![7; 1000]);
        let (file, mut account) = (tempfile::tempfile().unwrap(), Account::new());
        let result = receive_into(&wire, &file, 0, Some(1001), &mut account, |_| Ok(()));
        assert!(matches!(result, Err(Stuck::Wire(Failure::Connection(_)))));
    }

    #[test]
    fn what_comes_drop_by_drop_is_taken_before_there_is_much() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let wire = Wire::new(listener.accept().unwrap().0, Stop::default(), None).unwrap();
        let (file, mut account) = (tempfile::tempfile().unwrap(), Account::new());
        peer.write_all(&[7; 1000]).unwrap();
        let (told, tell) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            // Only when it has been taken comes the rest.
            assert_eq!(tell.recv().unwrap(), 1000);
            peer.write_all(&vec![7; 999_000]).unwrap();
        });
        receive_into(&wire, &file, 0, Some(1_000_000), &mut account, |more| {
            let _ = told.send(more);
            Ok(())
        })
        .unwrap();
        thread.join().unwrap();
    }

    #[test]
    fn a_peer_that_says_nothing_is_given_up_and_one_that_says_little_is_not() {
        let idle = Some(Duration::from_millis(600));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let wire = Wire::new(listener.accept().unwrap().0, Stop::default(), idle).unwrap();
        let (file, mut account) = (tempfile::tempfile().unwrap(), Account::new());
        let (told, tell) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            // Ten times in all, which is longer than the limit.
            for _ in 0..9 {
                peer.write_all(&[7; 10]).unwrap();
                tell.recv().unwrap();
            }
            peer
        });
        let result = receive_into(&wire, &file, 0, Some(1000), &mut account, |_| {
            let _ = told.send(());
            Ok(())
        });
        drop(thread.join().unwrap());
        let Err(Stuck::Wire(failure)) = result else { panic!("it has given up: {result:?}") };
        assert!(failure.to_string().contains("has said nothing for 0.6 s"), "{failure}");
        assert_eq!(account.bytes, 90);
        assert!(matches!(wire.hear(None), Err(Failure::Connection(_))), "nor a message");
    }

    #[test]
    fn a_full_disk_is_the_files_fault() {
        let Ok(full) = File::options().read(true).write(true).open("/dev/full") else {
            eprintln!("skipped: there is no /dev/full");
            return;
        };
        let (wire, mut account) = (wire_with(vec![7; 1000]), Account::new());
        let result = receive_into(&wire, &full, 0, Some(1000), &mut account, |_| Ok(()));
        let Err(Stuck::File(_, error)) = result else { panic!("it is full: {result:?}") };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
