//! summary.md: the run for people.

use std::fmt::{self, Write};

use super::{Run, ServerRecord, mib, table};

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
    let server = |server: &ServerRecord| format!("{} ({})", server.name, server.version);
    let servers: Vec<String> = run.servers.iter().map(server).collect();
    writeln!(text, "{}.\n", servers.join(" against "))?;
    write_circumstances(text, run)?;
    writeln!(text, "```\n{}\n```\n\n{}\n", run.command.join(" "), table::markdown(run))?;
    for case in &run.cases {
        for warning in &case.warnings {
            writeln!(text, "- **{}**: {warning}", case.name)?;
        }
    }
    writeln!(
        text,
        "\nCPU is user and system time of all the server's processes and threads. A ratio is the \
         median of the rounds' ratios, with the least and the greatest. Every round is in raw.json.\n"
    )?;
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
