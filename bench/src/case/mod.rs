//! The cases: one small file per kind of work. Most describe a [`Work`], which is measured at saturation; those that need
//! more are a [`Case`] of their own.

mod cold;
mod conditional;
mod contest;
mod figures;
mod hot;
mod idle;
mod latency;
mod live;
mod memory;
mod mirror;
mod pattern;
mod popularity;
mod precompressed;
mod ranges;
mod saturation;
mod segments;
mod slow;
mod uploads;
mod web;

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Context, Result, bail};

use crate::arena::Arena;
use crate::load::workload::Workload;
use crate::report::{Bound, CaseReport, Chapter, Point};
use crate::root::{Document, Ground};
use crate::sample::CPU_PER_REQUEST;

pub(crate) use saturation::Round;

/// One piece of work that all servers are given.
pub(crate) trait Case {
    /// By which it is asked for on the command line.
    fn name(&self) -> String;

    /// What is done, in a line.
    fn about(&self) -> String;

    fn run(&self, arena: &Arena<'_>) -> Result<CaseReport>;

    /// Whether it is about files that are not in memory: then the peers' settings for those take part.
    fn is_cold(&self) -> bool {
        false
    }
}

/// Documents, and what is asked of a server that serves them.
pub(crate) trait Work {
    fn name(&self) -> String;

    fn about(&self) -> String;

    fn chapter(&self) -> Chapter;

    /// For plots over size.
    fn point(&self) -> Option<Point> {
        None
    }

    fn connections(&self) -> usize {
        64
    }

    /// Puts the documents into the document root.
    fn lay_out(&self, ground: &Ground) -> Result<Vec<Rc<Document>>>;

    /// What is asked of the server at this address: the same of all, but for validators that a server makes up itself.
    fn workload(&self, documents: &[Rc<Document>], server: SocketAddr) -> Result<Workload>;

    /// Whether answers are so long that those under way at the end are abandoned instead of waited for.
    fn abandons(&self) -> bool {
        false
    }

    /// The length of a stretch as a share of `--seconds`.
    fn weight(&self) -> f64 {
        1.0
    }

    /// The figure the case is about.
    fn lead(&self) -> &'static str {
        CPU_PER_REQUEST
    }

    /// What the subject must reach, by figure.
    fn bounds(&self) -> Vec<(&'static str, Bound)> {
        Vec::new()
    }
}

/// The cases of a full run, in its order.
const STANDARD: [&str; 32] = [
    "1k-1",
    "1k-64",
    "1k-512",
    "4k-1",
    "4k-64",
    "4k-512",
    "10k-1",
    "10k-64",
    "10k-512",
    "100k-1",
    "100k-64",
    "100k-512",
    "1m-1",
    "1m-64",
    "1m-512",
    "64m-1",
    "64m-64",
    "64m-512",
    "1g-1",
    "1g-64",
    "1g-512",
    "web",
    "mirror",
    "range",
    "multirange",
    "not-modified",
    "precompressed",
    "latency-1k",
    "latency-web",
    "idle-10000",
    "slow-readers",
    "memory-5g-64",
];

/// The cases of a quick look.
const QUICK: [&str; 8] =
    ["1k-64", "10k-64", "100k-64", "1m-64", "64m-64", "web", "not-modified", "latency-1k"];

/// Takes long and shows little beside the others: only by name.
const ONLY_BY_NAME: [&str; 1] = ["memory-5g-64"];

/// The name of the group of [`cold::NAMES`].
const COLD: &str = "cold";

/// Any case: those of a full run, every size at any number of connections, and the latency of any work.
fn by_name(name: &str) -> Result<Box<dyn Case>> {
    if let Some(work) = name.strip_prefix("latency-").and_then(work) {
        return Ok(Box::new(latency::Latency(work)));
    }
    if let Some(work) = work(name) {
        return Ok(Box::new(saturation::Saturation(work)));
    }
    if let Some(cold) = cold::Cold::parse(name) {
        return Ok(Box::new(cold));
    }
    let others: [Box<dyn Case>; 3] =
        [Box::new(idle::Idle10000), Box::new(slow::SlowReading), Box::new(memory::Memory5g)];
    match others.into_iter().find(|case| case.name() == name) {
        Some(case) => Ok(case),
        None => bail!("no case {name:?}; --list names them"),
    }
}

/// What is measured. Each has servers and cases of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discipline {
    /// A server of files, beside others.
    Files,
    /// The broker of a segment log.
    Segments,
    /// A server of files that grow.
    Live,
    /// A server of files that arrive, beside others.
    Uploads,
}

/// Those that an option asks for.
const DISCIPLINES: [(&str, Discipline); 3] = [
    ("--segments", Discipline::Segments),
    ("--live", Discipline::Live),
    ("--uploads", Discipline::Uploads),
];

