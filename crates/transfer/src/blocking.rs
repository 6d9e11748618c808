//! The blocking front: sends a whole chain from a thread that has nothing else to do.

use crate::{
    chain::Chain,
    error::SendError,
    plan::Options,
    receipt::Receipt,
    transfer::{Disk, Step, Transfer},
};
use sendrail_sys::poll::wait_writable;
use std::{io, os::fd::AsFd};

/// Sends `chain` to `socket` and waits until the socket has taken all of it.
///
/// The socket may be in blocking or in non-blocking mode. The receipt counts the waits in either
/// case where the engine itself waited; a blocking socket waits inside its calls.
///
/// # Errors
///
/// [`SendError::PeerGone`], [`SendError::File`] and [`SendError::TimedOut`] carry the receipt up to
/// there. After any of them the message is cut short, and the connection good for nothing else.
pub fn send(socket: impl AsFd, chain: Chain, options: Options) -> Result<Receipt, SendError> {
    let socket = socket.as_fd();
    let timeout = options.send_timeout;
    let mut transfer = Transfer::new(chain, options);
    loop {
        match transfer.step(socket, Disk::MayWait) {
            Step::Done => return Ok(transfer.into_receipt()),
            Step::Yield | Step::WaitDisk => {}
            Step::WaitSocket => match wait_writable(socket, timeout) {
                Ok(true) => {}
                Ok(false) => {
                    return Err(SendError::TimedOut { receipt: Box::new(transfer.into_receipt()) });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(SendError::Wait { error }),
            },
            Step::PeerGone(error) => {
                return Err(SendError::PeerGone {
                    error,
                    receipt: Box::new(transfer.into_receipt()),
                });
            }
            Step::Failed(fault) => {
                return Err(SendError::File { fault, receipt: Box::new(transfer.into_receipt()) });
            }
        }
    }
}
