//! The seam between a socket and a file: moves so many bytes from the one into the other, without a copy where it can.

use super::{account::Account, failure::Failure, wire::Wire};
use rustix::event::PollFlags;
use sendrail_sys::{
    pread::pwrite,
    send::recv,
    splice::{Pipe, splice_from_socket, splice_to_file},
};
use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd},
};

/// What the pipe holds, in bytes.
const PIPE: usize = 1 << 20;
/// What is copied at once, in bytes.
const BUFFER: usize = 256 << 10;

/// Why it did not come so far.
#[derive(Debug)]
pub(super) enum Stuck {
    /// The connection.
    Wire(Failure),
    /// The file: what was done to it, and what the kernel said.
    File(&'static str, io::Error),
}

/// What is needed to receive into files, one after the other. What is in the pipe never stays there between two calls.
#[derive(Default)]
pub(super) struct Receiving {
    pipe: Option<Pipe>,
    buffer: Vec<u8>,
    /// splice(2) was refused: by this file system or this socket, as good as for all of one exchange.
    must_copy: bool,
}

impl Receiving {
    /// Receives `len` bytes into `file` at `offset`. `moved`: so many more are in the file.
    pub(super) fn receive_into(
        &mut self,
        wire: &Wire,
        file: &File,
        mut offset: u64,
        len: u64,
        account: &mut Account,
        mut moved: impl FnMut(u64),
    ) -> Result<(), Stuck> {
        let end = offset + len;
        while offset < end {
            let count = if self.must_copy {
                self.copy(wire, file, offset, end - offset, account)?
            } else {
                self.splice(wire, file, offset, end - offset, account)?
            };
            offset += count;
            account.bytes += count;
            moved(count);
        }
        Ok(())
    }

