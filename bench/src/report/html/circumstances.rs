//! What the figures depend on, and what is needed to take them again.

use maud::{Markup, html};

use super::number::{count, fixed};
use super::tables::scrolling;
use crate::environment::Environment;
use crate::report::{Run, ServerRecord, mib};

pub(super) fn section(run: &Run) -> Markup {
    let cores = run.environment.cores;
    html! {
        section #circumstances {
            h2 { "Circumstances" }
            h3 { "How it was measured" }
            p.prose {
                "Each server runs one worker, pinned to core " (cores.server)
                "; the load generator runs on core " (cores.generator) ". "
                "There were " (count(run.rounds as usize, "round")) " of " (fixed(run.seconds, 1))
                " s per server, interleaved and in alternating order; every figure is a median, and ratios are taken "
                "round by round. "
                "CPU is user and system time of all the server’s processes and threads, from /proc. "
                "At a fixed rate, latency counts from the moment a request was meant to be sent, so that no coordinated "
                "omission hides a stall."
            }
            h3 { "To take it again" }
            pre { (shell(&run.command)) }
            h3 { "The machine" }
            (machine(run))
            h3 { "Kernel settings" }
            (settings(&run.environment))
            h3 { "The servers" }
            @for server in &run.servers { (server_record(server)) }
        }
    }
}

fn machine(run: &Run) -> Markup {
    let environment = &run.environment;
    let or_none = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
    let namespace = if environment.own_network_namespace {
        "loopback in a network namespace of its own"
    } else {
        "loopback of the machine’s own network"
    };
    let unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    let lines = [
        ("Host", environment.host.clone()),
        ("Kernel", environment.kernel.clone()),
        (
            "Kernel command line, as far as it bears on speed",
            or_none(&environment.kernel_command_line),
        ),
        (
            "Processor",
            format!(
                "{}, {}, {}",
                environment.cpu_model,
                count(environment.cpus, "core"),
                environment.architecture
            ),
        ),
        ("Frequency governor", unknown(&environment.governor)),
        ("Memory", format!("{:.1} GiB", mib(environment.memory_bytes) / 1024.0)),
        ("Load average at the start", environment.load_average_at_start.clone()),
        ("Network", namespace.to_owned()),
        ("Congestion control", environment.congestion_control.clone()),
        ("File system of the documents", environment.document_file_system.clone()),
        ("Open files, at most", fixed(environment.open_files_limit as f64, 0)),
        ("Commit", unknown(&environment.commit)),
        ("From and to", format!("{} – {}", run.started, run.finished)),
    ];
    html! {
        dl.facts { @for (name, value) in &lines { div { dt { (name) } dd { (value) } } } }
    }
}

fn settings(environment: &Environment) -> Markup {
    scrolling(
        "Kernel settings",
        &html! {
            table {
                thead { tr { th scope="col" { "Setting" } th scope="col" { "Value" } } }
                tbody {
                    @for (name, value) in &environment.settings {
                        tr { th scope="row" { code { (name) } } td { code { (value) } } }
                    }
                }
            }
        },
    )
}

fn server_record(server: &ServerRecord) -> Markup {
    html! {
        details.server {
            summary { strong { (server.name) } " " span.quiet { (server.version) } }
            pre { (shell(&server.command)) }
            @if let Some(configuration) = &server.configuration {
                p.quiet { (configuration.file) }
                pre { (configuration.text) }
            }
        }
    }
}

/// The words as a shell takes them.
fn shell(words: &[String]) -> String {
    let plain = |word: &str| {
        let known = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,@%+".contains(letter);
        !word.is_empty() && word.chars().all(known)
    };
    let quoted = words.iter().map(|word| {
        if plain(word) { word.clone() } else { format!("'{}'", word.replace('\'', r"'\''")) }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted() {
        let words = ["bench", "--out", "a b", "it's", ""].map(String::from);
        assert_eq!(shell(&words), r"bench --out 'a b' 'it'\''s' ''");
    }
}
