//! What is shown of an experiment while it works: on a terminal, and nowhere else.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// Of the bar.
const WHOLE: u64 = 1000;

/// A line that is there until this is dropped.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new() -> Self {
        // Hidden by itself where standard error is no terminal.
        let bar = ProgressBar::with_draw_target(Some(WHOLE), ProgressDrawTarget::stderr());
        bar.set_style(
            ProgressStyle::with_template("{spinner} {elapsed} {msg}").expect("a template"),
        );
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// What is done next.
    pub(super) fn what(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }

    /// The same, when so much of all has been done.
    pub(super) fn share(&self, share: f64, what: &str) {
        let template = "{spinner} {bar:30} {percent:>3} %, {eta} left: {msg}";
        self.0.set_style(ProgressStyle::with_template(template).expect("a template"));
        self.0.set_position((share * WHOLE as f64) as u64);
        self.what(what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
