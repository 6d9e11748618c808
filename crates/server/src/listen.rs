//! Listening: one socket per address and worker, so that the kernel spreads the connections.

use crate::config::Problem;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{SocketAddr, TcpListener},
};

/// The listening sockets of one worker.
pub(crate) type Listeners = Vec<TcpListener>;

/// Connections that may wait to be accepted; the kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// Binds every address for every worker. Says which addresses it really got (port 0 takes a free
/// one), and gives each worker its sockets.
///
/// # Errors
///
/// One line that names the address: in use, not ours, not allowed.
pub(crate) fn bind(
    addresses: &[SocketAddr],
    workers: usize,
) -> Result<(Vec<SocketAddr>, Vec<Listeners>), Problem> {
    let mut bound = Vec::new();
    let mut per_worker: Vec<Listeners> = (0..workers).map(|_| Vec::new()).collect();
    for &address in addresses {
        let problem = |error: io::Error| {
            Problem::new(format!("cannot listen on {address}: {error}")).about("listen")
        };
        // With SO_REUSEPORT a second server would share the port in silence. So the first socket
        // is bound without it, which fails if anyone has the port, and gets the option afterwards.
        let first = socket(address).map_err(problem)?;
        first.bind(&address.into()).map_err(problem)?;
        first.set_reuse_port(true).map_err(problem)?;
        let real = first.local_addr().map_err(problem)?;
        let real =
            real.as_socket().ok_or_else(|| Problem::new("not an address of the Internet"))?;
        let mut sockets = vec![first];
        for _ in 1..workers {
            let next = socket(real).map_err(problem)?;
            next.set_reuse_port(true).map_err(problem)?;
            next.bind(&real.into()).map_err(problem)?;
            sockets.push(next);
        }
        for (listeners, socket) in per_worker.iter_mut().zip(sockets) {
            socket.listen(BACKLOG).map_err(problem)?;
            listeners.push(socket.into());
        }
        bound.push(real);
    }
    Ok((bound, per_worker))
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // A port in TIME_WAIT is free: a restarted server must not wait a minute for its own.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // [::] is IPv6 alone, so that 0.0.0.0 can be given beside it.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_a_port_that_nobody_else_can_have() {
        let any = [SocketAddr::from(([127, 0, 0, 1], 0))];
        let (bound, listeners) = bind(&any, 3).map_err(|p| p.to_string()).expect("bound");
        assert_ne!(bound[0].port(), 0);
        assert_eq!(listeners.len(), 3);
        for listener in listeners.iter().flatten() {
            assert_eq!(listener.local_addr().ok(), Some(bound[0]));
        }
        let refused = bind(&bound, 1).map(|_| ()).map_err(|p| p.to_string());
        assert!(refused.is_err_and(|line| line.contains("in use")), "a busy port is refused");
    }
}
