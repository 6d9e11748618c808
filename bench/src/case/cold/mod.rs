//! Cold files beside a hot set, in a control group that has room for the hot set but not for the cold files: is what is
//! hot thrown out, does it wait, and what do the cold files cost?
//!
//! Named `cold-COUNTxSIZE-CONNECTIONS`; the usual ones have short names.

mod field;
mod measures;
mod name;
mod turn;

use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;

use super::saturation::Round;
use super::{Case, figures};
use crate::arena::{Arena, Entrant};
use crate::cgroup::Group;
use crate::disk::Queue;
use crate::limits;
use crate::load::beside::Until;
use crate::load::trial::Trial;
use crate::load::workload::{Exchange, Workload};
use crate::report::{CaseReport, Chapter, LeftOut, warnings};
use crate::root::{ColdSet, Document};
use crate::slow_disk::SlowDisk;
use turn::{Scene, Turn};

pub(super) use field::Field;
pub(super) use name::NAMES;
pub(super) use turn::{HOT_CONNECTIONS, Quantiles, RATE, SETTLE, WARMED};

/// Of all the server's processes, with the page cache they fill, in bytes.
pub(super) const MEMORY: u64 = 512 << 20;
const HOT_FILES: usize = 4096;
const HOT_LEN: u64 = 64 << 10;
/// Requests that are drawn before they begin again.
const HOT_DRAWS: usize = 16_384;
/// Hot requests without a stream, before each stream, in multiples of `--seconds`.
const CONTROL: f64 = 3.0;
/// The same for the streams of a course that does not end by itself.
const AGAIN: f64 = 300.0;
const SLOW: f64 = 6.0;
/// Of a disk that answers after 500 ms.
const SLOW_READS_PER_SECOND: u32 = 2;

/// A set of cold files, over how many connections it is downloaded, and how.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cold {
    name: String,
    set: ColdSet,
    connections: usize,
    course: Course,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// Each file once, in an order that is no order on the disk.
    Once,
    /// At random again and again, for a time.
    Again,
    /// The same from a disk that takes long.
    Slow,
}

impl Cold {
    /// The same for all servers.
    fn workload(&self, documents: &[Rc<Document>]) -> Workload {
        let exchanges = documents.iter().map(|document| Exchange::whole(document, "")).collect();
        let mut random = fastrand::Rng::with_seed(8);
        let mut order: Vec<u32> = (0..documents.len() as u32).collect();
        match self.course {
            Course::Once | Course::Slow => random.shuffle(&mut order),
            Course::Again => {
                order = (0..HOT_DRAWS).map(|_| random.u32(..documents.len() as u32)).collect();
            }
        }
        Workload::ordered(exchanges, order)
    }

    fn until(&self, seconds: Duration) -> Until {
        match self.course {
            Course::Once => Until::Done,
            Course::Again => Until::After(seconds.mul_f64(AGAIN)),
            Course::Slow => Until::After(seconds.mul_f64(SLOW)),
        }
    }
}

/// What is hot: the same for every cold case.
pub(super) struct Hot {
    pub(super) documents: Vec<Rc<Document>>,
    /// Each once, in order.
    pub(super) all: Workload,
    /// Drawn at random, each as likely as the next.
    pub(super) drawn: Workload,
}

impl Hot {
    pub(super) fn lay_out(arena: &Arena<'_>) -> Result<Hot> {
        let file = |number| (format!("hot/{number}.bin"), HOT_LEN);
        let files: Vec<_> = (0..HOT_FILES).map(file).collect();
        let documents = arena.ground.random_files(&files)?;
        let exchanges: Vec<_> =
            documents.iter().map(|document| Exchange::whole(document, "")).collect();
        let mut random = fastrand::Rng::with_seed(9);
        let drawn = (0..HOT_DRAWS).map(|_| random.u32(..HOT_FILES as u32)).collect();
        let all = Workload::ordered(exchanges.clone(), (0..HOT_FILES as u32).collect());
        Ok(Hot { documents, all, drawn: Workload::ordered(exchanges, drawn) })
    }
}

