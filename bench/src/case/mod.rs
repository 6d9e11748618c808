//! The cases: one file per kind of work, each of which knows how to run itself and what to report.

mod hot;
mod idle;
mod memory;

use anyhow::{Result, bail};

use crate::arena::Arena;
use crate::report::CaseReport;

pub(crate) use hot::{Round, Sample};

/// One piece of work that all servers are given.
pub(crate) trait Case {
    /// By which it is asked for on the command line.
    fn name(&self) -> String;

    /// What is done, in a line.
    fn about(&self) -> String;

    fn run(&self, arena: &Arena<'_>) -> Result<CaseReport>;
}

/// The cases of a full run, in its order.
pub(crate) fn standard() -> Vec<Box<dyn Case>> {
    let hot =
        hot::STANDARD.iter().map(|&name| by_name(name).expect("a test asks for each by name"));
    hot.chain([Box::new(memory::Memory5g) as Box<dyn Case>, Box::new(idle::Idle10000)]).collect()
}

/// Any case: those of a full run, and every size at any number of connections.
pub(crate) fn by_name(name: &str) -> Result<Box<dyn Case>> {
    if let Some(hot) = hot::Hot::parse(name) {
        return Ok(Box::new(hot));
    }
    let others: [Box<dyn Case>; 2] = [Box::new(memory::Memory5g), Box::new(idle::Idle10000)];
    for case in others {
        if case.name() == name {
            return Ok(case);
        }
    }
    bail!("no case {name:?}; --list names them")
}

pub(crate) fn print_names() {
    for case in standard() {
        println!("{:16} {}", case.name(), case.about());
    }
    println!("\nand {} at any number of connections, e.g. 100k-8", hot::sizes().join(", "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_answers_to_its_name() {
        let cases = standard();
        assert!(cases.len() > 7);
        for case in cases {
            assert_eq!(by_name(&case.name()).map(|found| found.name()).ok(), Some(case.name()));
        }
    }
}
