//! The subject: a process of its own that sends one file after another, one way or the other, and the
//! wire by which it is told.
//!
//! Of its own, so that all that is counted for its process is the transfer's. What it does besides lies
//! outside its marks: two calls of getpgid(2) that the probe knows, before the first byte and after the
//! last.

use crate::way::Way;
use bytes::Bytes;
use rustix::{
    process::{Pid, getpgid},
    time::{ClockId, Timespec, clock_gettime},
};
use sendrail_sys::ZeroCopySender;
use sendrail_transfer::{Chain, DropBehind, FileRange, Options, blocking};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    error::Error,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write},
    net::SocketAddr,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

/// No process has these numbers (`/proc/sys/kernel/pid_max` is at most 2²²).
const BEGIN: i32 = 0x7eda_0001;
const END: i32 = 0x7eda_0002;

/// The congestion control of both ends: what paces its packets (BBR) measures its pacing on loopback.
pub(crate) const CONGESTION: &[u8] = b"reno";

/// What the subject is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    /// How to send.
    pub way: Way,
    /// What.
    pub file: PathBuf,
    /// All of it, in bytes.
    pub len: u64,
    /// Where to.
    pub address: SocketAddr,
}

/// What it says when it is connected, and waits for the word.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Ready {
    port: u16,
}

/// What it says when it has sent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Done {
    /// Processor time, in nanoseconds.
    pub cpu: u64,
    /// Time, in nanoseconds.
    pub wall: u64,
    /// Context switches because it waited (`voluntary_ctxt_switches`, `proc_pid_status(5)`).
    pub voluntary: u64,
    /// Context switches because its time was up, or somebody went first.
    pub involuntary: u64,
    /// Bytes that it made disks read (`read_bytes`, `proc_pid_io(5)`); nothing if it may not be known.
    pub disk: Option<u64>,
    /// System calls by its own count: the engine's receipt, or the loop's.
    pub calls: u64,
    /// Bytes copied by its own count.
    pub copied: u64,
    /// What the engine says of the methods that moved the bytes.
    pub methods: String,
    /// Why it could not.
    pub error: Option<String>,
}

/// The subject as its master sees it. It ends when this is dropped.
#[derive(Debug)]
pub struct Subject {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Subject {
    /// Starts one: `program lab subject`.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start(program: &Path) -> io::Result<Self> {
        Self::start_by(Command::new(program))
    }

    /// The same by a command that becomes the program, or is it.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start_by(mut command: Command) -> io::Result<Self> {
        command.args(["lab", "subject"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take());
        let (Some(orders), Some(answers)) = (orders, answers) else {
            unreachable!("both are pipes");
        };
        Ok(Self { child, orders, answers: BufReader::new(answers) })
    }

    /// Its number.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Has it connect. Says from which port.
    ///
    /// # Errors
    ///
    /// It has ended, or says something else.
    pub fn prepare(&mut self, task: &Task) -> io::Result<u16> {
        self.say(&serde_json::to_string(task)?)?;
        Ok(self.hear::<Ready>()?.port)
    }

    /// Has it send.
    ///
    /// # Errors
    ///
    /// It has ended, or could not send.
    pub fn go(&mut self) -> io::Result<Done> {
        self.say("go")?;
        let done = self.hear::<Done>()?;
        match done.error {
            None => Ok(done),
            Some(error) => Err(io::Error::other(error)),
        }
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.orders, "{line}")
    }

    fn hear<T: for<'a> Deserialize<'a>>(&mut self) -> io::Result<T> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(io::Error::other("the process that sends has ended"));
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The subject's life: task, ready, the word, done; until there is no other task.
///
/// # Errors
///
/// The master is gone in the midst of it.
pub fn run() -> io::Result<()> {
    let mut orders = io::stdin().lines();
    let mut answers = io::stdout();
    while let Some(task) = orders.next() {
        let task: Task = serde_json::from_str(&task?)?;
        let connected = connect(task.address);
        let port = connected.as_ref().map_or(0, |(_, port)| *port);
        writeln!(answers, "{}", serde_json::to_string(&Ready { port })?)?;
        if orders.next().transpose()?.as_deref() != Some("go") {
            return Ok(());
        }
        let sent = connected.map_err(Into::into).and_then(|(socket, _)| send(&task, &socket));
        let done = sent.unwrap_or_else(|error| Done {
            error: Some(format!("{}: {error}", task.way)),
            ..Done::default()
        });
        writeln!(answers, "{}", serde_json::to_string(&done)?)?;
    }
    Ok(())
}

fn connect(address: SocketAddr) -> io::Result<(Socket, u16)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    let _ = socket.set_tcp_congestion(CONGESTION); // where there is no such, the default is used
    socket.connect(&address.into())?;
    let port = socket.local_addr()?.as_socket().map_or(0, |address| address.port());
    Ok((socket, port))
}

/// By its own count.
struct Own {
    calls: u64,
    copied: u64,
    methods: String,
}

