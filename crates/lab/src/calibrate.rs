//! Calibration: up to which size one send from memory is cheaper than sendfile, on this machine.
//!
//! No figure of another machine can say: where copying is cheap against handling pages, a send of
//! 100 KiB from memory costs 0.89 of sendfile, elsewhere 1.3 times as much (docs/decisions/0004).
//! So the server has both tried at start-up, over loopback, with its own binary as the file, for some
//! 30 ms of CPU time.

use rustix::time::{ClockId, clock_gettime};
use sendrail_sys::{
    pread::pread,
    send::{recv_discard, send},
    sendfile::sendfile,
};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    fmt,
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsFd,
    time::{Duration, Instant},
};

/// What is believed when nothing can be measured, in bytes: cheaper everywhere we have looked.
pub const FALLBACK: u64 = 4 << 10;

/// What `--small-files-memory` is by default, in bytes.
pub const WORKING_SET: usize = 512 << 10;

/// The sizes that are tried, in bytes.
const SIZES: [usize; 5] = [8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10];

/// Batches of each way, taken in turn; the lower quartile of each counts.
const ROUNDS: usize = 12;

/// Bytes sent in one batch, at least: enough to be above the clock's noise.
const BATCH: usize = 256 << 10;

/// A head before the file, as a response has it.
const HEAD: [u8; 256] = [b'h'; 256];

/// How much cheaper memory must be to be chosen: less is noise, and sendfile needs no memory.
const WORTH: f64 = 0.97;

/// How long loopback may do nothing, where it takes microseconds: a filter drops its packets, or a
/// stranger connected before we did. A server that does not start is worse than one that guesses.
const PATIENCE: Duration = Duration::from_secs(1);

/// What was measured. Shown as the cost from memory against sendfile, by size.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Files up to this many bytes are better sent from memory.
    pub limit: u64,
    /// The sizes tried, in bytes and ascending, and the CPU time from memory as a ratio of that by sendfile: below 1 memory
    /// is cheaper.
    pub ratios: Vec<(usize, f64)>,
}

impl fmt::Display for Calibration {
    /// The cost from memory against sendfile, by size.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("measured now against sendfile:")?;
        self.ratios.iter().try_for_each(|(size, ratio)| write!(f, " {}k {ratio:.2}", size >> 10))
    }
}

/// Measures, with bytes from a range of memory as large as `working_set` (in bytes), so that what does not fit
/// the caches is not taken from them. Some 30 ms of CPU time.
///
/// # Errors
///
/// No loopback, or one that drops what is sent (`TimedOut`, after a second), or /proc is not there: the caller goes on
/// with [`FALLBACK`].
pub fn measure(working_set: usize) -> io::Result<Calibration> {
    let file = File::open("/proc/self/exe")?;
    let len = (file.metadata()?.len() as usize).min(working_set.max(SIZES[SIZES.len() - 1]));
    let mut memory = vec![0; len];
    let read = pread(file.as_fd(), &mut memory, 0)?;
    memory.truncate(read);
    let pair = Pair::open()?;
    let mut ratios = Vec::new();
    for size in SIZES {
        if HEAD.len() + size > memory.len() {
            break;
        }
        ratios.push((size, ratio_at(&pair, &file, &memory, size)?));
    }
    Ok(Calibration { limit: limit(&ratios), ratios })
}

/// The largest size up to which memory was worth it at every size tried.
pub fn limit(ratios: &[(usize, f64)]) -> u64 {
    let worth = ratios.iter().take_while(|(_, ratio)| *ratio < WORTH);
    worth.last().map_or(FALLBACK, |(size, _)| *size as u64)
}

