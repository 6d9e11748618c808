//! The `sendrail` binary: reads the command line, runs what it asks for, and says what went wrong.

#![forbid(unsafe_code)]

use clap::{Args, Parser};
use sendrail::{
    cli::{Cli, Command},
    config::{Config, Problem, file},
    exchange, explain, page_cache, serve,
    uploads::tokens,
};
use std::{process::ExitCode, sync::Arc};

fn main() -> ExitCode {
    without_sigxfsz();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return mistyped(&said),
    };
    let done = match cli.command {
        Command::Serve(typed) => completed(*typed, |all| Config::check(all).and_then(serve::run)),
        Command::Token(arguments) => tokens::make(&arguments.name),
        Command::Explain(typed) => completed(typed, |all| explain::run(&all)),
        Command::Cache(arguments) => return page_cache::run(arguments),
        Command::Send(arguments) => return exchange::send(*arguments),
        Command::Recv(arguments) => return exchange::recv(&arguments),
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

/// Beyond the limit for the length of files (RLIMIT_FSIZE, getrlimit(2)) a write is to fail with EFBIG, which is then said of the file,
/// and not to end the process by SIGXFSZ, which would end a server with its log. A handler that does nothing is as good as ignoring it.
fn without_sigxfsz() {
    if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default()) {
        eprintln!("sendrail: sigaction(2): {error}");
    }
}

/// Says what is wrong with the command line, or what help was asked for.
fn mistyped(said: &clap::Error) -> ExitCode {
    let _ = said.print();
    // For these, 2 is a connection that can be tried again.
    let is_exchange =
        std::env::args_os().nth(1).is_some_and(|command| command == "send" || command == "recv");
    match said.exit_code() {
        0 => ExitCode::SUCCESS,
        _ if is_exchange => ExitCode::FAILURE,
        code => ExitCode::from(u8::try_from(code).unwrap_or(1)),
    }
}

/// Runs a command with what was typed and what files say; a problem with an option from a file says where it stands.
fn completed<A: Args>(
    parsed: A,
    run: impl FnOnce(A) -> Result<(), Problem>,
) -> Result<(), Problem> {
    // The program's name, and the command's: no option can stand between them.
    let typed: Vec<_> = std::env::args_os().skip(2).collect();
    let (arguments, places) = file::complete(parsed, &typed)?;
    run(arguments).map_err(|problem| places.of(problem))
}
