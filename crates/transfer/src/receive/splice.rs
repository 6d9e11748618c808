//! splice: from the socket into a pipe, from the pipe into the file; from a pipe into the file at once.

use super::{
    ReceiveMethod::Splice,
    source::Kind,
    standing::something,
    task::{Stop, Task},
};
use crate::{
    conduit::Conduit,
    method::{is_refusal, splice::PIPE},
};
use sendrail_sys::{
    send::read,
    splice::{Pipe, splice_from_socket, splice_pipe_to_file, splice_to_file},
};
use std::io;

pub(super) fn run(task: &mut Task<'_>) -> Result<(), Stop> {
    if task.source.kind == Kind::Pipe {
        return from_pipe(task);
    }
    // Without descriptors to spare (EMFILE, ENFILE) the bytes can still be copied.
    let conduit = Conduit::take(&mut task.standing.received.system_calls).map_err(Stop::Refused)?;
    let mut inside = 0;
    let result = through(task, conduit.pipe(), &mut inside);
    if inside == 0 {
        conduit.give_back(&mut task.standing.received.system_calls);
    } else {
        conduit.discard(&mut task.standing.received.system_calls);
    }
    result
}

/// Keeps count of what is `inside` the pipe: the next who uses it must find it empty.
fn through(task: &mut Task<'_>, pipe: &Pipe, inside: &mut usize) -> Result<(), Stop> {
    loop {
        let want = task.want(pipe.capacity());
        if want == 0 {
            return Ok(());
        }
        let sleeps = task.source.sleeps;
        *inside = task.take(sleeps, |source| splice_from_socket(source, pipe, want))?;
        if *inside == 0 {
            return task.standing.end();
        }
        while *inside > 0 {
            let (file, offset) = (task.file, task.standing.offset());
            let written = task
                .standing
                .room(*inside)
                .and_then(|room| task.call(|| splice_to_file(pipe, file, offset, room)));
            match written.and_then(something) {
                Ok(count) => {
                    *inside -= count;
                    task.standing.wrote(Splice, count);
                }
                Err(error) => return Err(rescue(task, pipe, inside, error)),
            }
        }
        task.report()?;
    }
}

/// What is in the pipe has left the socket for good: it comes out into user memory, and from there into the file, or to the
/// caller.
fn rescue(task: &mut Task<'_>, pipe: &Pipe, inside: &mut usize, error: io::Error) -> Stop {
    let mut bytes = vec![0; *inside];
    let mut filled = 0;
    while *inside > 0 {
        match task.call(|| read(pipe.read_end(), &mut bytes[filled..])) {
            Ok(count) if count > 0 => {
                filled += count;
                *inside -= count;
            }
            // Nobody else knows the pipe, and read(2) of one that is not empty has nothing to fail with.
            outcome => {
                debug_assert!(false, "{outcome:?} with {inside} bytes left");
                break;
            }
        }
    }
    bytes.truncate(filled);
    task.standing.received.copied += filled as u64;
    if !is_refusal(&error) {
        return task.standing.file_failed(error, bytes);
    }
    match task.write_out(Splice, &bytes).and_then(|()| task.report()) {
        Ok(()) => Stop::Refused(error),
        Err(stop) => stop,
    }
}

fn from_pipe(task: &mut Task<'_>) -> Result<(), Stop> {
    loop {
        let want = task.want(PIPE);
        if want == 0 {
            return Ok(());
        }
        let (file, offset) = (task.file, task.standing.offset());
        let want = match task.standing.room(want) {
            Ok(room) => room,
            Err(error) => return beyond(task, want, error),
        };
        let count = task.take(false, |source| splice_pipe_to_file(source, file, offset, want));
        let count = count.map_err(|stop| blame(task, stop))?;
        if count == 0 {
            return task.standing.end();
        }
        task.standing.wrote(Splice, count);
        task.report()?;
    }
}

/// Nothing more may be written. That is an error only if something more comes.
fn beyond(task: &mut Task<'_>, want: usize, error: io::Error) -> Result<(), Stop> {
    let mut bytes = vec![0; want.min(super::buffered::BUFFER)];
    let count = task.take_into(&mut bytes)?;
    bytes.truncate(count);
    if count == 0 { task.standing.end() } else { Err(task.standing.file_failed(error, bytes)) }
}

/// A pipe has nothing to fail with: what one call between the two says is the file's.
fn blame(task: &Task<'_>, stop: Stop) -> Stop {
    use super::ReceiveFault::Socket;
    match stop {
        Stop::Fault(Socket(error), unwritten) => task.standing.file_failed(error, unwritten),
        stop => stop,
    }
}
