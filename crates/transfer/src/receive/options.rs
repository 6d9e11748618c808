//! What a caller may ask for when receiving, and which method that comes to: pure.

use std::{fmt, time::Duration};

/// Up to this many bytes, if the length is known, are received by `buffered`: one `recv(2)` and one `pwrite(2)`. At 4 KiB
/// `splice` takes 1.2 of its processor time, at 16 KiB 1.15, at 64 KiB as much.
pub const LITTLE: u64 = 64 << 10;

/// From this many bytes on, or if the length is not known, what is to leave no trace goes by `direct`; its buffer is as long.
pub const DIRECT_FROM: u64 = 1 << 20;

/// A way from a stream to a file.
///
/// More may come: a `match` needs an arm for the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReceiveMethod {
    /// `splice(2)`: from the socket into a pipe of 1 MiB, and from there into the page cache of the file. No byte is copied to
    /// user memory and back. What comes out of a pipe needs no other.
    Splice,
    /// `recv(2)` (or `read(2)`) into a buffer of 256 KiB, and `pwrite(2)`.
    Buffered,
    /// `recv(2)` into an aligned buffer of 1 MiB, and `pwrite(2)` with O_DIRECT through a descriptor of its own: past the page
    /// cache. A head and a tail that are no whole blocks go through it.
    Direct,
}

impl ReceiveMethod {
    /// Every method.
    pub const ALL: [Self; 3] = [Self::Splice, Self::Buffered, Self::Direct];

    /// The name in receipts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Splice => "splice",
            Self::Buffered => "buffered",
            Self::Direct => "direct",
        }
    }

    /// What takes this method's place where it is refused.
    pub(super) fn next_best(self) -> Option<Self> {
        match self {
            Self::Direct => Some(Self::Splice),
            Self::Splice => Some(Self::Buffered),
            Self::Buffered => None,
        }
    }
}

impl fmt::Display for ReceiveMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where in a file what is received comes to stand, in bytes.
///
/// ```
/// use sendrail_transfer::receive::RangeInto;
/// assert_eq!(RangeInto::new(100, 50), RangeInto { offset: 100, len: Some(50) });
/// assert_eq!(RangeInto::until_end(100), RangeInto { offset: 100, len: None });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeInto {
    /// The place of the first byte.
    pub offset: u64,
    /// How many bytes; what follows them stays in the socket. `None`: all until the end of the stream.
    pub len: Option<u64>,
}

impl RangeInto {
    /// `len` bytes from `offset` on.
    pub fn new(offset: u64, len: u64) -> Self {
        Self { offset, len: Some(len) }
    }

    /// From `offset` on, until the end of the stream.
    pub fn until_end(offset: u64) -> Self {
        Self { offset, len: None }
    }
}

/// What a caller may ask for.
///
/// Options will be added: name those that you set, and take the others by `..ReceiveOptions::default()`.
///
/// ```
/// use sendrail_transfer::receive::ReceiveOptions;
/// use std::time::Duration;
/// let backup = ReceiveOptions {
///     leave_no_trace: true,
///     timeout: Some(Duration::from_secs(30)),
///     ..ReceiveOptions::default()
/// };
/// assert_eq!(backup.method, None);
/// ```
#[derive(Debug, Clone, Default)]
pub struct ReceiveOptions {
    /// Use this method. `None`: `direct` if no trace is to be left of 1 MiB or more, and else `buffered`; but `splice` from a pipe,
    /// and in a task for more than 64 KiB, where it needs no buffer of its own between two polls.
    pub method: Option<ReceiveMethod>,
    /// Keep what is received out of the page cache: for large new files that nobody reads soon. It takes more of the
    /// processor where the pages of the file are in the page cache already, and less where they would have to be made.
    pub leave_no_trace: bool,
    /// How long to wait for a sender that sends nothing; each byte starts the time anew. `None`: for ever.
    pub timeout: Option<Duration>,
}

/// Which method it is to be, from a socket, for who waits for it or who is polled.
pub(super) fn choose(options: &ReceiveOptions, len: Option<u64>, waits: bool) -> ReceiveMethod {
    if let Some(method) = options.method {
        method
    } else if options.leave_no_trace && len.is_none_or(|len| len >= DIRECT_FROM) {
        ReceiveMethod::Direct
    } else if waits || is_little(len) {
        ReceiveMethod::Buffered
    } else {
        ReceiveMethod::Splice
    }
}

/// Whether a pipe is not worth it.
pub(super) fn is_little(len: Option<u64>) -> bool {
    len.is_some_and(|len| len <= LITTLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_length_and_by_what_is_asked_for() {
        use ReceiveMethod::{Buffered, Direct, Splice};
        for (method, leave_no_trace, len, waiting, polled) in [
            (None, false, None, Buffered, Splice),
            (None, false, Some(LITTLE), Buffered, Buffered),
            (None, false, Some(LITTLE + 1), Buffered, Splice),
            (None, true, None, Direct, Direct),
            (None, true, Some(DIRECT_FROM), Direct, Direct),
            (None, true, Some(DIRECT_FROM - 1), Buffered, Splice),
            (None, true, Some(1), Buffered, Buffered),
            (Some(Splice), true, Some(1), Splice, Splice),
            (Some(Direct), false, Some(1), Direct, Direct),
        ] {
            let options = ReceiveOptions { method, leave_no_trace, timeout: None };
            assert_eq!(choose(&options, len, true), waiting, "{options:?} {len:?}");
            assert_eq!(choose(&options, len, false), polled, "{options:?} {len:?}");
        }
    }

    #[test]
    fn every_method_ends_at_the_one_below_which_there_is_nothing() {
        for mut method in ReceiveMethod::ALL {
            while let Some(next) = method.next_best() {
                method = next;
            }
            assert_eq!(method, ReceiveMethod::Buffered);
        }
    }
}