    fn splice(
        &mut self,
        wire: &Wire,
        file: &File,
        offset: u64,
        len: u64,
        account: &mut Account,
    ) -> Result<u64, Stuck> {
        let is_new = self.pipe.is_none();
        let pipe = if let Ok(pipe) = self.pipe.take().map_or_else(|| Pipe::with_capacity(PIPE), Ok)
        {
            account.calls += if is_new { u64::from(pipe.system_calls()) } else { 0 };
            self.pipe.insert(pipe)
        } else {
            self.must_copy = true; // no descriptor left, or no memory
            return Ok(0);
        };
        account.calls += 1;
        let want = len.min(pipe.capacity() as u64) as usize;
        let inside = match splice_from_socket(wire.socket(), pipe, want) {
            Ok(0) => return Err(Stuck::Wire(Failure::closed())),
            Ok(inside) => inside,
            Err(error) if is_refusal(&error) => {
                self.must_copy = true;
                return Ok(0);
            }
            Err(error) => {
                wire.wait_after(&error, PollFlags::IN, None).map_err(Stuck::Wire)?;
                return Ok(0);
            }
        };
        let mut done = 0;
        while done < inside {
            account.calls += 1;
            match splice_to_file(pipe, file.as_fd(), offset + done as u64, inside - done) {
                Ok(0) => return Err(stuck("splice(2)", io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    account.method("splice");
                    done += count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_refusal(&error) => {
                    // What is in the pipe has left the socket for good.
                    self.must_copy = true;
                    rescue(pipe.read_end(), file, offset + done as u64, inside - done, account)?;
                    done = inside;
                }
                Err(error) => return Err(stuck("splice(2)", error)),
            }
        }
        Ok(done as u64)
    }

    fn copy(
        &mut self,
        wire: &Wire,
        file: &File,
        offset: u64,
        len: u64,
        account: &mut Account,
    ) -> Result<u64, Stuck> {
        let count = self.fetch(wire, len, account).map_err(Stuck::Wire)?;
        write(file, &self.buffer[..count], offset, account)?;
        Ok(count as u64)
    }

    /// Receives some bytes, at most `len`; perhaps none yet.
    fn fetch(&mut self, wire: &Wire, len: u64, account: &mut Account) -> Result<usize, Failure> {
        self.buffer.resize(BUFFER, 0);
        let want = len.min(BUFFER as u64) as usize;
        account.calls += 1;
        match recv(wire.socket(), &mut self.buffer[..want]) {
            Ok(0) => Err(Failure::closed()),
            Ok(count) => {
                account.copied += count as u64;
                account.method("copy");
                Ok(count)
            }
            Err(error) => wire.wait_after(&error, PollFlags::IN, None).map(|()| 0),
        }
    }

    /// Receives `len` bytes and gives them to `take`, piece by piece.
    pub(super) fn receive_for(
        &mut self,
        wire: &Wire,
        len: u64,
        account: &mut Account,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), Stuck> {
        let mut left = len;
        while left > 0 {
            let count = self.fetch(wire, left, account).map_err(Stuck::Wire)?;
            take(&self.buffer[..count]).map_err(|error| stuck("write(2)", error))?;
            account.calls += 1;
            account.copied += count as u64;
            account.bytes += count as u64;
            left -= count as u64;
        }
        Ok(())
    }
}

fn rescue(
    pipe: BorrowedFd<'_>,
    file: &File,
    mut offset: u64,
    mut len: usize,
    account: &mut Account,
) -> Result<(), Stuck> {
    let mut buffer = vec![0; len.min(BUFFER)];
    while len > 0 {
        let want = len.min(buffer.len());
        account.calls += 1;
        let count = match rustix::io::read(pipe, &mut buffer[..want]) {
            Ok(0) => return Err(stuck("read(2)", io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(stuck("read(2)", error.into())),
        };
        account.copied += count as u64;
        account.method("copy");
        write(file, &buffer[..count], offset, account)?;
        offset += count as u64;
        len -= count;
    }
    Ok(())
}

fn write(file: &File, mut bytes: &[u8], at: u64, account: &mut Account) -> Result<(), Stuck> {
    let mut at = at;
    while !bytes.is_empty() {
        account.calls += 1;
        match pwrite(file.as_fd(), bytes, at) {
            Ok(0) => return Err(stuck("pwrite(2)", io::ErrorKind::WriteZero.into())),
            Ok(count) => {
                account.copied += count as u64;
                bytes = &bytes[count..];
                at += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(stuck("pwrite(2)", error)),
        }
    }
    Ok(())
}

fn stuck(doing: &'static str, error: io::Error) -> Stuck {
    Stuck::File(doing, error)
}

fn is_refusal(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let refusals = [Errno::INVAL, Errno::OPNOTSUPP, Errno::NOSYS];
    Errno::from_io_error(error).is_some_and(|errno| refusals.contains(&errno))
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
        Wire::new(listener.accept().unwrap().0, Stop::default()).unwrap()
    }

    fn content(file: &mut File) -> Vec<u8> {
        let mut content = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut content).unwrap();
        content
    }

    #[test]
    fn exactly_so_many_bytes_go_into_the_file() {
        let bytes: Vec<u8> = (0..3_000_001_u32).map(|at| (at % 251) as u8).collect();
        for must_copy in [false, true] {
            let wire = wire_with(bytes.clone());
            let mut receiving = Receiving { must_copy, ..Receiving::default() };
            let (mut file, mut account) = (tempfile::tempfile().unwrap(), Account::new());
            let mut told = 0;
            let len = bytes.len() as u64 - 5;
            receiving
                .receive_into(&wire, &file, 3, len, &mut account, |more| told += more)
                .unwrap();
            assert_eq!((told, account.bytes), (len, len));
            assert_eq!(content(&mut file)[3..], bytes[..len as usize]);
            let mut rest = [0; 5];
            wire.read_exact(&mut rest, None).unwrap();
            assert_eq!(rest, bytes[len as usize..], "what follows is still there");
        }
    }

    #[test]
    fn a_file_that_cannot_be_spliced_to_gets_every_byte() {
        // splice(2) into a file that was opened with O_APPEND is EINVAL; so is what is in the pipe by then.
        let temp = tempfile::NamedTempFile::new().unwrap();
        let file = File::options().append(true).read(true).open(temp.path()).unwrap();
        let bytes: Vec<u8> = (0..300_000_u32).map(|at| (at % 241) as u8).collect();
        let wire = wire_with(bytes.clone());
        let (mut receiving, mut account) = (Receiving::default(), Account::new());
        receiving.receive_into(&wire, &file, 0, 300_000, &mut account, |_| {}).unwrap();
        assert!(receiving.must_copy, "it was refused");
        assert_eq!(content(&mut { file }), bytes);
    }

    #[test]
    fn the_end_of_the_connection_is_no_end_of_the_file() {
        let wire = wire_with(vec![7; 1000]);
        let (file, mut account) = (tempfile::tempfile().unwrap(), Account::new());
        let result = Receiving::default().receive_into(&wire, &file, 0, 1001, &mut account, |_| {});
        assert!(matches!(result, Err(Stuck::Wire(Failure::Connection(_)))));
    }

    #[test]
    fn a_full_disk_is_the_files_fault() {
        let Ok(full) = File::options().read(true).write(true).open("/dev/full") else {
            eprintln!("skipped: there is no /dev/full");
            return;
        };
        let (wire, mut account) = (wire_with(vec![7; 1000]), Account::new());
        let result = Receiving::default().receive_into(&wire, &full, 0, 1000, &mut account, |_| {});
        let Err(Stuck::File(_, error)) = result else { panic!("it is full: {result:?}") };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
