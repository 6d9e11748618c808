//! From an errno to the likely reason, in words for whoever runs the program.

use std::io;

use super::{Facility, State};

/// The state that the outcome of a try means.
pub(super) fn state<T>(outcome: io::Result<T>) -> State {
    match outcome {
        Ok(_) => State::Available,
        Err(error) => unavailable(&error),
    }
}

/// A facility with the state that the outcome of a try means.
pub(super) fn facility<T>(
    name: &'static str,
    since: &'static str,
    outcome: io::Result<T>,
) -> Facility {
    Facility { name, since, state: state(outcome), detail: String::new() }
}

pub(super) fn unavailable(error: &io::Error) -> State {
    let errno = error.raw_os_error().unwrap_or(0);
    State::Unavailable { errno, why: why(errno, error) }
}

/// The same with a reason that the caller knows better; the errno's name is added.
pub(super) fn unavailable_because(errno: i32, why: &str) -> State {
    let why = match errno_name(errno) {
        Some(name) => format!("{why} ({name})"),
        None if errno != 0 => format!("{why} (errno {errno})"),
        None => why.to_owned(),
    };
    State::Unavailable { errno, why }
}

/// The general case.
fn why(errno: i32, error: &io::Error) -> String {
    let reason = match errno {
        libc::ENOSYS => "not in this kernel, or hidden by a sandbox",
        libc::EPERM => "refused, perhaps by seccomp or for want of privilege",
        libc::EACCES => "permission denied",
        libc::EOPNOTSUPP => "not supported by this kernel or file system",
        libc::EINVAL => "not known to this kernel or file system",
        libc::ENOPROTOOPT => "no such socket option in this kernel",
        libc::EMFILE | libc::ENFILE => "too many open files to try it",
        libc::EBADF => "the descriptor is not open for reading",
        // The kernel's own words already end in "(os error N)".
        _ => return error.to_string(),
    };
    match errno_name(errno) {
        Some(name) => format!("{reason} ({name})"),
        None => reason.to_owned(),
    }
}

/// The name of an error, of those that a kernel or a file system says no with: `"EOPNOTSUPP"`.
pub fn errno_name(errno: i32) -> Option<&'static str> {
    Some(match errno {
        libc::ENOSYS => "ENOSYS",
        libc::EPERM => "EPERM",
        libc::EACCES => "EACCES",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::EINVAL => "EINVAL",
        libc::ENOPROTOOPT => "ENOPROTOOPT",
        libc::EMFILE => "EMFILE",
        libc::ENFILE => "ENFILE",
        libc::EBADF => "EBADF",
        libc::ENOENT => "ENOENT",
        libc::ENOMEM => "ENOMEM",
        libc::EISDIR => "EISDIR",
        libc::EXDEV => "EXDEV",
        libc::EROFS => "EROFS",
        libc::ETXTBSY => "ETXTBSY",
        libc::ENOSPC => "ENOSPC",
        libc::EDQUOT => "EDQUOT",
        libc::EIO => "EIO",
        _ => return None,
    })
}
