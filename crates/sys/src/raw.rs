//! Results of libc calls as `io::Result`, for the holes that rustix leaves.

use std::io;

/// A count that a libc call returned, or the error it left in `errno`.
///
/// Must be called before anything else can change `errno`.
pub(crate) fn count(returned: isize) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}

/// The same for calls that return nothing but success.
pub(crate) fn done(returned: libc::c_int) -> io::Result<()> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `EINVAL`, as the kernel would say it, for arguments that must not even reach it.
pub(crate) fn invalid() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}
