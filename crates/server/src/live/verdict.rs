//! Verdicts on a file that is being followed: pure functions of what was seen.

use sendrail_http::live::Ending;
use std::time::Duration;

/// What the path leads to by which the file was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// To this file.
    Same,
    /// To another one.
    Other,
    /// To nothing, or to what is not served.
    Nothing,
}

/// What has become of the file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// It is the file's still.
    Kept,
    /// It is not: for this reason.
    Lost(Ending),
}

/// Tells a rotation from a removal. `links` is how many names the file has; `moved`: one of them was changed by
/// rename(2), which inotify(7) says and a look cannot.
pub(crate) fn name(path: Path, links: u64, moved: bool) -> Name {
    match (path, links) {
        (Path::Same, _) => Name::Kept,
        _ if moved => Name::Lost(Ending::Renamed),
        (Path::Other, 0) => Name::Lost(Ending::Replaced),
        (Path::Nothing, 0) => Name::Lost(Ending::Removed),
        // It has another name: one that it was given, or has had all along.
        (Path::Other | Path::Nothing, _) => Name::Lost(Ending::Renamed),
    }
}

/// Whether anybody has the file open for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writers {
    Some,
    None,
    /// The kernel tells that to the file's owner alone, or not on this file system.
    Unknown,
}

/// What is known of a file when it is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) name: Name,
    /// For how long it has not changed.
    pub(crate) quiet: Duration,
    /// The same, but for no longer than somebody has been watching, nor than it has lost its name.
    pub(crate) watched: Duration,
    /// Somebody who could write has closed it since it changed last.
    pub(crate) closed: bool,
}

/// What follows from that.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There will be no more.
    Over(Ending),
    /// It is to be judged again after so long, or when something happens.
    After(Duration),
    /// It is to be judged again when something happens.
    Open,
}

/// Where it cannot be known whether anybody writes, and nobody has been seen to close the file, it counts as finished
/// when it has been quiet for so many times as long.
const UNKNOWN: u32 = 6;

/// How long it is until a judgement is worth asking who writes.
pub(crate) fn due(seen: &Seen, finished_after: Duration) -> Duration {
    match seen.name {
        Name::Kept => finished_after.saturating_sub(seen.quiet),
        // Its writer may not know yet, and go on for a while. Who could ask, would be told when he closes it.
        Name::Lost(_) => Duration::ZERO,
    }
}

/// Judges a file of which this is [due](due).
pub(crate) fn verdict(seen: &Seen, writers: Writers, finished_after: Duration) -> Verdict {
    let ending = match seen.name {
        Name::Kept => Ending::Finished,
        Name::Lost(ending) => ending,
    };
    match writers {
        Writers::None => Verdict::Over(ending),
        Writers::Some => Verdict::Open,
        Writers::Unknown => {
            let patience = if seen.closed || seen.name != Name::Kept {
                finished_after
            } else {
                finished_after.saturating_mul(UNKNOWN)
            };
            match patience.saturating_sub(seen.watched) {
                Duration::ZERO => Verdict::Over(ending),
                left => Verdict::After(left),
            }
        }
    }
}

/// What a file is for its followers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    /// Its length, in bytes; where it is over, that up to which it goes.
    pub(crate) len: u64,
    /// There will be no more.
    pub(crate) over: Option<Ending>,
}

/// What a follower does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Sends the bytes up to this offset.
    Send(u64),
    /// Waits for more.
    Wait,
    /// Has had all.
    End(Ending),
    /// Cannot have all: bytes are gone that it was to have.
    Lost,
}

