//! clock_getcpuclockid(3): the processor time of another process.
#![allow(unsafe_code)] // rustix knows the clocks of its own process alone

use std::io;
use std::time::Duration;

use crate::raw;

/// Processor time, of user and system together, that process `pid` has used so far: of all its threads, those that have ended
/// included, to the nanosecond, and up to this moment for those that run. Not of its children.
///
/// Fails with ESRCH where there is no such process. Since Linux 2.6.12; needs no right.
pub fn process_cpu_time(pid: u32) -> io::Result<Duration> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| raw::invalid())?;
    let mut clock: libc::clockid_t = 0;
    // SAFETY: a plain number goes in, and one is written to a variable that lives across the call.
    let failed = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) };
    if failed != 0 {
        return Err(io::Error::from_raw_os_error(failed)); // it is not in errno
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec, which lives across the call. Should the process have ended since, it refuses.
    raw::done(unsafe { libc::clock_gettime(clock, &raw mut time) })?;
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_work_of_threads_that_have_ended_is_counted() {
        let me = std::process::id();
        let before = process_cpu_time(me).unwrap();
        let work = || {
            let own = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            while own().tv_nsec < 20_000_000 {}
        };
        std::thread::spawn(work).join().unwrap();
        assert!(process_cpu_time(me).unwrap() >= before + Duration::from_millis(20));
    }

    #[test]
    fn another_process_is_asked_and_a_missing_one_is_an_error() {
        let script = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo; read end";
        let mut child = Command::new("sh");
        child.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let mut said = [0];
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
        assert!(process_cpu_time(child.id()).unwrap() > Duration::from_millis(1));
        let gone = child.id();
        child.kill().unwrap();
        child.wait().unwrap();
        let error = process_cpu_time(gone).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH), "{error}");
        assert!(process_cpu_time(u32::MAX).is_err());
    }
}
