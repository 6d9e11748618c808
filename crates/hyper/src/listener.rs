//! Listeners for `axum::serve` whose connections recognise the pages of files.

use crate::socket::{Watch, ZeroCopy};
use sendrail_transfer::Options;
use std::{io, net::SocketAddr};
use tokio::net::{TcpListener, TcpStream};

/// A [`TcpListener`] whose connections are [`ZeroCopy`].
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    options: Options,
    watch: Option<Watch>,
}

impl Listener {
    /// With other options of the engine than the usual ones.
    pub fn with_options(tcp: TcpListener, options: Options) -> Self {
        Self { tcp, options, watch: None }
    }

    /// Has each receipt shown to somebody.
    #[must_use]
    pub fn watched_by(self, watch: Watch) -> Self {
        Self { watch: Some(watch), ..self }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::with_options(listener, Options::default())
    }
}

impl axum::serve::Listener for Listener {
    type Io = ZeroCopy<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // Waits where descriptors have run out, as axum's own does.
        let (socket, address) = axum::serve::Listener::accept(&mut self.tcp).await;
        // The end of a response is not to wait for the acknowledgement of what came before it.
        let _ = socket.set_nodelay(true);
        let socket = ZeroCopy::with_options(socket, self.options.clone());
        let socket = match &self.watch {
            Some(watch) => socket.watched_by(watch.clone()),
            None => socket,
        };
        (socket, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
