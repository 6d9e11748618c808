//! summary.md: the run for people.

use std::fmt::{self, Write};

use super::table::{self, Style};
use super::{Run, mib};

pub(super) fn of_run(run: &Run) -> String {
    let mut text = String::new();
    write_run(&mut text, run).expect("a String takes whatever is written to it");
    text
}

fn write_run(text: &mut String, run: &Run) -> fmt::Result {
    writeln!(text, "# {}\n", run.name())?;
    if !run.publishable {
        writeln!(text, "**Not publishable:** {}.\n", run.not_publishable_because.join("; "))?;
    }
    writeln!(text, "{}.", table::names(&run.servers))?;
    for left in &run.left_out {
        writeln!(text, "{} is left out: {}.", left.server, left.why)?;
    }
    writeln!(text)?;
    write_circumstances(text, run)?;
    writeln!(text, "```\n{}\n```\n", run.command.join(" "))?;
    writeln!(
        text,
        "CPU is user and system time of all the server's processes and threads. A ratio is the subject's figure as a \
         share of the other's: the median of the rounds' ratios. Every round is in raw.json and rounds.csv; report.html \
         has the plots.\n"
    )?;
    if let Some(verdicts) = table::verdicts(run, Style::Markdown) {
        writeln!(text, "## What was demanded\n\n{verdicts}\n")?;
    }
    if let Some(overview) = table::overview(run, Style::Markdown) {
        writeln!(text, "## The leading figure of each case\n\n{overview}\n")?;
    }
    for case in &run.cases {
        writeln!(text, "## {}\n\n{}.\n", case.name, case.about)?;
        writeln!(text, "{}\n", table::case_table(&run.servers, case, Style::Markdown))?;
        for warning in &case.warnings {
            writeln!(text, "- Warning: {warning}.")?;
        }
        for left in &case.left_out {
            writeln!(text, "- {} is left out: {}.", left.server, left.why)?;
        }
        writeln!(text)?;
    }
    writeln!(text, "## How each was started\n")?;
    for server in &run.servers {
        let file = server.configuration.as_ref().map(|found| format!(" ({})", found.file));
        writeln!(
            text,
            "- {}{}: `{}`",
            server.name,
            file.unwrap_or_default(),
            server.command.join(" ")
        )?;
    }
    Ok(())
}

fn write_circumstances(text: &mut String, run: &Run) -> fmt::Result {
    let environment = &run.environment;
    let cores = environment.cores;
    writeln!(
        text,
        "One worker each on core {}, the load generator on core {}. {} interleaved rounds of {} s \
         per server, medians.",
        cores.server, cores.generator, run.rounds, run.seconds
    )?;
    writeln!(
        text,
        "Linux {}, {} ({} cores), {:.0} GiB of memory, documents on {}.",
        environment.kernel,
        environment.cpu_model,
        environment.cpus,
        mib(environment.memory_bytes) / 1024.0,
        environment.document_file_system
    )?;
    let namespace = if environment.own_network_namespace {
        "a network namespace of its own"
    } else {
        "the machine's own network"
    };
    let commit = environment.commit.as_ref().map(|commit| format!(", commit {commit}"));
    writeln!(
        text,
        "Loopback in {namespace}, congestion control {}. {} to {}{}.\n",
        environment.congestion_control,
        run.started,
        run.finished,
        commit.unwrap_or_default()
    )
}
