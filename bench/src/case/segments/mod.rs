//! `--segments`: the segment log's broker beside the same fetches answered in Java (`fetch-…`), and what consumers at its tail
//! notice of one that lags behind (`tail`).

mod consumers;
mod fetch;
mod layout;
#[cfg(test)]
mod mock;
mod tail;
mod tailing;
mod trial;
mod wire;

use super::Case;
use fetch::Fetch;
use tail::Tail;

/// The cases of a run.
pub(super) const NAMES: [&str; 7] = [
    "fetch-1m-1",
    "fetch-1m-16",
    "fetch-1m-256",
    "fetch-4k-1",
    "fetch-4k-16",
    "fetch-4k-256",
    "tail",
];

/// Those of them for a look.
pub(super) const QUICK: [&str; 3] = ["fetch-1m-16", "fetch-4k-16", "tail"];

pub(super) fn by_name(name: &str) -> Option<Box<dyn Case>> {
    match name {
        "tail" => Some(Box::new(Tail)),
        _ => Some(Box::new(Fetch::parse(name)?)),
    }
}