impl Discipline {
    /// The cases of a run, or of a look.
    fn names(self, quick: bool) -> Vec<&'static str> {
        match (self, quick) {
            (Discipline::Files, false) => {
                STANDARD.iter().filter(|name| !ONLY_BY_NAME.contains(name)).copied().collect()
            }
            (Discipline::Files, true) => QUICK.to_vec(),
            (Discipline::Segments, false) => segments::NAMES.to_vec(),
            (Discipline::Segments, true) => segments::QUICK.to_vec(),
            (Discipline::Live, false) => live::NAMES.to_vec(),
            (Discipline::Live, true) => live::QUICK.to_vec(),
            (Discipline::Uploads, false) => uploads::NAMES.to_vec(),
            (Discipline::Uploads, true) => uploads::QUICK.to_vec(),
        }
    }

    fn by_name(self, name: &str) -> Result<Box<dyn Case>> {
        let found = match self {
            Discipline::Files => return by_name(name),
            Discipline::Segments => segments::by_name(name),
            Discipline::Live => live::by_name(name),
            Discipline::Uploads => uploads::by_name(name),
        };
        let known = || self.names(false).join(", ");
        found.with_context(|| format!("no case {name:?} here; there are {}", known()))
    }

    /// Those that are named, in this order, or else those of a run or of a look.
    pub(crate) fn cases(self, names: &[String], quick: bool) -> Result<Vec<Box<dyn Case>>> {
        if names.is_empty() {
            return self.names(quick).into_iter().map(|name| self.by_name(name)).collect();
        }
        if self == Discipline::Files {
            return by_names(names);
        }
        names.iter().map(|name| self.by_name(name)).collect()
    }
}

/// Cases by their names, in this order; a group's name stands for its members.
fn by_names(names: &[String]) -> Result<Vec<Box<dyn Case>>> {
    let members = |name: &String| {
        if name == COLD { cold::NAMES.map(str::to_owned).to_vec() } else { vec![name.clone()] }
    };
    names.iter().flat_map(members).map(|name| by_name(&name)).collect()
}

/// Work by its name; a size without a number of connections has 64 of them.
fn work(name: &str) -> Option<Box<dyn Work>> {
    if let Some(hot) = hot::Hot::parse(name).or_else(|| hot::Hot::parse(&format!("{name}-64"))) {
        return Some(Box::new(hot));
    }
    let others: [Box<dyn Work>; 6] = [
        Box::new(web::Web),
        Box::new(mirror::Mirror),
        Box::new(ranges::Ranges::one()),
        Box::new(ranges::Ranges::several()),
        Box::new(conditional::NotModified),
        Box::new(precompressed::Precompressed),
    ];
    others.into_iter().find(|work| work.name() == name)
}

pub(crate) fn print_names() {
    for name in STANDARD {
        let case = by_name(name).expect("a test asks for each by name");
        let remark = if ONLY_BY_NAME.contains(&name) { " (only by name)" } else { "" };
        println!("{name:16} {}{remark}", case.about());
    }
    for name in cold::NAMES {
        let case = by_name(name).expect("a test asks for each by name");
        println!("{name:16} {} (only by name, or as {COLD})", case.about());
    }
    for (option, discipline) in DISCIPLINES {
        println!("\nwith {option}:");
        for name in discipline.names(false) {
            let case = discipline.by_name(name).expect("a test asks for each by name");
            println!("{name:16} {}", case.about());
        }
    }
    println!("\nand {} at any number of connections, e.g. 100k-8;", hot::sizes().join(", "));
    println!("and latency-CASE for the latency of any work at a fixed rate, e.g. latency-100k-8;");
    println!("and cold-COUNTxSIZE-CONNECTIONS, e.g. cold-16x256m-4, and crawler-COUNT");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_answers_to_its_name() {
        for name in STANDARD.iter().chain(&QUICK).chain(&cold::NAMES) {
            assert_eq!(by_name(name).map(|case| case.name()).ok().as_deref(), Some(*name));
        }
        assert!(by_name("latency-100k-8").is_ok() && by_name("100k-8").is_ok());
        for name in ["", "latency-", "latency-idle-10000", "1k-0", "tea"] {
            assert!(by_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn cases_of_other_disciplines_answer_to_theirs() {
        for discipline in DISCIPLINES.map(|(_, discipline)| discipline) {
            let all = discipline.names(false);
            for name in all.iter().chain(&discipline.names(true)) {
                let found = discipline.by_name(name).map(|case| case.name());
                assert_eq!(found.ok().as_deref(), Some(*name));
            }
            assert!(discipline.names(true).iter().all(|name| all.contains(name)));
            let unknown =
                discipline.cases(&["1k-64".to_owned()], false).err().map(|error| error.to_string());
            assert!(unknown.is_some_and(|why| why.contains(all[0])));
        }
    }

    #[test]
    fn a_group_stands_for_its_members() {
        let names: Vec<String> = ["1k-64", "cold", "web"].map(String::from).to_vec();
        let found: Vec<String> =
            by_names(&names).ok().into_iter().flatten().map(|case| case.name()).collect();
        assert_eq!(found.len(), 2 + cold::NAMES.len());
        assert_eq!((found[1].as_str(), found[found.len() - 1].as_str()), ("cold-1", "web"));
    }

    #[test]
    fn a_quick_look_is_a_part_of_the_whole() {
        assert!(QUICK.iter().all(|name| STANDARD.contains(name)));
    }
}
