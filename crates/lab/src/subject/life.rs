//! The subject's life: task, ready, the word, done; until there is no other task.

use super::{
    Done, Ready, Task, checksum,
    sending::{self, Own},
    usage::{Usage, nanoseconds},
};
use crate::{receiver::CONGESTION, way::Way};
use rustix::{
    process::{Pid, getpgid},
    time::{ClockId, clock_gettime},
};
use sendrail_sys::stat::fstat;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    error::Error,
    fs::File,
    io::{self, Write},
    net::SocketAddr,
    os::fd::AsFd,
    sync::Arc,
};

/// No process has these numbers (`/proc/sys/kernel/pid_max` is at most 2²²).
const BEGIN: i32 = 0x7eda_0001;
const END: i32 = 0x7eda_0002;

/// Lives it.
///
/// # Errors
///
/// The master is gone in the midst of it.
pub fn run() -> io::Result<()> {
    let mut orders = io::stdin().lines();
    let mut answers = io::stdout();
    while let Some(task) = orders.next() {
        let task: Task = serde_json::from_str(&task?)?;
        let connected = task.address.map(connect).transpose();
        let port = connected.as_ref().ok().and_then(|socket| socket.as_ref()).map_or(0, port);
        writeln!(answers, "{}", serde_json::to_string(&Ready { port })?)?;
        if orders.next().transpose()?.as_deref() != Some("go") {
            return Ok(());
        }
        let sent = connected.map_err(Into::into).and_then(|socket| work(&task, socket));
        let done = sent.unwrap_or_else(|error| Done {
            error: Some(format!("{}: {error}", task.way)),
            ..Done::default()
        });
        writeln!(answers, "{}", serde_json::to_string(&done)?)?;
    }
    Ok(())
}

fn connect(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    let _ = socket.set_tcp_congestion(CONGESTION); // where there is no such, the default is used
    socket.connect(&address.into())?;
    Ok(socket)
}

fn port(socket: &Socket) -> u16 {
    let address = socket.local_addr().ok().and_then(|address| address.as_socket());
    address.map_or(0, |address| address.port())
}

fn work(task: &Task, socket: Option<Socket>) -> Result<Done, Box<dyn Error>> {
    let file = Arc::new(File::open(&task.file)?);
    if fstat(file.as_fd())?.len < task.len {
        return Err("the file is shorter than it was".into());
    }
    // Whatever can be made ready beforehand is no part of the way.
    let mut prepared = sending::Prepared::new(task, &file, socket)?;
    let before = Usage::now();
    let started = nanoseconds(clock_gettime(ClockId::Monotonic));
    mark(BEGIN);
    let done = match task.way {
        Way::Checksum(reading) => checksum::by(reading, &file, &task.file, task.len),
        _ => prepared.send(task, &file),
    };
    mark(END);
    let ended = nanoseconds(clock_gettime(ClockId::Monotonic));
    let after = Usage::now();
    drop(prepared); // not before: it takes calls
    let Own { calls, copied, methods, waits, known } = done?;
    Ok(Done {
        cpu: after.cpu - before.cpu,
        wall: ended - started,
        // Threads that have ended took theirs with them.
        voluntary: after.voluntary.saturating_sub(before.voluntary),
        involuntary: after.involuntary.saturating_sub(before.involuntary),
        disk: after.disk.zip(before.disk).map(|(after, before)| after - before),
        calls,
        copied,
        methods,
        waits,
        known,
        error: None,
    })
}

fn mark(number: i32) {
    let _ = getpgid(Pid::from_raw(number)); // ESRCH: the call is all that is meant
}
