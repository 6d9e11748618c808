//! One connection: a state machine without I/O (`machine`), and the driver that gives it a socket.

mod driver;
pub(crate) mod machine;
mod pace;
mod send;
pub(crate) mod slot;

pub(crate) use driver::{Connection, drive};
