//! Listeners for `axum::serve` whose connections recognise the pages of files.

use crate::socket::{Watch, ZeroCopy};
use axum::{extract::connect_info::Connected, serve::IncomingStream};
use sendrail_transfer::Options;
use std::{io, net::SocketAddr};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A [`TcpListener`] or a [`UnixListener`] whose connections are [`ZeroCopy`].
///
/// The address of the peer is had by `ConnectInfo<`[`PeerAddr`]`>`.
#[derive(Debug)]
pub struct Listener<L = TcpListener> {
    inner: L,
    options: Options,
    watch: Option<Watch>,
}

impl<L> Listener<L> {
    /// With other options of the engine than the usual ones.
    pub fn with_options(listener: L, options: Options) -> Self {
        Self { inner: listener, options, watch: None }
    }

    /// Has each receipt shown to somebody.
    #[must_use]
    pub fn watched_by(self, watch: Watch) -> Self {
        Self { watch: Some(watch), ..self }
    }

    fn wrap<S>(&self, socket: S) -> ZeroCopy<S> {
        let socket = ZeroCopy::with_options(socket, self.options.clone());
        match &self.watch {
            Some(watch) => socket.watched_by(watch.clone()),
            None => socket,
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::with_options(listener, Options::default())
    }
}

impl From<UnixListener> for Listener<UnixListener> {
    fn from(listener: UnixListener) -> Self {
        Self::with_options(listener, Options::default())
    }
}

impl axum::serve::Listener for Listener {
    type Io = ZeroCopy<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // Waits where descriptors have run out, as axum's own does.
        let (socket, address) = axum::serve::Listener::accept(&mut self.inner).await;
        // The end of a response is not to wait for the acknowledgement of what came before it.
        let _ = socket.set_nodelay(true);
        (self.wrap(socket), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

impl axum::serve::Listener for Listener<UnixListener> {
    type Io = ZeroCopy<UnixStream>;
    type Addr = tokio::net::unix::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (socket, address) = axum::serve::Listener::accept(&mut self.inner).await;
        (self.wrap(socket), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

/// The address of the peer of a [`Listener`]'s connection, for axum's `ConnectInfo`. (`SocketAddr` itself has that for axum's own
/// listener alone, and no other crate may give it to it.)
///
/// ```no_run
/// use axum::{Router, extract::ConnectInfo, routing::get};
/// use sendrail_hyper::{Listener, PeerAddr};
///
/// # async fn example(listener: Listener) -> std::io::Result<()> {
/// let who = async |ConnectInfo(PeerAddr(address)): ConnectInfo<PeerAddr>| address.to_string();
/// let app = Router::new().route("/", get(who));
/// axum::serve(listener, app.into_make_service_with_connect_info::<PeerAddr>()).await
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

impl Connected<IncomingStream<'_, Listener>> for PeerAddr {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        Self(*stream.remote_addr())
    }
}
