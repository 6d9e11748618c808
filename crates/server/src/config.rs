//! The configuration: what was typed, checked and made ready. Nothing behind this can be wrong.

use crate::{
    cli::{DotfileChoice, LogFormat, ServeArguments, SymlinkChoice},
    uploads::Uploads,
};
use sendrail_files::{Dotfiles, Ground, RootOptions, Symlinks};
use sendrail_transfer::{Options, plan::LEAST_LAG};
use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

pub mod file;
mod uploads;

/// Why the server cannot start: one line for a person.
#[derive(Debug)]
pub struct Problem {
    sentence: String,
    about: Option<&'static str>,
}

impl Problem {
    /// A problem in a sentence without a full stop.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), about: None }
    }

    /// The same, with the option that it is about, where the sentence does not name it: without dashes.
    #[must_use]
    pub fn about(self, option: &'static str) -> Self {
        Self { about: Some(option), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

/// What `sendrail serve` is to do, checked.
#[derive(Debug)]
pub struct Config {
    /// Files that options were read from.
    pub files_read: Vec<PathBuf>,
    /// The directory as it was named.
    pub dir: PathBuf,
    /// The same, open and confined; and what its path leads to later.
    pub ground: Arc<Ground>,
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Event loops.
    pub workers: usize,
    /// Connections at once, over all workers.
    pub max_connections: usize,
    /// What is asked of the transfer engine.
    pub transfer: Options,
    /// How files are found and shown.
    pub files: FileRules,
    /// Where files may arrive, if they may.
    pub uploads: Option<Arc<Uploads>>,
    /// Files that grow, and clients that wait for them.
    pub live: LiveRules,
    /// Where the access log goes.
    pub access_log: LogTarget,
    /// The form of its lines.
    pub log_format: LogFormat,
    /// What clients may take of our time and memory.
    pub limits: Limits,
    /// Threads that may sleep on one device at once.
    pub disk_threads: usize,
    /// For a disk that does not answer.
    pub disk_timeout: Duration,
    /// For transfers under way when the server is told to stop.
    pub drain_timeout: Duration,
}

/// How files are found and shown.
#[derive(Debug, Clone)]
pub struct FileRules {
    /// Show a listing for a directory without an index file.
    pub listing: bool,
    /// Names that answer for their directory.
    pub index: Vec<String>,
    /// Look for precompressed siblings.
    pub precompressed: bool,
    /// Value of Cache-Control.
    pub cache_control: Option<String>,
    /// Files up to this many bytes may be answered from memory; `None`: to be measured.
    pub small: Option<u64>,
    /// The most memory those take per worker, in bytes.
    pub small_memory: u64,
    /// Open files kept per worker.
    pub open_files: usize,
    /// How long they are taken to be unchanged.
    pub open_files_valid: Duration,
}

impl FileRules {
    /// Files up to this many bytes may be answered from memory.
    pub(crate) fn small_limit(&self) -> u64 {
        self.small.unwrap_or(sendrail_lab::calibrate::FALLBACK)
    }
}

/// What is done about files that grow.
#[derive(Debug, Clone, Copy)]
pub struct LiveRules {
    /// They are followed, and waited for.
    pub on: bool,
    /// A file that nobody has open for writing is finished when it has not changed for so long.
    pub finished_after: Duration,
    /// The longest that a client may wait.
    pub max_wait: Duration,
}

/// What clients may take of our time and memory.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For a whole request head.
    pub header: Duration,
    /// For a whole request body.
    pub body: Duration,
    /// The largest request body that is read, in bytes.
    pub max_body: u64,
    /// Between two requests.
    pub idle: Duration,
    /// For a client that takes nothing.
    pub send: Duration,
    /// The least a client must take, in bytes per second over `send`.
    pub min_send_rate: u64,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

impl Config {
    /// Checks what was typed.
    ///
    /// # Errors
    ///
    /// The first value that makes no sense, with the option's name.
    pub fn check(typed: ServeArguments) -> Result<Self, Problem> {
        let transfer = Options {
            drop_behind: typed.drop_behind.mode(),
            drop_behind_lag: typed.drop_behind_lag.0,
            ..typed.sending.options()?
        };
        typed.mutable.check(transfer.method, transfer.direct_above)?;
        let root = typed.mutable.open(
            &typed.dir,
            RootOptions {
                symlinks: match typed.symlinks {
                    SymlinkChoice::Deny => Symlinks::Deny,
                    SymlinkChoice::SameRoot => Symlinks::SameRoot,
                    SymlinkChoice::Follow => Symlinks::Follow,
                },
                dotfiles: match typed.dotfiles {
                    DotfileChoice::Deny => Dotfiles::Deny,
                    DotfileChoice::Serve => Dotfiles::Serve,
                },
                ..RootOptions::default()
            },
        )?;
        let ground = Arc::new(Ground::new(root));
        let limits = Limits {
            header: typed.header_timeout.0,
            body: typed.body_timeout.0,
            max_body: typed.max_body.0,
            idle: typed.idle_timeout.0,
            send: typed.send_timeout.0,
            min_send_rate: typed.min_send_rate.0,
        };
        let uploads = typed.uploads.check(&ground, &limits)?;
        let open_files_limit = sendrail_sys::limits::raise_open_files()
            .map_err(|error| Problem::new(format!("cannot read the open-files limit: {error}")))?;
        let workers = match typed.workers {
            None => sendrail_sys::limits::cpus(),
            Some(workers @ 1..=1024) => workers,
            Some(other) => {
                return Err(Problem::new(format!("--workers {other}: must be from 1 to 1024")));
            }
        };
        check_limits(&typed)?;
        let live = typed.growing.rules(ground.root().options().mutable);
        let ours = workers.saturating_mul(typed.listen.len() + PER_WORKER);
        let open_files = typed.open_files.unwrap_or_else(|| {
            let asked = typed.max_connections.unwrap_or(0).saturating_add(ours);
            usual_open_files(open_files_limit, workers, asked)
        });
        Ok(Self {
            files_read: typed.config,
            dir: typed.dir,
            ground,
            workers,
            max_connections: connections(
                typed.max_connections,
                open_files_limit,
                workers.saturating_mul(open_files),
                ours,
            )?,
            transfer,
            files: FileRules {
                listing: typed.listing.is_on(),
                index: index_names(typed.index)?,
                precompressed: typed.precompressed.is_on(),
                cache_control: field_value("--cache-control", typed.cache_control)?,
                small: typed.sending.small_files.0,
                small_memory: typed.small_files_memory.0,
                open_files,
                open_files_valid: typed.open_files_valid.0,
            },
            uploads,
            live,
            access_log: match typed.access_log.as_str() {
                "off" => LogTarget::Off,
                "-" => LogTarget::Stdout,
                "" => return Err(Problem::new("--access-log: the file's name is empty")),
                path => LogTarget::File(path.into()),
            },
            log_format: typed.log_format,
            limits,
            disk_threads: disk_threads(typed.disk_threads)?,
            disk_timeout: typed.disk_timeout.0,
            drain_timeout: typed.drain_timeout.0,
            listen: typed.listen,
        })
    }
}

/// Refuses limits that would let nothing through.
fn check_limits(typed: &ServeArguments) -> Result<(), Problem> {
    for (name, span) in [
        ("--header-timeout", typed.header_timeout),
        ("--body-timeout", typed.body_timeout),
        ("--idle-timeout", typed.idle_timeout),
        ("--send-timeout", typed.send_timeout),
        ("--disk-timeout", typed.disk_timeout),
    ] {
        if span.0.is_zero() {
            return Err(Problem::new(format!("{name} 0: every connection would be cut at once")));
        }
    }
    if typed.drop_behind_lag.0 < LEAST_LAG {
        return Err(Problem::new(format!(
            "--drop-behind-lag {}: must be at least 2m",
            typed.drop_behind_lag.0
        )));
    }
    Ok(())
}

/// Descriptors of a worker beside its listeners: its event loop's, its parking place's, that by which it hears of files that
/// grow, and room for the pipes of a forced `splice`.
const PER_WORKER: usize = 10;

/// Descriptors that belong to neither a worker nor a connection: standard streams, the log, the pipes
/// that large transfers share, and the rings.
const BESIDE: usize =
    64 + 2 * sendrail_transfer::plan::SHARED_PIPES + sendrail_transfer::plan::SHARED_RINGS;

/// Files that each worker keeps open unless told otherwise: a web site's, but at most a quarter of
/// the limit for all workers together, and what is left beside what was asked for.
fn usual_open_files(limit: u64, workers: usize, asked: usize) -> usize {
    const USUAL: usize = 4096;
    let limit = limit as usize;
    let left = limit.saturating_sub(asked.saturating_add(BESIDE));
    USUAL.min(limit.div_ceil(4).min(left) / workers)
}

/// Each connection holds its socket, and may hold a file that no cache holds any more: the default
/// leaves room for that. Some descriptors are ours: `ours` of the workers, and a few beside.
fn connections(
    asked: Option<usize>,
    limit: u64,
    cached: usize,
    ours: usize,
) -> Result<usize, Problem> {
    const USUAL: usize = 100_000;
    let taken = cached.saturating_add(ours).saturating_add(BESIDE);
    let possible = (limit as usize).saturating_sub(taken);
    match asked {
        Some(0) => Err(Problem::new("--max-connections 0: nobody could connect")),
        Some(asked) if asked > possible => Err(Problem::new(format!(
            "--max-connections {asked}: the open-files limit of {limit} allows {possible} \
             beside {cached} cached files (ulimit -n, LimitNOFILE=, or a smaller --open-files)"
        ))),
        Some(asked) => Ok(asked),
        None if possible == 0 => Err(Problem::new(format!(
            "the open-files limit of {limit} leaves no descriptor for a connection beside \
             {cached} cached files (ulimit -n, LimitNOFILE=, or a smaller --open-files)"
        ))),
        None => Ok(possible.div_ceil(2).min(USUAL)),
    }
}

fn disk_threads(asked: usize) -> Result<usize, Problem> {
    /// No disk has a longer queue; all together have 16 times as many threads.
    const MOST: usize = 256;
    if (1..=MOST).contains(&asked) {
        return Ok(asked);
    }
    Err(Problem::new(format!("--disk-threads {asked}: must be from 1 to {MOST}")))
}

fn index_names(names: Vec<String>) -> Result<Vec<String>, Problem> {
    match names.iter().find(|name| name.is_empty() || name.contains('/')) {
        Some(bad) => Err(Problem::new(format!("--index {bad:?}: must be a plain file name"))),
        None => Ok(names),
    }
}

/// A field value that cannot end its line and begin another (RFC 9110 §5.5).
fn field_value(option: &str, value: Option<String>) -> Result<Option<String>, Problem> {
    match value {
        Some(text) if text.bytes().any(|byte| !(b' '..=b'~').contains(&byte)) => Err(Problem::new(
            format!("{option} {text:?}: only printable ASCII can stand in a header"),
        )),
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_the_descriptors() {
        assert!(matches!(connections(None, 1_048_576, 2048, 16), Ok(100_000)));
        assert!(matches!(connections(None, 4096 + BESIDE as u64 + 16 + 1000, 4096, 16), Ok(500)));
        assert!(matches!(connections(Some(10), 4096, 1024, 16), Ok(10)));
        for (asked, limit, cached) in [
            (Some(0), 4096, 0),
            (Some(5000), 4096, 0),
            (None, 1024, 2048),
            (None, 1024, usize::MAX),
        ] {
            assert!(connections(asked, limit, cached, 16).is_err(), "{asked:?} {limit} {cached}");
        }
    }

    #[test]
    fn open_files_leave_room_for_connections() {
        assert_eq!(usual_open_files(1_048_576, 8, 0), 4096);
        assert_eq!(usual_open_files(1024, 2, 0), 128);
        assert_eq!(usual_open_files(20_000, 1, 12_000), 4096);
        for (limit, workers, asked) in
            [(20_000, 4, Some(19_000)), (1024, 16, None), (256, 2, Some(10))]
        {
            let ours = workers * PER_WORKER;
            let files = usual_open_files(limit, workers, asked.unwrap_or(0) + ours);
            assert!(connections(asked, limit, files * workers, ours).is_ok(), "{limit} {files}");
        }
    }

    #[test]
    fn a_header_value_cannot_smuggle_a_line() {
        assert!(field_value("--x", Some("max-age=1\r\nEvil: 1".into())).is_err());
        assert!(field_value("--x", Some("max-age=60, public".into())).is_ok());
    }
}
