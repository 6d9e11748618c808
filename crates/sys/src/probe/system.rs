//! Tries of what is not (yet) on the way of a byte: confinement, rings, zero-copy send, kernel TLS.
#![allow(unsafe_code)] // io_uring_setup(2) and landlock_create_ruleset(2) have no safe declaration in rustix or libc

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::{Facility, State, objects, reason};
use crate::open::{OpenFlags, Resolve, openat2};
use crate::{raw, sockopt};

/// `LANDLOCK_CREATE_RULESET_VERSION` of linux/landlock.h.
const LANDLOCK_VERSION: libc::c_uint = 1;

pub(super) fn facilities() -> Vec<Facility> {
    vec![
        reason::facility("openat2", "5.6", try_openat2()),
        zerocopy(),
        Facility {
            name: "io_uring",
            since: "5.1",
            state: io_uring_state(try_io_uring()),
            detail: String::new(),
        },
        Facility {
            name: "TCP_ULP tls",
            since: "4.13",
            state: tls_state(try_tls()),
            detail: String::new(),
        },
        landlock(),
    ]
}

fn try_openat2() -> io::Result<OwnedFd> {
    let bounds = Resolve { beneath: true, no_magiclinks: true, ..Resolve::default() };
    let root = File::open("/")?;
    openat2(root.as_fd(), c".", OpenFlags::PATH | OpenFlags::DIRECTORY, bounds)
}

fn zerocopy() -> Facility {
    let outcome =
        objects::tcp_socket().and_then(|socket| sockopt::set_zerocopy(socket.as_fd(), true));
    let mut facility = reason::facility("MSG_ZEROCOPY", "4.14", outcome);
    if facility.state.is_available() {
        facility.detail.push_str("whether it copies after all depends on the device");
    }
    facility
}

/// Makes a ring of one entry and closes it.
fn try_io_uring() -> io::Result<OwnedFd> {
    // `struct io_uring_params` of linux/io_uring.h: 120 bytes, all zero for no wishes.
    let mut params = [0_u64; 15];
    // SAFETY: the structure is as long as the kernel's, aligned as it needs, and lives across the call.
    let returned = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1_u32, params.as_mut_ptr()) };
    let fd = raw::count(returned as isize)?;
    // SAFETY: the kernel just made this descriptor for us; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn io_uring_state(outcome: io::Result<OwnedFd>) -> State {
    match outcome {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            // 6.6: 1 is "not without privilege", 2 is "not at all" (Documentation/admin-guide/sysctl/kernel.rst).
            let setting = fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
            let why = match setting.as_deref().map(str::trim) {
                Ok("2") => "switched off: kernel.io_uring_disabled is 2",
                Ok("1") => "for privileged processes only: kernel.io_uring_disabled is 1",
                _ => "refused, perhaps by seccomp, as container runtimes do",
            };
            reason::unavailable_because(libc::EPERM, why)
        }
        Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => {
            let why = "the limit of locked memory is too small for this kernel";
            reason::unavailable_because(libc::ENOMEM, why)
        }
        outcome => reason::state(outcome),
    }
}

/// Asks for kernel TLS on a socket that is not connected.
fn try_tls() -> io::Result<()> {
    let socket = objects::tcp_socket()?;
    let name = b"tls";
    // SAFETY: passes the bytes of a name that outlives the call.
    raw::done(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_ULP,
            name.as_ptr().cast(),
            name.len() as libc::socklen_t,
        )
    })
}

fn tls_state(outcome: io::Result<()>) -> State {
    match outcome {
        // The module is there, and refuses a socket that has no connection yet.
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => State::Available,
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
            // The kernel looks for the module only if a privileged process (CAP_NET_ADMIN) asks.
            let why = "this kernel has no tls module, or has not loaded it";
            reason::unavailable_because(libc::ENOENT, why)
        }
        outcome => reason::state(outcome),
    }
}

fn landlock() -> Facility {
    // SAFETY: with this flag the kernel takes no structure, and returns a version instead of a descriptor.
    let version = raw::count(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0_usize,
            LANDLOCK_VERSION,
        )
    } as isize);
    let detail = version.as_ref().map(|version| format!("ABI {version}")).unwrap_or_default();
    let state = match version {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            reason::unavailable_because(
                libc::EOPNOTSUPP,
                "in this kernel, but not switched on at boot",
            )
        }
        outcome => reason::state(outcome),
    };
    Facility { name: "landlock", since: "5.13", state, detail }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

    use super::*;

    fn refused<T>(errno: i32) -> io::Result<T> {
        Err(io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn a_socket_without_a_connection_proves_kernel_tls() {
        assert_eq!(tls_state(refused(libc::ENOTCONN)), State::Available);
        let State::Unavailable { errno, why } = tls_state(refused(libc::ENOENT)) else {
            panic!("no module, no kernel TLS");
        };
        assert_eq!(errno, libc::ENOENT);
        assert!(why.ends_with("(ENOENT)"), "{why}");
    }

    #[test]
    fn each_refusal_of_a_ring_is_explained() {
        for (errno, word) in [
            (libc::EPERM, "EPERM"),
            (libc::ENOMEM, "locked memory"),
            (libc::ENOSYS, "not in this kernel"),
            (libc::EIO, "os error 5"),
        ] {
            let State::Unavailable { errno: said, why } = io_uring_state(refused(errno)) else {
                panic!("errno {errno} is a refusal");
            };
            assert_eq!(said, errno);
            assert!(why.contains(word), "{why}");
        }
    }
}
