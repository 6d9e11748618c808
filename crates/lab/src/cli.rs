//! `sendrail lab`, as it is typed, and what it does.

mod progress;

use crate::{cache, classic, nic, report, subject, table, tune};
use clap::{Args, Subcommand};
use progress::Progress;
use sendrail_sys::statfs::{FileSystem, file_system};
use serde::Serialize;
use std::{
    env,
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

/// `sendrail lab`, as typed.
#[derive(Debug, Args)]
pub struct LabArguments {
    /// What to measure.
    #[command(subcommand)]
    pub experiment: Experiment,
}

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum Experiment {
    /// The articles' table: copies, system calls, switches and time of each way of sending a file
    Table(TableArguments),
    /// The table of 2008 that every article quotes: eight sizes, "traditional" against zero copy
    Classic(ClassicArguments),
    /// What a large cold file does to a hot set in the page cache, by each way of sending it
    Cache(CacheArguments),
    /// This machine's thresholds, as a configuration for sendrail serve, with the curve of each
    Tune(TuneArguments),
    /// What each network interface's features mean for sending without a copy
    Nic(NicArguments),
    /// The process that sends, for the other experiments
    #[command(hide = true)]
    Subject,
}

/// `sendrail lab table`, as typed.
#[derive(Debug, Args)]
#[command(after_help = "\
Copies are counted in the kernel by BPF, which takes root (CAP_BPF and CAP_PERFMON) and Linux 5.11 on
x86-64. Without, the table has a ? for what nobody could see, and says why.

Examples:
  sendrail lab table --quick          a look, in less than a minute
  sendrail lab table --out report     also as a page, Markdown, CSV and JSON")]
pub struct TableArguments {
    /// 64 MiB and 3 rounds, instead of 512 MiB and 5
    #[arg(long)]
    pub quick: bool,

    /// Rounds; of each figure the median is shown
    #[arg(long, value_name = "N")]
    pub rounds: Option<usize>,

    /// Size of the file, in MiB
    #[arg(long, value_name = "MIB")]
    pub size: Option<u64>,

    /// Folder for table.html, table.md, table.csv and table.json
    #[arg(long, value_name = "DIRECTORY")]
    pub out: Option<PathBuf>,

    /// Print JSON instead of the table
    #[arg(long)]
    pub json: bool,

    /// Folder for the file that is sent, on the disk that is to be measured [default: the system's
    /// temporary directory, or /var/tmp where that is in memory]
    #[arg(long, value_name = "DIRECTORY")]
    pub scratch: Option<PathBuf>,
}

/// `sendrail lab classic`, as typed.
#[derive(Debug, Args)]
#[command(after_help = "\
Where java (11 or later, with its compiler) is in PATH, the article's programs are measured in Java too, and
Netty where Debian's libnetty-java is. Java cannot choose its congestion control: as root all is measured in a
network namespace with reno.")]
pub struct ClassicArguments {
    /// Sizes up to 98 MB and 3 rounds, instead of 1 GB and 5
    #[arg(long)]
    pub quick: bool,

    /// Rounds; the medians are shown
    #[arg(long, value_name = "N")]
    pub rounds: Option<usize>,

    /// The largest size, in MB
    #[arg(long, value_name = "MB")]
    pub most: Option<u64>,

    /// Folder for classic.html, classic.md, classic.csv and classic.json
    #[arg(long, value_name = "DIRECTORY")]
    pub out: Option<PathBuf>,

    /// Print JSON instead of the table
    #[arg(long)]
    pub json: bool,

    /// Folder for the files that are sent [default: as for the table]
    #[arg(long, value_name = "DIRECTORY")]
    pub scratch: Option<PathBuf>,
}

/// `sendrail lab cache`, as typed.
#[derive(Debug, Args)]
#[command(after_help = "\
All take part in a control group with little memory, page cache included, which takes root. Without, the
machine's memory is the limit, and says so.")]
pub struct CacheArguments {
    /// A cold file of 768 MiB and 1 round, instead of 3 GiB and 3
    #[arg(long)]
    pub quick: bool,

    /// Rounds
    #[arg(long, value_name = "N")]
    pub rounds: Option<usize>,

    /// The memory, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    pub memory: u64,

    /// The hot set, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    pub hot: u64,

    /// The cold file, in MiB
    #[arg(long, value_name = "MIB")]
    pub cold: Option<u64>,

    /// Reads of the hot set in a second
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub rate: u32,

    /// Folder for cache.html, cache.md, cache.csv and cache.json
    #[arg(long, value_name = "DIRECTORY")]
    pub out: Option<PathBuf>,

    /// Print JSON instead of the table
    #[arg(long)]
    pub json: bool,

    /// Folder for the files [default: as for the table]
    #[arg(long, value_name = "DIRECTORY")]
    pub scratch: Option<PathBuf>,
}

/// `sendrail lab tune`, as typed.
#[derive(Debug, Args)]
#[command(after_help = "\
Takes about a minute. What was right already stays in a comment; sendrail serve --config DIRECTORY/sendrail.toml
takes the rest.")]
pub struct TuneArguments {
    /// 128 MiB and 3 rounds, instead of 512 MiB and 5
    #[arg(long)]
    pub quick: bool,

    /// Rounds; the medians are compared
    #[arg(long, value_name = "N")]
    pub rounds: Option<usize>,

    /// Size of the file, in MiB
    #[arg(long, value_name = "MIB")]
    pub size: Option<u64>,

    /// Folder for sendrail.toml, tune.html, tune.md, tune.csv and tune.json
    #[arg(long, value_name = "DIRECTORY")]
    pub out: Option<PathBuf>,

    /// Print JSON instead of the tables and the configuration
    #[arg(long)]
    pub json: bool,

    /// Folder for the file that is sent, on the disk that is to be measured [default: as for the table]
    #[arg(long, value_name = "DIRECTORY")]
    pub scratch: Option<PathBuf>,
}

/// `sendrail lab nic`, as typed.
#[derive(Debug, Args)]
pub struct NicArguments {
    /// Folder for nic.html, nic.md, nic.csv and nic.json
    #[arg(long, value_name = "DIRECTORY")]
    pub out: Option<PathBuf>,

    /// Print JSON instead of the table
    #[arg(long)]
    pub json: bool,
}

/// Runs an experiment, and says what went wrong.
pub fn run(arguments: LabArguments) -> ExitCode {
    let done = match arguments.experiment {
        Experiment::Table(arguments) => run_table(&arguments),
        Experiment::Classic(arguments) => run_classic(&arguments),
        Experiment::Cache(arguments) => run_cache(&arguments),
        Experiment::Tune(arguments) => run_tune(&arguments),
        Experiment::Nic(arguments) => run_nic(&arguments),
        Experiment::Subject => subject::run().map_err(|error| error.to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("sendrail lab: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run_table(arguments: &TableArguments) -> Result<(), String> {
    let (mib, rounds) = if arguments.quick { (64, 3) } else { (512, 5) };
    let (mib, rounds) = (arguments.size.unwrap_or(mib), arguments.rounds.unwrap_or(rounds));
    if !(1..=1 << 20).contains(&mib) {
        return Err(format!("--size {mib}: must be from 1 MiB to 1 TiB"));
    }
    let (program, scratch) = (program()?, arguments.scratch.clone().unwrap_or_else(scratch));
    let plan = table::Plan { program, scratch, len: mib << 20, rounds: check(rounds)? };
    let bar = Progress::new();
    let table = table::measure(&plan, |share, what| bar.share(share, what));
    drop(bar);
    let table = table.map_err(|error| format!("{}: {error}", plan.scratch.display()))?;
    if let Some(folder) = &arguments.out {
        let written = report::table::write(&table, folder);
        written.map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    show(&table, arguments.json, report::table::text)
}

fn run_classic(arguments: &ClassicArguments) -> Result<(), String> {
    let (most, rounds) = if arguments.quick { (98, 3) } else { (1024, 5) };
    let (most, rounds) = (arguments.most.unwrap_or(most), arguments.rounds.unwrap_or(rounds));
    if most < classic::PUBLISHED[0].0 {
        return Err(format!("--most {most}: the smallest size is {} MB", classic::PUBLISHED[0].0));
    }
    let (program, scratch) = (program()?, arguments.scratch.clone().unwrap_or_else(scratch));
    let plan = classic::Plan { program, scratch, most, rounds: check(rounds)? };
    let bar = Progress::new();
    let classic = classic::measure(&plan, |what| bar.what(what));
    drop(bar);
    let classic = classic.map_err(|error| format!("{}: {error}", plan.scratch.display()))?;
    if let Some(folder) = &arguments.out {
        let written = report::classic::write(&classic, folder);
        written.map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    show(&classic, arguments.json, report::classic::text)
}

fn run_cache(arguments: &CacheArguments) -> Result<(), String> {
    let &CacheArguments { memory, hot, rate, .. } = arguments;
    let cold = arguments.cold.unwrap_or(if arguments.quick { 768 } else { 3072 });
    for (option, mib) in [("--memory", memory), ("--hot", hot), ("--cold", cold)] {
        if !(1..=1 << 20).contains(&mib) {
            return Err(format!("{option} {mib}: must be from 1 MiB to 1 TiB"));
        }
    }
    if hot >= memory {
        return Err(format!("--hot {hot}: it would not fit into --memory {memory}"));
    }
    if !(1..=100_000).contains(&rate) {
        return Err(format!("--rate {rate}: must be from 1 to 100000"));
    }
    let (program, scratch) = (program()?, arguments.scratch.clone().unwrap_or_else(scratch));
    let [memory, hot, cold] = [memory, hot, cold].map(|mib| mib << 20);
    let rounds = check(arguments.rounds.unwrap_or(if arguments.quick { 1 } else { 3 }))?;
    let plan = cache::Plan { program, scratch, memory, hot, cold, rate, rounds };
    let bar = Progress::new();
    let experiment = cache::measure(&plan, |what| bar.what(what));
    drop(bar);
    let experiment = experiment.map_err(|error| format!("{}: {error}", plan.scratch.display()))?;
    if let Some(folder) = &arguments.out {
        let written = report::cache::write(&experiment, folder);
        written.map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    show(&experiment, arguments.json, report::cache::text)
}

fn run_tune(arguments: &TuneArguments) -> Result<(), String> {
    let (mib, rounds) = if arguments.quick { (128, 3) } else { (512, 5) };
    let (mib, rounds) = (arguments.size.unwrap_or(mib), arguments.rounds.unwrap_or(rounds));
    if !(16..=1 << 20).contains(&mib) {
        return Err(format!("--size {mib}: must be from 16 MiB to 1 TiB"));
    }
    let (program, scratch) = (program()?, arguments.scratch.clone().unwrap_or_else(scratch));
    let read_for = Duration::from_millis(if arguments.quick { 150 } else { 400 });
    let plan = tune::Plan { program, scratch, len: mib << 20, rounds: check(rounds)?, read_for };
    let bar = Progress::new();
    let tuned = tune::measure(&plan, |share, what| bar.share(share, what));
    drop(bar);
    let tuned = tuned.map_err(|error| format!("{}: {error}", plan.scratch.display()))?;
    if let Some(folder) = &arguments.out {
        let written = report::tune::write(&tuned, folder);
        written.map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    show(&tuned, arguments.json, report::tune::text)
}

fn run_nic(arguments: &NicArguments) -> Result<(), String> {
    let interfaces = nic::interfaces().map_err(|error| error.to_string())?;
    if let Some(folder) = &arguments.out {
        let written = report::write_interfaces(&interfaces, folder);
        written.map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    show(&interfaces, arguments.json, |interfaces| report::interfaces(interfaces))
}

fn check(rounds: usize) -> Result<usize, String> {
    if (1..=1000).contains(&rounds) {
        return Ok(rounds);
    }
    Err(format!("--rounds {rounds}: must be from 1 to 1000"))
}

/// This program, which can be a subject.
fn program() -> Result<PathBuf, String> {
    env::current_exe().map_err(|error| format!("where is this program? {error}"))
}

fn show<T: Serialize>(
    result: &T,
    json: bool,
    text: impl FnOnce(&T) -> String,
) -> Result<(), String> {
    let text = if json {
        serde_json::to_string_pretty(result).map_err(|error| error.to_string())? + "\n"
    } else {
        text(result)
    };
    io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())
}

/// A folder on a disk, if one of the usual ones is.
fn scratch() -> PathBuf {
    let usual = env::temp_dir();
    let in_memory = File::open(&usual)
        .and_then(|folder| file_system(folder.as_fd()))
        .is_ok_and(|kind| kind == FileSystem::Tmpfs);
    if in_memory { PathBuf::from("/var/tmp") } else { usual }
}
