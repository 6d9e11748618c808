//! sendfile under hyper, axum and tower, without a fork of any of them.
//!
//! hyper takes bodies as [`Bytes`](bytes::Bytes) and hands them on, unflattened, to whatever it writes to. So a file can be
//! given to it as memory that is the file's own pages, mapped and not read ([`FileBody`]), and a socket that is handed a slice of such
//! memory ([`ZeroCopy`]) knows by its address which part of which file it is, and sends that part by the engine: sendfile(2) or
//! splice(2), with a look whether it is in memory, by another thread if it is not, and given back afterwards if it is bulk.
//!
//! Whoever is between the two, middleware that compresses or a TLS library that encrypts, reads the bytes of the file where they
//! lie, and everything is as correct as it would be without this crate; it is only not free of copies then. Without the socket the body
//! works, and without the body the socket does.
//!
//! ```no_run
//! # #[cfg(feature = "axum")]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use sendrail_hyper::{Listener, ServeDir};
//!
//! let app = axum::Router::new().nest_service("/static", ServeDir::new("assets")?);
//! let listener = Listener::from(tokio::net::TcpListener::bind("127.0.0.1:3000").await?);
//! axum::serve(listener, app).await?;
//! # Ok(())
//! # }
//! ```
//!
//! | room | what is decided or done there |
//! |---|---|
//! | [`body`] | a file as a body |
//! | [`socket`] | the socket that recognises it |
//! | [`listener`] | such sockets for `axum::serve` |
//! | [`service`] | directories and files as tower services |
//! | `site`, `request`, [`response`] | from a request to an answer |
//! | `ground` | the directory, also after another has taken its place |
//! | `kept` | open files and what was made of them, between requests |

#![forbid(unsafe_code)]

pub mod body;
mod ground;
mod kept;
#[cfg(feature = "axum")]
pub mod listener;
mod request;
pub mod response;
pub mod service;
mod site;
pub mod socket;

pub use body::FileBody;
pub use kept::Keep;
#[cfg(feature = "axum")]
pub use listener::{Listener, PeerAddr};
pub use response::ResponseBody;
pub use service::{ServeDir, ServeFile};
pub use socket::{Sent, Watch, ZeroCopy};

pub use sendrail_files::{Dotfiles, Mutable, RootError, RootOptions, Symlinks};
pub use sendrail_transfer::{Options, Receipt};

/// What the README shows compiles.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../README.md")]
struct Readme;
