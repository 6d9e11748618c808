//! What is going on, on standard error while it lasts: only on a terminal, and only if it takes a while.

use super::text::human;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    sync::{Arc, Once},
    time::{Duration, Instant},
};

/// What takes less than this needs no progress.
const PATIENCE: Duration = Duration::from_millis(400);
/// How often it is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// A line of progress. Clones are the same line.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    bar: ProgressBar,
    since: Instant,
    appear: Arc<Once>,
    wanted: bool,
    ascii: bool,
}

impl Progress {
    /// Not seen yet. `wanted`: it may be shown at all; standard error is a terminal.
    pub(super) fn new(wanted: bool, ascii: bool) -> Self {
        let appear = Arc::new(Once::new());
        Self { bar: ProgressBar::hidden(), since: Instant::now(), appear, wanted, ascii }
    }

    /// A walk begins, of which nobody knows how long it takes. `what` is a verb, such as "looking".
    pub(super) fn begin_walk(&self, what: &'static str) {
        self.bar.unset_length();
        self.begin("{spinner} {prefix}: {wide_msg}", what);
    }

    /// So many files have been met on the walk.
    pub(super) fn walked(&self, files: u64, bytes: u64) {
        // Drawn ten times a second; files go by faster.
        if files.is_multiple_of(32) && self.is_shown() {
            self.bar.set_message(format!("{} files, {}", HumanCount(files), human(bytes)));
        }
    }

    /// Bytes are going to be read, `total` of them.
    pub(super) fn begin_bytes(&self, total: u64, what: &'static str) {
        self.bar.set_length(total);
        let template = "{prefix} [{wide_bar}] {binary_bytes} of {binary_total_bytes}, \
                        {binary_bytes_per_sec}, {eta} left";
        self.begin(template, what);
    }

    /// So many more were read.
    pub(super) fn read(&self, bytes: u64) {
        self.bar.inc(bytes);
        self.is_shown();
    }

    /// Writes something on the terminal that is to stay.
    pub(super) fn pause<R>(&self, write: impl FnOnce() -> R) -> R {
        self.bar.suspend(write)
    }

    /// It is over; the line goes.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn begin(&self, template: &str, what: &'static str) {
        let style = ProgressStyle::with_template(template).expect("the templates are above");
        // The last of each is what is shown at the end.
        let (ticks, bars) = if self.ascii {
            ("-\\|/ ", "=> ")
        } else {
            ("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ", "█▉▊▋▌▍▎▏ ")
        };
        self.bar.set_style(style.tick_chars(ticks).progress_chars(bars));
        self.bar.set_prefix(what);
        self.bar.set_message("");
        self.bar.reset();
    }

    /// Whether it is to be seen by now. Makes it so when the time has come.
    fn is_shown(&self) -> bool {
        if !self.wanted || self.since.elapsed() < PATIENCE {
            return false;
        }
        self.appear.call_once(|| {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.enable_steady_tick(TICK);
        });
        true
    }
}