impl Case for Cold {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn about(&self) -> String {
        format!(
            "{}, beside {} requests a second for {HOT_FILES} hot files of 64 KiB, in {} MiB of memory",
            self.streams(),
            RATE,
            MEMORY >> 20
        )
    }

    fn is_cold(&self) -> bool {
        true
    }

    fn run(&self, arena: &Arena<'_>) -> Result<CaseReport> {
        limits::require_open_files(HOT_FILES + self.connections)?;
        if let Err(why) = Group::of_memory(MEMORY) {
            return Ok(self.impossible(arena, &format!("{why:#}")));
        }
        if self.course != Course::Slow {
            let documents = arena.ground.cold(self.set, arena.interrupt)?;
            return self.measure(arena, &documents, None);
        }
        let ColdSet { count, len } = self.set;
        let tried = SlowDisk::mount(&arena.ground, count, len).and_then(|disk| {
            Group::of_memory(MEMORY)?.slow_down(&disk.device, SLOW_READS_PER_SECOND)?;
            Ok(disk)
        });
        match tried {
            Ok(disk) => self.measure(arena, &disk.documents, Some(&disk.device)),
            Err(why) => {
                arena.interrupt.check()?;
                Ok(self.impossible(arena, &format!("{why:#}")))
            }
        }
    }
}

impl Cold {
    fn measure(
        &self,
        arena: &Arena<'_>,
        documents: &[Rc<Document>],
        slow: Option<&str>,
    ) -> Result<CaseReport> {
        let hot = Hot::lay_out(arena)?;
        let mut field = Field::of(arena);
        let tried = [&hot.documents[0], &documents[0]];
        let tried = tried.iter().map(|document| Exchange::whole(document, "")).collect();
        let tried = Workload::ordered(tried, vec![0, 1]);
        field.each(arena, |entrant| {
            let server = arena.start(entrant)?;
            Trial::of(server.address, &tried, arena.interrupt)
        })?;
        let scene = Scene {
            hot: &hot,
            documents,
            cold: &self.workload(documents),
            connections: self.connections,
            until: self.until(arena.plan.seconds),
            control: arena.plan.seconds.mul_f64(CONTROL),
            memory: MEMORY,
            slow: slow.map(|device| (device, SLOW_READS_PER_SECOND)),
        };
        let mut turns: Vec<Turn> = Vec::new();
        for number in 1..=arena.plan.rounds {
            field.each(arena, |entrant| {
                let turn = scene.turn(arena, entrant)?;
                turn.show(number, arena.plan.rounds);
                turns.push(turn);
                Ok(())
            })?;
            field.turn_around();
        }
        let killed = field.killed(arena);
        let left_out = field.left_out();
        turns.retain(|turn| left_out.iter().all(|left| left.server != turn.server));
        let bounds = measures::bounds(self.course, self.set.len);
        let mut figures =
            figures::of_own(arena, &measures::FIGURES, &turns, |turn| &turn.server, &bounds);
        figures.push(killed);
        let mut warnings = measures::warnings(&turns);
        let disk = Queue::of(&documents[0].path);
        let raw = serde_json::json!({ "memory_bytes": MEMORY, "disk": disk, "turns": turns });
        let samples = turns.into_iter().flat_map(|turn| [turn.control, turn.streams]).collect();
        warnings.extend(warnings::of_quiet(&[Round { samples }]));
        Ok(CaseReport { figures, left_out, warnings, raw, ..self.empty() })
    }

    /// The report of a case that cannot be run here.
    fn impossible(&self, arena: &Arena<'_>, why: &str) -> CaseReport {
        eprintln!("    left out: {why}");
        let left = |entrant: &&Entrant| LeftOut {
            server: entrant.name().to_owned(),
            why: format!("not measured here: {why}"),
        };
        CaseReport { left_out: arena.entrants().iter().map(left).collect(), ..self.empty() }
    }

    fn empty(&self) -> CaseReport {
        CaseReport {
            name: self.name(),
            about: self.about(),
            chapter: Chapter::Cold,
            point: None,
            figures: Vec::new(),
            left_out: Vec::new(),
            warnings: Vec::new(),
            raw: serde_json::Value::Null,
        }
    }
}
