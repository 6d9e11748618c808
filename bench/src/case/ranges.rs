//! `range` and `multirange`: parts of a large file, as players, resumed downloads and archive readers ask for them.

use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;

use anyhow::Result;

use super::Work;
use crate::load::workload::{Exchange, Workload};
use crate::report::Chapter;
use crate::root::{Document, Ground};

const FILE: u64 = 64 << 20;
/// As a video player asks for. Not between 64 and 128 KiB: on loopback nginx then waits for a delayed acknowledgement with
/// the second of two segments of each answer, which no network with ordinary segments shows.
const PART: u64 = 256 << 10;
const SMALL_PART: u64 = 4 << 10;
const PLACES: u32 = 256;

pub(super) struct Ranges {
    parts: u64,
    part: u64,
}

impl Ranges {
    pub(super) fn one() -> Ranges {
        Ranges { parts: 1, part: PART }
    }

    pub(super) fn several() -> Ranges {
        Ranges { parts: 4, part: SMALL_PART }
    }

    /// At random places, in ascending order and apart from each other.
    fn at_random(&self, random: &mut fastrand::Rng) -> Vec<Range<u64>> {
        let room = FILE / self.parts;
        let start = |number: u64, random: &mut fastrand::Rng| {
            number * room + random.u64(..room - 2 * self.part)
        };
        let range = |start: u64| start..start + self.part;
        (0..self.parts).map(|number| range(start(number, random))).collect()
    }
}

impl Work for Ranges {
    fn name(&self) -> String {
        if self.parts == 1 { "range".into() } else { "multirange".into() }
    }

    fn about(&self) -> String {
        let (parts, part) = (self.parts, self.part >> 10);
        format!("{parts} × {part} KiB at random places of a hot 64 MiB file, over 64 connections")
    }

    fn chapter(&self) -> Chapter {
        Chapter::Requests
    }

    fn lay_out(&self, ground: &Ground) -> Result<Vec<Rc<Document>>> {
        Ok(vec![ground.random("64m.bin", FILE)?])
    }

    fn workload(&self, documents: &[Rc<Document>], _: SocketAddr) -> Result<Workload> {
        let mut random = fastrand::Rng::with_seed(7);
        let exchange = |_| Exchange::ranges(&documents[0], &self.at_random(&mut random));
        Ok(Workload::ordered((0..PLACES).map(exchange).collect(), (0..PLACES).collect()))
    }
}
