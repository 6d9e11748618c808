//! How files leave: the options of `serve` that `explain` knows too.

use super::{Size, SizeOrAuto};
use crate::config::Problem;
use clap::{Args, ValueEnum};
use sendrail_transfer::{Method, Options, plan::MOST_RING_DEPTH};

/// How files leave, as typed.
#[derive(Debug, Args)]
pub struct SendingArguments {
    /// How files leave: auto looks at each file; the others force one method
    #[arg(long, value_enum, default_value_t, help_heading = "Sending")]
    pub method: MethodChoice,

    /// Files of this size or more are read past the page cache (as by --method direct), and ranges of
    /// them too, whatever is resident: what nginx calls directio. Without it, no size decides
    #[arg(long, value_name = "SIZE", help_heading = "Sending")]
    pub direct_above: Option<Size>,

    /// Reads of 512k under way at once by each io_uring that reads past the page cache, from 1 to 64. All
    /// such rings together have 64m of buffers, so that deep ones are fewer
    #[arg(long, value_name = "N", default_value = "8", help_heading = "Sending")]
    pub ring_depth: usize,

    /// The most that is moved for one client before the next one's turn
    #[arg(long, value_name = "SIZE", default_value = "2m", help_heading = "Sending")]
    pub window: Size,

    /// Files up to this size may be answered from memory. auto measures at start-up, for some 30 ms,
    /// up to which size that is cheaper than sendfile on this machine
    #[arg(long, value_name = "SIZE|auto", default_value = "auto", help_heading = "Sending")]
    pub small_files: SizeOrAuto,
}

impl SendingArguments {
    /// What is asked of the transfer engine.
    ///
    /// # Errors
    ///
    /// The first value that makes no sense, with the option's name.
    pub fn options(&self) -> Result<Options, Problem> {
        let method = self.method.forced();
        if let (Some(method), Some(_)) = (method, self.direct_above) {
            return Err(Problem::new(format!(
                "--direct-above: --method {method} is for files of every size"
            )));
        }
        if !(1..=MOST_RING_DEPTH).contains(&self.ring_depth) {
            return Err(Problem::new(format!(
                "--ring-depth {}: must be from 1 to {MOST_RING_DEPTH}",
                self.ring_depth
            )));
        }
        if self.window.0 < 4096 {
            return Err(Problem::new(format!(
                "--window {}: must be at least 4k, a page",
                self.window.0
            )));
        }
        Ok(Options {
            method,
            window: self.window.0,
            direct_above: self.direct_above.map(|size| size.0),
            ring_depth: self.ring_depth,
            ..Options::default()
        })
    }
}

/// `--method`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum MethodChoice {
    /// Chosen by what the file lies on and what the kernel allows
    #[default]
    Auto,
    /// read+write through a buffer
    Copy,
    /// read+write that leaves nothing in the page cache (RWF_DONTCACHE)
    Uncached,
    /// mmap+write
    Mapped,
    /// Past the page cache: io_uring with O_DIRECT
    Direct,
    /// sendfile(2)
    Sendfile,
    /// splice(2) through a pipe
    Splice,
}

impl MethodChoice {
    /// The method to force, if any.
    pub fn forced(self) -> Option<Method> {
        match self {
            Self::Auto => None,
            Self::Copy => Some(Method::Copy),
            Self::Uncached => Some(Method::Uncached),
            Self::Mapped => Some(Method::Mapped),
            Self::Direct => Some(Method::Direct),
            Self::Sendfile => Some(Method::Sendfile),
            Self::Splice => Some(Method::Splice),
        }
    }
}
