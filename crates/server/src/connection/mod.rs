//! One connection: a state machine without I/O (`machine`), and the driver that gives it a socket.

mod disk;
mod driver;
mod far_end;
mod follow;
pub(crate) mod machine;
mod pace;
mod patience;
mod prepare;
mod send;
pub(crate) mod slot;
mod upload;

pub(crate) use driver::{Connection, drive};
