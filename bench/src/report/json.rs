//! raw.json: every round and every figure, with what is needed to take them again.

use anyhow::{Context, Result};

use super::Run;

pub(super) fn of_run(run: &Run) -> Result<String> {
    let mut text = serde_json::to_string_pretty(run).context("writing the run as JSON")?;
    text.push('\n');
    Ok(text)
}
