//! How far it has come: a line on a terminal, and nothing elsewhere.

use crate::page_cache::text::printable;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::{self, IsTerminal},
    path::Path,
    time::Duration,
};

/// How often it is drawn anew.
const TICK: Duration = Duration::from_millis(200);

/// The line.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Seen from now on, if standard error is a terminal and nobody wants quiet. `total`: in bytes, if it is known.
    pub(super) fn new(quiet: bool, total: Option<u64>) -> Self {
        if quiet || !io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        let template = if total.is_some() {
            "[{bar:24}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left  {wide_msg}"
        } else {
            "{spinner} {binary_bytes}, {binary_bytes_per_sec}, {elapsed}  {wide_msg}"
        };
        let style = ProgressStyle::with_template(template).expect("the templates are above");
        bar.set_style(style.tick_chars("-\\|/ ").progress_chars("=> "));
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    /// This file is next.
    pub(super) fn file(&self, name: &Path) {
        if !self.bar.is_hidden() {
            self.bar.set_message(printable(name, false));
        }
    }

    /// So many bytes more.
    pub(super) fn moved(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// These need not be moved: they count for how far it is, and not for how fast.
    pub(super) fn skipped(&self, bytes: u64) {
        self.bar.inc(bytes);
        self.bar.reset_eta();
    }

    /// Writes a line on standard error that is to stay.
    pub(super) fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("sendrail: {line}"));
    }

    /// It is over; the line goes.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
