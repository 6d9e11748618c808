//! The command line as it is typed. `config` makes of it what has been checked.

use crate::{
    exchange::arguments::{RecvArguments, SendArguments},
    page_cache::arguments::CacheArguments,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use sendrail_lab::cli::LabArguments;
use sendrail_transfer::DropBehind;
use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

mod live;
mod mutable;
mod sending;
mod uploads;

pub use live::LiveArguments;
pub use mutable::{MutableArguments, MutableChoice};
pub use sending::{MethodChoice, SendingArguments};
pub use uploads::{TokenArguments, UploadArguments};

/// Serves files over HTTP by the cheapest path the kernel offers, and shows the receipt.
#[derive(Debug, Parser)]
#[command(name = "sendrail", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve a directory over HTTP/1.1
    Serve(Box<ServeArguments>),
    /// Make a token for somebody who may upload
    Token(TokenArguments),
    /// Tell how a file would be sent, and why: residency, method, what the kernel offers
    Explain(ExplainArguments),
    /// Show how much of files is in the page cache, and where; bring them in, give them back
    Cache(CacheArguments),
    /// Send files to another machine, where sendrail recv waits for them
    Send(Box<SendArguments>),
    /// Receive files from another machine, where sendrail send is started
    Recv(RecvArguments),
    /// Measure on this machine what articles on zero copy assert
    Lab(LabArguments),
}

/// `sendrail serve`, as typed.
#[derive(Debug, Args)]
#[command(after_help = "\
Sizes take a suffix (64k, 2m, 1g, in powers of 1024), durations a unit (500ms, 10s, 5m, 1h).

Examples:
  sendrail serve                              the current directory, on http://127.0.0.1:8080
  sendrail serve /srv/www --listen 0.0.0.0:80 to everyone
  sendrail serve --config sendrail.toml       as a file says
  sendrail serve . --access-log - --log-format json
                                              each transfer with its receipt, on standard output

Signals: TERM and INT finish what is being sent and stop (a second one stops at once);
HUP opens the access log anew, for log rotation, and reads the tokens of --upload-auth again; it does
not read --config again.")]
pub struct ServeArguments {
    /// The directory to serve
    #[arg(default_value = ".")]
    pub dir: PathBuf,

    /// File with options as listen = "0.0.0.0:80", in TOML; may be given several times. Later files win
    /// over earlier ones, and the command line over all (docs/configuration.md)
    #[arg(long, value_name = "FILE")]
    pub config: Vec<PathBuf>,

    /// Address to listen on; may be given several times. Port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", help_heading = "Listening")]
    pub listen: Vec<SocketAddr>,

    /// Event loops, each with a thread of its own [default: one per core]
    #[arg(long, value_name = "N", help_heading = "Listening")]
    pub workers: Option<usize>,

    /// Connections at once, over all workers; one more is answered with 503
    /// [default: what the open-files limit allows, at most 100000]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub max_connections: Option<usize>,

    /// How files leave.
    #[command(flatten)]
    pub sending: SendingArguments,

    /// The most memory those take per worker; only files asked for often get a share. More than
    /// half of a core's L2 cache is not worth it
    #[arg(long, value_name = "SIZE", default_value = "512k", help_heading = "Sending")]
    pub small_files_memory: Size,

    /// Whether pages that a transfer brought into the page cache are given back behind it. auto: unless
    /// memory is free, or they are asked for often; on: unless they are asked for often; off: never
    #[arg(long, value_enum, default_value_t, help_heading = "Sending")]
    pub drop_behind: DropBehindChoice,

    /// The most that stays behind a transfer before it is given back; where many share little memory it is
    /// less. At least 2m
    #[arg(long, value_name = "SIZE", default_value = "16m", help_heading = "Sending")]
    pub drop_behind_lag: Size,

    /// Which symbolic links are followed. same-root: those that stay beneath DIR (a link with an
    /// absolute target does not)
    #[arg(long, value_enum, default_value_t, help_heading = "Files")]
    pub symlinks: SymlinkChoice,

    /// Whether names that begin with a dot are served (/.well-known/ always is)
    #[arg(long, value_enum, default_value_t = DotfileChoice::Deny, help_heading = "Files")]
    pub dotfiles: DotfileChoice,

    /// What is done about files that change.
    #[command(flatten)]
    pub mutable: MutableArguments,

    /// What is done about files that grow.
    #[command(flatten)]
    pub growing: LiveArguments,

    /// Show a listing for a directory without an index file
    #[arg(long, value_enum, default_value_t = Switch::On, help_heading = "Files")]
    pub listing: Switch,

    /// File that answers for its directory; may be given several times, the first that exists wins
    #[arg(long, value_name = "NAME", default_value = "index.html", help_heading = "Files")]
    pub index: Vec<String>,

    /// Answer with FILE.zst, FILE.br or FILE.gz where the client takes it and it is not older
    #[arg(long, value_enum, default_value_t = Switch::On, help_heading = "Files")]
    pub precompressed: Switch,

    /// Value of Cache-Control on files, such as "max-age=3600"
    #[arg(long, value_name = "VALUE", help_heading = "Files")]
    pub cache_control: Option<String>,

    /// Open files kept per worker (default: 4096, or fewer where the open-files limit is low);
    /// 0 opens anew for each request
    #[arg(long, value_name = "N", help_heading = "Files")]
    pub open_files: Option<usize>,

    /// How long a kept file is taken to be unchanged
    #[arg(long, value_name = "DURATION", default_value = "1s", help_heading = "Files")]
    pub open_files_valid: Span,

