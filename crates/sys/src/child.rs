//! wait4(2): what a child has cost, as it is reaped.
#![allow(unsafe_code)] // rustix has no wait4, and std::process gives no resource usage

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use crate::raw;

/// How a child ended, and what it used: all its threads, and all children that it had waited for itself (getrusage(2)).
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// As [`Child::wait`] gives it.
    pub status: ExitStatus,
    /// Processor time in user mode. Together with `system` exact to a microsecond; how it is divided between the two is
    /// sampled by the timer tick, unless the kernel has CONFIG_VIRT_CPU_ACCOUNTING_GEN.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// Times it gave up the processor to wait for something.
    pub voluntary_switches: u64,
}

/// Waits for the end of a child. One wait4(2), or more if signals come (EINTR).
///
/// Takes the [`Child`], for afterwards its number may be another's.
pub fn wait(child: Child) -> io::Result<Ended> {
    let pid = libc::pid_t::try_from(child.id()).map_err(|_| raw::invalid())?;
    drop(child.stdin); // as Child::wait does: who reads it to its end could wait for us
    let mut status = 0;
    // SAFETY: a structure of integers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both live across the call, and the kernel writes one int and one rusage.
        let reaped = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        match raw::done(reaped) {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Ended {
        status: ExitStatus::from_raw(status),
        user: duration(usage.ru_utime),
        system: duration(usage.ru_stime),
        voluntary_switches: usage.ru_nvcsw as u64,
    })
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use std::process::Command;

    use super::*;

    #[test]
    fn the_work_of_a_child_and_of_its_children_is_counted() {
        // The inner shell does the work.
        let script = "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'; exit 7";
        let ended = wait(Command::new("sh").args(["-c", script]).spawn().unwrap()).unwrap();
        assert_eq!(ended.status.code(), Some(7));
        let idle = wait(Command::new("true").spawn().unwrap()).unwrap();
        assert!(ended.user + ended.system > idle.user + idle.system, "{ended:?} {idle:?}");
    }
}
