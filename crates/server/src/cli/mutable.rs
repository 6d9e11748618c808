//! `--mutable` and `--snapshot-dir`: what is done about files that change while they are being sent.

use crate::config::Problem;
use clap::{Args, ValueEnum};
use sendrail_files::{Mutable, Root, RootOptions};
use sendrail_transfer::Method;
use std::path::{Path, PathBuf};

/// What is done about files that may change, as typed.
#[derive(Debug, Args)]
pub struct MutableArguments {
    /// What is done about files that may change while they are being sent (docs/mutable-files.md)
    #[arg(long, value_enum, default_value_t, help_heading = "Files")]
    pub mutable: MutableChoice,

    /// Where snapshots are made, without names: on the same file system as DIR, and writable
    /// [default: DIR]
    #[arg(long, value_name = "PATH", help_heading = "Files")]
    pub snapshot_dir: Option<PathBuf>,
}

/// `--mutable`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum MutableChoice {
    /// Nothing: a download may be of more than one version
    #[default]
    Share,
    /// Each is of one version: a copy-on-write clone is sent (XFS, btrfs; copy elsewhere)
    Snapshot,
    /// Each is of one version or cut: files are copied, and looked at after each read
    Copy,
}

impl MutableArguments {
    /// Opens `dir` with these choices.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or the choices make no sense, among themselves or there.
    pub fn open(&self, dir: &Path, options: RootOptions) -> Result<Root, Problem> {
        let mutable = match self.mutable {
            MutableChoice::Share => Mutable::Share,
            MutableChoice::Snapshot => Mutable::Snapshot,
            MutableChoice::Copy => Mutable::Copy,
        };
        let options = RootOptions { mutable, ..options };
        let problem = |error: &dyn std::fmt::Display| Problem::new(error.to_string()).about("dir");
        let Some(snapshots) = &self.snapshot_dir else {
            return Root::open(dir, options).map_err(|error| problem(&error));
        };
        let why = |why: &dyn std::fmt::Display| {
            Problem::new(format!("--snapshot-dir {}: {why}", snapshots.display()))
        };
        if mutable != Mutable::Snapshot {
            return Err(why(&"there are no snapshots without --mutable snapshot"));
        }
        let root = Root::open_with_snapshots_in(dir, options, snapshots)
            .map_err(|error| problem(&error))?;
        match root.no_snapshots() {
            Some(refusal) => Err(why(&refusal)),
            None => Ok(root),
        }
    }

    /// Whether it goes together with what was said of methods.
    ///
    /// # Errors
    ///
    /// It does not.
    pub fn check(&self, method: Option<Method>, direct_above: Option<u64>) -> Result<(), Problem> {
        let other = match (method, direct_above) {
            (Some(method), _) if method != Method::Copy => format!("--method {method}"),
            (_, Some(_)) => "--direct-above".to_owned(),
            _ => return Ok(()),
        };
        if self.mutable == MutableChoice::Copy {
            return Err(Problem::new(format!("--mutable copy: not together with {other}")));
        }
        Ok(())
    }
}
