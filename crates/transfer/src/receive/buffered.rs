//! buffered: recv(2) or read(2) into a buffer, pwrite(2) from there. What every descriptor and every file can.

use super::{
    ReceiveMethod::Buffered,
    task::{Stop, Task},
};
use crate::method::bounce::with_buffer;

/// Length of the buffer in bytes: with 64 KiB the same bytes cost three times as much (0.899 against 0.276 s of the processor
/// per GiB), for each call brings so little.
pub(super) const BUFFER: usize = 256 << 10;

pub(super) fn run(task: &mut Task<'_>) -> Result<(), Stop> {
    let len = task.want(BUFFER);
    if task.may_wait() {
        through(task, &mut vec![0; len])
    } else {
        // Who comes back each time that something has arrived takes the thread's: nothing is kept in it meanwhile.
        with_buffer(len, |buffer| through(task, buffer))
    }
}

fn through(task: &mut Task<'_>, buffer: &mut [u8]) -> Result<(), Stop> {
    loop {
        let want = task.want(BUFFER);
        if want == 0 {
            return Ok(());
        }
        let count = task.take_into(&mut buffer[..want])?;
        if count == 0 {
            return task.standing.end();
        }
        task.write_out(Buffered, &buffer[..count])?;
        task.report()?;
    }
}
