//! Where the other side is: what was typed, as host and port; connecting, and listening.

use super::{failure::Failure, wire::ready};
use crate::page_cache::interrupt::Stop;
use rustix::event::PollFlags;
use socket2::{Domain, Socket, Type};
use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    os::fd::AsFd,
    str::FromStr,
    time::Duration,
};

/// The port, unless another is named.
const PORT: u16 = 7700;
/// For each address that a name has.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a signal may go unnoticed while nobody connects.
const GLANCE: Duration = Duration::from_millis(250);

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// Every address of this machine, at the usual port.
    fn is_any(&self) -> bool {
        self.host == "::"
    }

    fn resolve(&self) -> Result<Vec<SocketAddr>, Failure> {
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        let found: Vec<_> = found
            .map_err(|error| Failure::Connection(format!("cannot find {self}: {error}")))?
            .collect();
        if found.is_empty() {
            return Err(Failure::Connection(format!("cannot find {self}: it has no address")));
        }
        Ok(found)
    }

    /// Connects: all addresses that the name has, one after the other.
    pub(super) fn connect(&self, stop: &Stop) -> Result<TcpStream, Failure> {
        let mut last = None;
        for address in self.resolve()? {
            if stop.is_asked() {
                return Err(Failure::Interrupted);
            }
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some((address, error)),
            }
        }
        let (address, error) = last.expect("resolve gives at least one");
        Err(Failure::Connection(format!("cannot connect to {self} ({address}): {error}")))
    }

    /// Listens on the first of its addresses that can be had.
    pub(super) fn listen(&self) -> Result<TcpListener, Failure> {
        let mut all = self.resolve().map_err(|failure| Failure::Local(failure.to_string()))?;
        if self.is_any() {
            // A kernel without IPv6.
            all.push((Ipv4Addr::UNSPECIFIED, self.port).into());
        }
        let mut first = None;
        for address in all {
            match listen_on(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => _ = first.get_or_insert((address, error)),
            }
        }
        let (address, error) = first.expect("resolve gives at least one");
        Err(Failure::Local(format!("cannot listen on {address}: {error}")))
    }
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // Else nobody could listen again for a minute after an exchange.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(8)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Waits for one who connects.
pub(super) fn accept(
    listener: &TcpListener,
    stop: &Stop,
) -> Result<(TcpStream, SocketAddr), Failure> {
    let failed = |error| Failure::Local(format!("cannot accept a connection: {error}"));
    loop {
        if stop.is_asked() {
            return Err(Failure::Interrupted);
        }
        match listener.accept() {
            Ok(accepted) => return Ok(accepted),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {
                    ready(listener.as_fd(), PollFlags::IN, GLANCE).map_err(failed)?;
                }
                // Who connected has gone again (accept(2)).
                io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                _ => return Err(failed(error)),
            },
        }
    }
}

impl FromStr for Address {
    type Err = String;

    /// `host`, `host:port`, `192.0.2.1:7700`, `::1`, `[::1]`, `[::1]:7700`.
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no address: use HOST, HOST:PORT or [IPv6]:PORT");
        let port = |digits: &str| digits.parse::<u16>().map_err(|_| bad());
        // Resolvers take a number for an IPv4 address of old.
        if text.parse::<u64>().is_ok() {
            return Err(format!(
                "{text:?} is no address: for a port of all addresses use [::]:{text}"
            ));
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self { host: ip.to_string(), port: PORT });
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(bad)?;
            // A link-local address may have a zone: fe80::1%eth0.
            let bare = host.split_once('%').map_or(host, |(bare, _)| bare);
            bare.parse::<Ipv6Addr>().map_err(|_| bad())?;
            let port = match rest.strip_prefix(':') {
                Some(digits) => port(digits)?,
                None if rest.is_empty() => PORT,
                None => return Err(bad()),
            };
            return Ok(Self { host: host.to_owned(), port });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, digits)) => (host, port(digits)?),
            None => (text, PORT),
        };
        if host.is_empty() || host.contains([':', '/', ' ']) {
            return Err(bad());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails
    use super::*;

    #[test]
    fn addresses_as_people_type_them() {
        for (text, shown) in [
            ("example.org", "example.org:7700"),
            ("example.org:80", "example.org:80"),
            ("192.0.2.1", "192.0.2.1:7700"),
            ("192.0.2.1:0", "192.0.2.1:0"),
            ("::1", "[::1]:7700"),
            ("[::1]", "[::1]:7700"),
            ("[::]:7700", "[::]:7700"),
            ("[::1]:65535", "[::1]:65535"),
            ("[fe80::1%eth0]:1", "[fe80::1%eth0]:1"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown, "{text}");
        }
        for text in
            ["", ":80", "a:", "a:b", "a:65536", "a:-1", "[::1", "[a]:1", "[::1]80", "a b", "./file"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
