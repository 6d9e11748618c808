//! `sendrail cache`, as typed.

use crate::cli::Size;
use clap::{Args, ValueEnum};
use std::{num::NonZeroUsize, path::PathBuf, str::FromStr};

/// `sendrail cache`, as typed.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option that is given or not")]
#[command(after_help = "\
Sizes take a suffix (64k, 2m, 1g, in powers of 1024).

The bar is a map of the file, its first byte on the left: · cold, ░▒▓ resident in part, █ resident.

Examples:
  sendrail cache /srv/www                     what of it is in memory, the most resident files first
  sendrail cache --limit all --sort name .    every file
  sendrail cache --limit 0 -x /               only the sum, without other file systems
  sendrail cache --warm /srv/www              read all of it into memory
  sendrail cache --warm --length 4m /srv/film only the first 4 MiB of each file
  sendrail cache --evict backup.tar           give its memory back
  sendrail cache --json /srv | jq 'select(.type == \"summary\")'

Exit status: 0 if all was looked at, 1 if something could not be, 2 for a wrong command line,
130 if it was interrupted (what was seen until then is shown).")]
pub struct CacheArguments {
    /// Files, and directories with all that lies beneath them
    #[arg(value_name = "PATH", default_value = ".")]
    pub paths: Vec<PathBuf>,

    /// Read the files into the page cache, then show them. Refused if they are larger than the
    /// memory available. Holes of sparse files are left out
    #[arg(long, conflicts_with = "evict", help_heading = "Acting")]
    pub warm: bool,

    /// Give the files' memory back, then show them. What is not yet written to the disk stays, and
    /// what is in use: mapped by a process, or on its way to a socket
    #[arg(long, help_heading = "Acting")]
    pub evict: bool,

    /// Files read at the same time by --warm; 1 is best for a disk that turns
    #[arg(
        long,
        value_name = "N",
        default_value = "4",
        requires = "warm",
        value_parser = jobs,
        help_heading = "Acting"
    )]
    pub jobs: NonZeroUsize,

    /// Warm even what is larger than the memory available
    #[arg(long, requires = "warm", help_heading = "Acting")]
    pub force: bool,

    /// Where to begin in each file
    #[arg(long, value_name = "SIZE", default_value = "0", help_heading = "Which part")]
    pub offset: Size,

    /// How much of each file [default: to its end]
    #[arg(long, value_name = "SIZE", value_parser = length, help_heading = "Which part")]
    pub length: Option<Size>,

    /// Stay on the file systems of the PATHs
    #[arg(long, short = 'x', help_heading = "Which part")]
    pub one_file_system: bool,

    /// Follow symbolic links (those given as PATH always are)
    #[arg(long, short = 'L', help_heading = "Which part")]
    pub follow: bool,

    /// What comes first: the most resident bytes, the largest size, or the first name
    /// [default: resident]
    #[arg(long, value_enum, help_heading = "Showing")]
    pub sort: Option<Sort>,

    /// Show the first N files, the rest in one line; all shows every file
    /// [default: what fits the terminal; all if it goes elsewhere]
    #[arg(long, value_name = "N|all", help_heading = "Showing")]
    pub limit: Option<Limit>,

    /// Draw with ASCII characters alone, as it is done where the locale is not UTF-8
    #[arg(long, help_heading = "Showing")]
    pub ascii: bool,

    /// One JSON object per line: each file as it is met, each error, and a summary at the end
    #[arg(long, conflicts_with = "ascii", help_heading = "Showing")]
    pub json: bool,
}

/// `--sort`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// Most resident bytes first
    #[default]
    Resident,
    /// Largest first
    Size,
    /// By name
    Name,
}

/// `--limit`: a number of files, or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub Option<usize>);

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self(None));
        }
        let number = text.parse().map_err(|_| "not a number of files: use a whole number or all");
        Ok(Self(Some(number?)))
    }
}

/// The most readers: more than this no disk thanks for, and each is a thread.
const MAX_JOBS: usize = 256;

fn jobs(text: &str) -> Result<NonZeroUsize, String> {
    text.parse()
        .ok()
        .filter(|jobs: &NonZeroUsize| jobs.get() <= MAX_JOBS)
        .ok_or_else(|| format!("use a whole number from 1 to {MAX_JOBS}"))
}

fn length(text: &str) -> Result<Size, String> {
    match text.parse()? {
        Size(0) => Err("nothing of each file is not worth looking at".to_owned()),
        size => Ok(size),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails
    use super::*;

    #[test]
    fn limits() {
        for (text, limit) in [("all", None), ("0", Some(0)), ("12", Some(12))] {
            assert_eq!(text.parse::<Limit>().unwrap(), Limit(limit), "{text}");
        }
        for text in ["", "-1", "ALL", "1.5", "10k"] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
    }

    #[test]
    fn lengths() {
        assert_eq!(length("4m"), Ok(Size(4 << 20)));
        for text in ["0", "0k", "-1", "x"] {
            assert!(length(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_of_readers() {
        assert_eq!(jobs("256").map(NonZeroUsize::get), Ok(256));
        for text in ["", "0", "-1", "257", "many"] {
            assert!(jobs(text).is_err(), "{text}");
        }
    }
}
