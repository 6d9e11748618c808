//! `sendrail cache`: how much of files is in the page cache, and where; brings them in, gives them back.

mod act;
pub mod arguments;
mod complaint;
pub(crate) mod interrupt;
mod json;
mod look;
mod map;
mod memory;
mod output;
mod progress;
mod pseudo;
mod show;
mod style;
mod tally;
mod task;
pub(crate) mod text;
mod walk;

use arguments::CacheArguments;
use std::process::ExitCode;
use task::{End, Task};

/// Does what `sendrail cache` was asked to, and says on standard error what went wrong.
pub fn run(arguments: CacheArguments) -> ExitCode {
    match Task::new(arguments).and_then(Task::run) {
        Ok(End::Whole) => ExitCode::SUCCESS,
        Ok(End::WithErrors) => ExitCode::FAILURE,
        // As a shell says of a program that SIGINT has ended.
        Ok(End::Interrupted) => ExitCode::from(130),
        Err(problem) => {
            eprintln!("sendrail: {problem}");
            ExitCode::FAILURE
        }
    }
}
