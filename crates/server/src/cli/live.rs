//! `--live`, `--finished-after` and `--max-wait`: files that grow, and clients that wait for them.

use super::{Span, Switch};
use crate::config::LiveRules;
use clap::Args;
use sendrail_files::Mutable;

/// What is done about files that grow, as typed.
#[derive(Debug, Args)]
pub struct LiveArguments {
    /// Whether files that grow are followed (GET /build.log?follow), and clients may wait for what is not there yet
    /// (Prefer: wait=10); see docs/live-files.md
    #[arg(long, value_enum, default_value_t = Switch::On, help_heading = "Live files")]
    pub live: Switch,

    /// A file that is followed is finished when nobody has it open for writing and it has not changed for so long
    #[arg(long, value_name = "DURATION", default_value = "10s", help_heading = "Live files")]
    pub finished_after: Span,

    /// The longest that a client may wait for what is not there yet; 0s: not at all
    #[arg(long, value_name = "DURATION", default_value = "60s", help_heading = "Live files")]
    pub max_wait: Span,
}

impl LiveArguments {
    /// The rules that follow.
    pub fn rules(&self, mutable: Mutable) -> LiveRules {
        LiveRules {
            // A snapshot does not grow.
            on: self.live.is_on() && mutable != Mutable::Snapshot,
            finished_after: self.finished_after.0,
            max_wait: self.max_wait.0,
        }
    }
}