    /// Whether files are taken.
    #[command(flatten)]
    pub uploads: UploadArguments,

    /// Where the access log goes: a file, - for standard output, or off
    #[arg(long, value_name = "FILE|-|off", default_value = "off", help_heading = "Log")]
    pub access_log: String,

    /// Form of the access log; each carries the receipt of the transfer
    #[arg(long, value_enum, default_value_t, help_heading = "Log")]
    pub log_format: LogFormat,

    /// For a whole request head, from its first byte or from the connection's start
    #[arg(long, value_name = "DURATION", default_value = "10s", help_heading = "Limits")]
    pub header_timeout: Span,

    /// For a whole request body (bodies are read and thrown away)
    #[arg(long, value_name = "DURATION", default_value = "10s", help_heading = "Limits")]
    pub body_timeout: Span,

    /// The largest request body that is read rather than refused
    #[arg(long, value_name = "SIZE", default_value = "1m", help_heading = "Limits")]
    pub max_body: Size,

    /// Between two requests on a connection
    #[arg(long, value_name = "DURATION", default_value = "60s", help_heading = "Limits")]
    pub idle_timeout: Span,

    /// For a client that takes nothing of what is sent
    #[arg(long, value_name = "DURATION", default_value = "30s", help_heading = "Limits")]
    pub send_timeout: Span,

    /// The least a client must take per second, averaged over the send timeout; 0 for no least
    #[arg(long, value_name = "SIZE", default_value = "256", help_heading = "Limits")]
    pub min_send_rate: Size,

    /// Threads that may sleep on one disk (device) at once. What is not in memory is read by them, so
    /// that nobody else waits for it; all disks together have at most 16 times as many
    #[arg(long, value_name = "N", default_value = "16", help_heading = "Limits")]
    pub disk_threads: usize,

    /// For a disk that does not answer: then whoever wants something from it is told so or cut off
    #[arg(long, value_name = "DURATION", default_value = "30s", help_heading = "Limits")]
    pub disk_timeout: Span,

    /// For transfers under way when the server is told to stop
    #[arg(long, value_name = "DURATION", default_value = "30s", help_heading = "Limits")]
    pub drain_timeout: Span,
}

/// `sendrail explain`, as typed.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// The file to explain
    pub path: PathBuf,

    /// File with options of serve; may be given several times. Those that are not for explain change
    /// nothing
    #[arg(long, value_name = "FILE")]
    pub config: Vec<PathBuf>,

    /// Explain it as if these were given to serve.
    #[command(flatten)]
    pub sending: SendingArguments,

    /// What is done about files that change.
    #[command(flatten)]
    pub mutable: MutableArguments,
}

/// `--drop-behind`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum DropBehindChoice {
    /// By the memory that is free, and by how often a file is asked for
    #[default]
    Auto,
    /// By how often a file is asked for
    On,
    /// As plain sendfile does
    Off,
}

impl DropBehindChoice {
    /// As the engine calls it.
    pub fn mode(self) -> DropBehind {
        match self {
            Self::Auto => DropBehind::Auto,
            Self::On => DropBehind::On,
            Self::Off => DropBehind::Off,
        }
    }
}

/// `--symlinks`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum SymlinkChoice {
    /// None
    Deny,
    /// Those that stay beneath the served directory
    #[default]
    SameRoot,
    /// All, also out of the served directory
    Follow,
}

/// `--dotfiles`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DotfileChoice {
    /// As if they were not there
    Deny,
    /// Like any other
    Serve,
}

/// An option that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Yes
    On,
    /// No
    Off,
}

impl Switch {
    /// Whether it is on.
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

/// `--log-format`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Common Log Format, the receipt at the end of the line
    Common,
    /// The same with Referer and User-Agent
    #[default]
    Combined,
    /// One JSON object per line
    Json,
}

/// A size in bytes, typed as a number with an optional k, m or g (powers of 1024).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit: u64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" | "kib" => 1 << 10,
            "m" | "mb" | "mib" => 1 << 20,
            "g" | "gb" | "gib" => 1 << 30,
            other => return Err(format!("{other:?} is no unit of size: use k, m or g")),
        };
        digits
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(unit))
            .map(Self)
            .ok_or_else(|| "not a size: use a whole number and k, m or g, such as 64k".to_owned())
    }
}

/// A size, or `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeOrAuto(pub Option<u64>);

impl FromStr for SizeOrAuto {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            Ok(Self(None))
        } else {
            text.parse().map(|Size(size)| Self(Some(size)))
        }
    }
}

/// A length of time, typed as a number with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let milliseconds: u64 = match &text[digits.len()..] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "" => return Err("a duration needs a unit: ms, s, m or h, such as 10s".to_owned()),
            other => return Err(format!("{other:?} is no unit of time: use ms, s, m or h")),
        };
        digits
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(milliseconds))
            .map(|total| Self(Duration::from_millis(total)))
            .ok_or_else(|| "not a duration: use a whole number and a unit, such as 10s".to_owned())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("0", 0), ("17", 17), ("64k", 65536), ("2MiB", 2 << 20), ("1g", 1 << 30)]
        {
            assert_eq!(text.parse::<Size>().unwrap(), Size(bytes), "{text}");
        }
        for text in ["", "k", "-1", "1.5m", "1t", "99999999999g", "1 k"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn spans() {
        for (text, ms) in [("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("1h", 3_600_000)] {
            assert_eq!(text.parse::<Span>().unwrap(), Span(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "10", "s", "-1s", "1.5s", "1d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
