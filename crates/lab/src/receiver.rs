//! The other end of the subject's socket: takes all that comes, and can hold it against the file.

use socket2::{Domain, Protocol, Socket, Type};
use std::{
    fs::File,
    io::{self, Read},
    net::{IpAddr, SocketAddr},
    os::unix::fs::FileExt,
    time::Duration,
};

/// The congestion control of both ends: what paces its packets (BBR) measures its pacing on loopback.
pub(crate) const CONGESTION: &[u8] = b"reno";

/// What is read at once, in bytes.
const BUFFER: usize = 256 << 10;

/// How long somebody may take to connect: who cannot has said so elsewhere.
const PATIENCE: Duration = Duration::from_secs(20);

/// A listening socket.
#[derive(Debug)]
pub struct Receiver {
    socket: Socket,
    address: SocketAddr,
}

impl Receiver {
    /// On a free port of this address.
    ///
    /// # Errors
    ///
    /// No port can be listened on.
    pub fn listen(address: IpAddr) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address((address, 0).into()),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        let _ = socket.set_tcp_congestion(CONGESTION);
        socket.bind(&SocketAddr::from((address, 0)).into())?;
        socket.set_read_timeout(Some(PATIENCE))?; // of accept(2) as well, see socket(7)
        socket.listen(1)?;
        let address = socket.local_addr()?.as_socket();
        let address = address.ok_or_else(|| io::Error::other("listening without an address"))?;
        Ok(Self { socket, address })
    }

    /// Where.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn accept(&self) -> io::Result<Socket> {
        let (connection, _) = self.socket.accept()?;
        connection.set_read_timeout(None)?; // a cold disk may take its time
        Ok(connection)
    }

    /// Takes one connection, and reads nothing of it until it `may`. Then all there is.
    ///
    /// # Errors
    ///
    /// The connection broke, or it may not.
    pub fn receive_held(&self, may: impl FnOnce() -> bool) -> io::Result<Vec<u8>> {
        let mut connection = self.accept()?;
        let mut bytes = Vec::new();
        if !may() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        connection.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Takes one connection's bytes to their end. Says how many there were.
    ///
    /// # Errors
    ///
    /// The connection broke, or the bytes are not those of `expected`.
    pub fn receive(&self, expected: Option<&File>) -> io::Result<u64> {
        let mut connection = self.accept()?;
        let mut buffer = vec![0; BUFFER];
        let mut original = vec![0; if expected.is_some() { BUFFER } else { 0 }];
        let mut at = 0;
        loop {
            let count = connection.read(&mut buffer)?;
            if count == 0 {
                return Ok(at);
            }
            if let Some(file) = expected {
                file.read_exact_at(&mut original[..count], at)?;
                if original[..count] != buffer[..count] {
                    return Err(io::Error::other("other bytes came than the file has"));
                }
            }
            at += count as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::Write,
        net::{Ipv4Addr, TcpStream},
        thread,
    };

    #[test]
    fn other_bytes_are_noticed() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![1; 100_000]).unwrap();
        for (byte, same) in [(1, true), (2, false)] {
            let receiver = Receiver::listen(Ipv4Addr::LOCALHOST.into()).unwrap();
            let address = receiver.address();
            let sending = thread::spawn(move || {
                let _ = TcpStream::connect(address).unwrap().write_all(&vec![byte; 100_000]);
            });
            let outcome = receiver.receive(Some(&file));
            sending.join().unwrap();
            assert_eq!(outcome.ok(), same.then_some(100_000));
        }
    }
}