/// For a follower that has sent all bytes before `at`, and wants those before `until`.
pub(crate) fn next(at: u64, until: Option<u64>, state: State) -> Next {
    let State { len, over } = state;
    if until.is_some_and(|until| at >= until) {
        return Next::End(Ending::Range);
    }
    match over {
        Some(ending) if at == len => Next::End(ending),
        // What there was is gone.
        Some(Ending::Truncated) => Next::Lost,
        _ if at > len => Next::Lost,
        _ if at < len => Next::Send(until.map_or(len, |until| until.min(len))),
        _ => Next::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn names() {
        use Ending::{Removed, Renamed, Replaced};
        for (path, links, moved, expected) in [
            (Path::Same, 1, false, Name::Kept),
            (Path::Same, 1, true, Name::Kept), // there and back
            (Path::Nothing, 1, true, Name::Lost(Renamed)),
            (Path::Other, 1, true, Name::Lost(Renamed)), // logrotate's create
            (Path::Nothing, 0, true, Name::Lost(Renamed)), // and deleted soon after
            (Path::Other, 0, true, Name::Lost(Renamed)),
            (Path::Nothing, 0, false, Name::Lost(Removed)),
            (Path::Other, 0, false, Name::Lost(Replaced)),
            (Path::Other, 1, false, Name::Lost(Renamed)),
            (Path::Nothing, 1, false, Name::Lost(Renamed)), // it has a hard link elsewhere
        ] {
            assert_eq!(name(path, links, moved), expected, "{path:?} {links} {moved}");
        }
    }

    #[test]
    fn verdicts() {
        use Ending::{Finished, Removed};
        let kept = |quiet, watched, closed| Seen {
            name: Name::Kept,
            quiet: S(quiet),
            watched: S(watched),
            closed,
        };
        let lost = |watched| Seen { name: Name::Lost(Removed), ..kept(watched, watched, false) };
        for (seen, writers, due_in, expected) in [
            (kept(3, 3, false), Writers::None, 7, Verdict::Over(Finished)), // if it were due
            (kept(10, 0, false), Writers::None, 0, Verdict::Over(Finished)),
            (kept(99, 99, true), Writers::Some, 0, Verdict::Open),
            (kept(99, 0, false), Writers::Unknown, 0, Verdict::After(S(60))),
            (kept(99, 59, false), Writers::Unknown, 0, Verdict::After(S(1))),
            (kept(99, 60, false), Writers::Unknown, 0, Verdict::Over(Finished)),
            (kept(10, 9, true), Writers::Unknown, 0, Verdict::After(S(1))),
            (kept(10, 10, true), Writers::Unknown, 0, Verdict::Over(Finished)),
            (lost(0), Writers::None, 0, Verdict::Over(Removed)),
            (lost(0), Writers::Some, 0, Verdict::Open),
            (lost(4), Writers::Unknown, 0, Verdict::After(S(6))),
            (lost(10), Writers::Unknown, 0, Verdict::Over(Removed)),
        ] {
            assert_eq!(due(&seen, S(10)), S(due_in), "{seen:?}");
            assert_eq!(verdict(&seen, writers, S(10)), expected, "{seen:?} {writers:?}");
        }
    }

    #[test]
    fn what_a_follower_does_next() {
        use Ending::{Finished, Range, Truncated};
        let state = |len, over| State { len, over };
        for (at, until, state, expected) in [
            (0, None, state(0, None), Next::Wait),
            (0, None, state(9, None), Next::Send(9)),
            (9, None, state(9, None), Next::Wait),
            (9, None, state(9, Some(Finished)), Next::End(Finished)),
            (5, None, state(9, Some(Finished)), Next::Send(9)),
            (9, None, state(9, Some(Truncated)), Next::End(Truncated)),
            (8, None, state(9, Some(Truncated)), Next::Lost),
            (10, None, state(9, None), Next::Lost),
            (10, None, state(9, Some(Finished)), Next::Lost),
            (5, Some(7), state(9, None), Next::Send(7)),
            (5, Some(12), state(9, None), Next::Send(9)),
            (7, Some(7), state(9, None), Next::End(Range)),
            (7, Some(7), state(9, Some(Truncated)), Next::End(Range)),
            (9, Some(12), state(9, Some(Finished)), Next::End(Finished)),
        ] {
            assert_eq!(next(at, until, state), expected, "{at} {until:?} {state:?}");
        }
    }
}
