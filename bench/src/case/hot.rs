//! `SIZE-CONNECTIONS`: a file that is in the page cache, asked for again and again over keep-alive connections.
//!
//! Measured is server CPU time, which is the server's own; requests per second also depend on who else wants the core.

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Result;

use super::Work;
use crate::limits;
use crate::load::workload::{Exchange, Workload};
use crate::report::{Against, Bound, Chapter, Point};
use crate::root::{Document, Ground};
use crate::sample::{CPU_PER_GIB, CPU_PER_REQUEST};

/// Names, as in the name of a case, and bytes.
const SIZES: [(&str, u64); 7] = [
    ("1k", 1 << 10),
    ("4k", 4 << 10),
    ("10k", 10 << 10),
    ("100k", 100 << 10),
    ("1m", 1 << 20),
    ("64m", 64 << 20),
    ("1g", 1 << 30),
];

/// What the subject must reach against nginx and against the best.
const BOUNDS: [(&str, Against, f64); 9] = [
    ("1k-64", Against::Server("nginx"), 0.60),
    ("1k-64", Against::Best, 0.80),
    ("10k-64", Against::Server("nginx"), 0.70),
    ("10k-64", Against::Best, 0.75),
    ("100k-64", Against::Server("nginx"), 0.80),
    ("100k-64", Against::Best, 0.90),
    ("1m-64", Against::Best, 0.97),
    ("64m-64", Against::Best, 1.00),
    ("1g-64", Against::Best, 1.00),
];

/// From here on bytes are what costs, not requests.
const LARGE: u64 = 1 << 20;
/// Waiting for the last answers is cheap up to this many bytes under way.
const AWAITED: u64 = 1 << 30;

pub(super) fn sizes() -> Vec<&'static str> {
    SIZES.iter().map(|(name, _)| *name).collect()
}

/// A size and a number of connections.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hot {
    size: &'static str,
    len: u64,
    connections: usize,
}

impl Hot {
    pub(super) fn parse(name: &str) -> Option<Hot> {
        let (size, connections) = name.split_once('-')?;
        let (size, len) = *SIZES.iter().find(|(known, _)| *known == size)?;
        let connections =
            connections.parse().ok().filter(|connections| (1..=10_000).contains(connections))?;
        Some(Hot { size, len, connections })
    }
}

impl Work for Hot {
    fn name(&self) -> String {
        format!("{}-{}", self.size, self.connections)
    }

    fn about(&self) -> String {
        let plural = if self.connections == 1 { "" } else { "s" };
        format!(
            "a hot file of {} bytes over {} keep-alive connection{plural}",
            self.len, self.connections
        )
    }

    fn chapter(&self) -> Chapter {
        Chapter::Hot
    }

    fn point(&self) -> Option<Point> {
        Some(Point { bytes: self.len, connections: self.connections })
    }

    fn connections(&self) -> usize {
        self.connections
    }

    fn lay_out(&self, ground: &Ground) -> Result<Vec<Rc<Document>>> {
        limits::require_open_files(self.connections)?;
        Ok(vec![ground.random(&format!("{}.bin", self.size), self.len)?])
    }

    fn workload(&self, documents: &[Rc<Document>], _: SocketAddr) -> Result<Workload> {
        Ok(Workload::one(Exchange::whole(&documents[0], "")))
    }

    fn abandons(&self) -> bool {
        self.len * self.connections as u64 > AWAITED
    }

    fn weight(&self) -> f64 {
        if self.connections == 64 { 1.0 } else { 0.3 }
    }

    fn lead(&self) -> &'static str {
        if self.len >= LARGE { CPU_PER_GIB } else { CPU_PER_REQUEST }
    }

    fn bounds(&self) -> Vec<(&'static str, Bound)> {
        let name = self.name();
        let bound = |(_, against, at_most): &(&str, Against, f64)| {
            (self.lead(), Bound::at_most(*against, *at_most))
        };
        BOUNDS.iter().filter(|(case, _, _)| *case == name).map(bound).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_a_size_and_a_number() {
        assert_eq!(Hot::parse("10k-8"), Some(Hot { size: "10k", len: 10_240, connections: 8 }));
        for name in ["10k", "10k-", "10k-0", "10k--1", "11k-8", "-8", "10k-99999"] {
            assert_eq!(Hot::parse(name), None, "{name}");
        }
    }

    #[test]
    fn bounds_are_for_cases_that_are_run() {
        for (name, _, _) in BOUNDS {
            assert!(super::super::STANDARD.contains(&name), "{name}");
        }
    }
}