fn send(task: &Task, socket: &Socket) -> Result<Done, Box<dyn Error>> {
    let file = Arc::new(File::open(&task.file)?);
    let mut buffer = match task.way {
        Way::ReadWrite { buffer } => vec![0; buffer],
        _ => Vec::new(),
    };
    let before = Usage::now();
    let started = nanoseconds(clock_gettime(ClockId::Monotonic));
    mark(BEGIN);
    let sent = match task.way {
        Way::ReadWrite { .. } => read_and_write(&file, task.len, socket, &mut buffer),
        Way::ReadZerocopy { buffer } => read_and_pass(&file, task.len, socket, buffer),
        way => by_the_engine(way, file, task.len, socket),
    };
    mark(END);
    let ended = nanoseconds(clock_gettime(ClockId::Monotonic));
    let after = Usage::now();
    let own = sent?;
    Ok(Done {
        cpu: after.cpu - before.cpu,
        wall: ended - started,
        voluntary: after.voluntary - before.voluntary,
        involuntary: after.involuntary - before.involuntary,
        disk: after.disk.zip(before.disk).map(|(after, before)| after - before),
        calls: own.calls,
        copied: own.copied,
        methods: own.methods,
        error: None,
    })
}

fn by_the_engine(
    way: Way,
    file: Arc<File>,
    len: u64,
    socket: &Socket,
) -> Result<Own, Box<dyn Error>> {
    let mut chain = Chain::new();
    chain.push_file(FileRange::new(file, 0, len));
    let drop_behind = match way {
        Way::Sendrail => DropBehind::On,
        _ => DropBehind::Off, // as the articles have it
    };
    let options = Options { method: way.method(), drop_behind, ..Options::default() };
    let receipt = blocking::send(socket, chain, options)?;
    Ok(Own {
        calls: receipt.system_calls,
        copied: receipt.copied,
        methods: receipt.methods.to_string(),
    })
}

/// The loop of every article.
fn read_and_write(
    mut file: &File,
    len: u64,
    mut socket: &Socket,
    buffer: &mut [u8],
) -> Result<Own, Box<dyn Error>> {
    let (mut calls, mut copied, mut left) = (0, 0, len);
    while left > 0 {
        let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = file.read(&mut buffer[..want])?;
        if count == 0 {
            return Err("the file is shorter than it was".into());
        }
        calls += 1;
        let mut sent = 0;
        while sent < count {
            sent += socket.write(&buffer[sent..count])?;
            calls += 1;
        }
        copied += 2 * count as u64;
        left -= count as u64;
    }
    Ok(Own { calls, copied, methods: "the loop".to_owned() })
}

/// The same with MSG_ZEROCOPY, which takes a fresh buffer each time: the last one belongs to the network
/// until it says otherwise.
fn read_and_pass(
    mut file: &File,
    len: u64,
    socket: &Socket,
    length: usize,
) -> Result<Own, Box<dyn Error>> {
    /// Buffers that the network may have at once. Each pins its pages.
    const MOST: usize = 16;
    let socket = socket.as_fd();
    let mut sender = ZeroCopySender::new(socket)?;
    let (mut calls, mut copied, mut left) = (1, 0, len);
    let mut copied_late = false;
    while left > 0 {
        let mut buffer = vec![0; length.min(usize::try_from(left).unwrap_or(usize::MAX))];
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Err("the file is shorter than it was".into());
        }
        buffer.truncate(count);
        calls += 1;
        copied += count as u64;
        left -= count as u64;
        let mut rest = Bytes::from(buffer);
        while !rest.is_empty() {
            let sent = sender.send(socket, rest.clone(), left > 0)?;
            calls += 1;
            rest = rest.slice(sent..);
        }
        let most = if left > 0 { MOST } else { 0 };
        loop {
            let reported = sender.completions(socket)?;
            calls += u64::from(reported.system_calls);
            copied_late |= reported.copied;
            if sender.in_flight() <= most {
                break;
            }
            thread::sleep(Duration::from_micros(100));
            calls += 1;
        }
    }
    let methods = if copied_late { "MSG_ZEROCOPY, copied at delivery" } else { "MSG_ZEROCOPY" };
    Ok(Own { calls, copied, methods: methods.to_owned() })
}

fn mark(number: i32) {
    let _ = getpgid(Pid::from_raw(number)); // ESRCH: the call is all that is meant
}

/// What the kernel says of this process.
struct Usage {
    cpu: u64,
    voluntary: u64,
    involuntary: u64,
    disk: Option<u64>,
}

impl Usage {
    fn now() -> Self {
        // The files first: reading them is not to count.
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let disk = fs::read_to_string("/proc/self/io").ok();
        Self {
            voluntary: field(&status, "voluntary_ctxt_switches:").unwrap_or(0),
            involuntary: field(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0),
            disk: disk.and_then(|text| field(&text, "read_bytes:")),
            cpu: nanoseconds(clock_gettime(ClockId::ProcessCPUTime)),
        }
    }
}

fn field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().parse().ok()
}

fn nanoseconds(time: Timespec) -> u64 {
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc_are_found_by_their_whole_name() {
        let text = "voluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t8\nread_bytes: 9\n";
        assert_eq!(field(text, "voluntary_ctxt_switches:"), Some(7));
        assert_eq!(field(text, "nonvoluntary_ctxt_switches:"), Some(8));
        assert_eq!(field(text, "read_bytes:"), Some(9));
        assert_eq!(field(text, "absent:"), None);
    }
}