fn ratio_at(pair: &Pair, file: &File, memory: &[u8], size: usize) -> io::Result<f64> {
    let times = BATCH.div_ceil(size);
    // Whole files begin on a page.
    let last = (memory.len() - size - HEAD.len()) / size * size;
    let mut at = 0;
    let mut next = || {
        at = if at >= last { 0 } else { at + size };
        at
    };
    let (mut from_memory, mut by_sendfile) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let sendfile = cpu_time(times, || {
            let offset = next();
            pair.push(HEAD.len(), |done| send(pair.sender.as_fd(), &HEAD[done..], true))?;
            pair.push(size, |done| {
                sendfile(pair.sender.as_fd(), file.as_fd(), (offset + done) as u64, size - done)
            })
        })?;
        let memory = cpu_time(times, || {
            let whole = &memory[next()..][..HEAD.len() + size];
            pair.push(whole.len(), |done| send(pair.sender.as_fd(), &whole[done..], false))
        })?;
        if round > 0 {
            by_sendfile.push(sendfile);
            from_memory.push(memory);
        }
    }
    Ok(undisturbed(from_memory).as_secs_f64() / undisturbed(by_sendfile).as_secs_f64().max(1e-9))
}

/// What a batch takes when nothing interferes: interrupts and neighbours only ever add.
fn undisturbed(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 4]
}

/// CPU time of this thread: what other programs do beside it counts little.
fn cpu_time(times: usize, mut act: impl FnMut() -> io::Result<()>) -> io::Result<Duration> {
    let start = thread_time();
    (0..times).try_for_each(|_| act())?;
    Ok(thread_time().saturating_sub(start))
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A connection to ourselves.
struct Pair {
    sender: Socket,
    receiver: Socket,
}

impl Pair {
    fn open() -> io::Result<Self> {
        const ROOM: usize = 1 << 20; // so that every size goes out in one call
        let any: SockAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into();
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        listener.bind(&any)?;
        listener.listen(1)?;
        let receiver = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        receiver.set_recv_buffer_size(ROOM)?;
        receiver.connect_timeout(&listener.local_addr()?, PATIENCE)?;
        let (sender, _) = listener.accept()?;
        sender.set_send_buffer_size(ROOM)?;
        sender.set_tcp_nodelay(true)?;
        sender.set_nonblocking(true)?;
        receiver.set_nonblocking(true)?;
        Ok(Self { sender, receiver })
    }

    /// Sends `len` bytes by `call`, which is told how many have gone, and throws away what arrives.
    fn push(&self, len: usize, call: impl Fn(usize) -> io::Result<usize>) -> io::Result<()> {
        let mut done = 0;
        let mut full_since = None;
        while done < len {
            match call(done) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(sent) => {
                    done += sent;
                    full_since = None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if full_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                Err(error) => return Err(error),
            }
            match recv_discard(self.receiver.as_fd(), usize::MAX >> 1) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_last_of_an_unbroken_row() {
        assert_eq!(limit(&[]), FALLBACK);
        assert_eq!(limit(&[(8192, 1.2), (16384, 0.5)]), FALLBACK);
        assert_eq!(limit(&[(8192, 0.9), (16384, 0.9), (32768, 1.1), (65536, 0.9)]), 16384);
        assert_eq!(limit(&[(8192, 0.5), (16384, 0.96)]), 16384);
    }

    #[test]
    fn a_receiver_that_gets_nothing_is_an_error_and_no_hang() {
        let (Ok(one), Ok(other)) = (Pair::open(), Pair::open()) else {
            eprintln!("skipped: no loopback here");
            return;
        };
        let crossed = Pair { sender: one.sender, receiver: other.receiver };
        let memory = vec![0; 1 << 20];
        let sending = (0..64).try_for_each(|_| {
            crossed.push(memory.len(), |done| send(crossed.sender.as_fd(), &memory[done..], false))
        });
        assert_eq!(sending.map_err(|error| error.kind()), Err(io::ErrorKind::TimedOut));
    }

    #[test]
    fn measures_something_on_this_machine() {
        match measure(1 << 20) {
            Ok(calibration) => {
                assert!(calibration.ratios.iter().all(|(_, ratio)| ratio.is_finite()));
                assert!(calibration.limit >= FALLBACK);
            }
            Err(error) => eprintln!("skipped: no loopback or no /proc here: {error}"),
        }
    }
}
