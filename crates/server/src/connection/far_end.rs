//! The far end: what it has acknowledged, for those who ask when the connection may be gone.

use sendrail_sys::sockopt::{acknowledged_bytes, unsent_bytes};
use sendrail_transfer::Acknowledged;
use std::{os::fd::AsFd, sync::Weak};
use tokio::net::TcpStream;

/// Holds no connection open: whoever waits for its end would wait for us.
pub(super) struct FarEnd(pub(super) Weak<TcpStream>);

impl Acknowledged for FarEnd {
    fn acknowledged(&self) -> Option<(u64, u64)> {
        let stream = self.0.upgrade()?;
        let socket = stream.as_fd();
        Some((acknowledged_bytes(socket).ok()?, unsent_bytes(socket).ok()?))
    }
}
