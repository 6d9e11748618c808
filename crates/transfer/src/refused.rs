//! What was refused of the ways to receive and to copy, and why; the counting of calls that both have in common.

use crate::receipt::ErrnoName;
use std::{fmt, io};

/// A method that was refused, so that the next best took over.
///
/// ```
/// use sendrail_transfer::receive::{ReceiveMethod, Refused, Why};
/// let refused = Refused { method: ReceiveMethod::Splice, why: Why::Errno(22) };
/// assert_eq!(refused.to_string(), "refused=splice:EINVAL");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused<M> {
    /// What was tried.
    pub method: M,
    /// Why not.
    pub why: Why,
}

/// Why a method was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// The kernel, the file system or the socket said this errno.
    Errno(i32),
    /// The target was opened with O_APPEND: only `pwrite(2)` can write to it, and only at its end.
    Append,
    /// The call succeeded and moved nothing, although there is something: files of `/proc`, which have no length.
    Nothing,
}

impl Why {
    pub(crate) fn of(error: &io::Error) -> Self {
        Self::Errno(error.raw_os_error().unwrap_or(0))
    }
}

impl<M: fmt::Display> fmt::Display for Refused<M> {
    /// `refused=splice:EINVAL`, without spaces, as in the receipts of sending.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused={}:", self.method)?;
        match self.why {
            Why::Errno(errno) => ErrnoName(errno).fmt(f),
            Why::Append => f.write_str("O_APPEND"),
            Why::Nothing => f.write_str("nothing"),
        }
    }
}

/// Runs one system call, again if a signal interrupted it (EINTR), and counts each try.
pub(crate) fn call<T>(calls: &mut u64, mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        *calls += 1;
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// `splice+buffered`, or `nothing`.
pub(crate) fn write_methods<M: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    methods: &[M],
) -> fmt::Result {
    let Some((first, others)) = methods.split_first() else { return f.write_str("nothing") };
    first.fmt(f)?;
    others.iter().try_for_each(|method| write!(f, "+{method}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_call_is_made_again_and_counted() {
        let (mut calls, mut tries) = (0, 0);
        let result = call(&mut calls, || {
            tries += 1;
            if tries < 3 { Err(io::ErrorKind::Interrupted.into()) } else { Ok(tries) }
        });
        assert_eq!((result.ok(), calls), (Some(3), 3));
    }

    #[test]
    fn reads_as_one_word() {
        for (why, expected) in [
            (Why::Errno(22), "refused=splice:EINVAL"),
            (Why::Errno(18), "refused=splice:EXDEV"),
            (Why::Append, "refused=splice:O_APPEND"),
        ] {
            assert_eq!(Refused { method: "splice", why }.to_string(), expected);
        }
    }
}
