//! The `sendrail` binary: reads the command line, runs what it asks for, and says what went wrong.

#![forbid(unsafe_code)]

use clap::Parser;
use sendrail::{
    cli::{Cli, Command},
    config::Config,
    explain, page_cache, serve,
};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Serve(arguments) => Config::check(*arguments).and_then(serve::run),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Cache(arguments) => return page_cache::run(arguments),
        Command::Lab(arguments) => return sendrail_lab::cli::run(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("sendrail: {problem}");
            ExitCode::FAILURE
        }
    }
}
