//! The access log of a test's server: one JSON object per request.

use super::eventually;
use serde_json::Value;
use std::path::PathBuf;
use tempfile::TempDir;

/// A log file in a folder of its own.
pub(crate) struct Journal(TempDir);

impl Journal {
    pub(crate) fn new() -> Self {
        Self(TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    /// Where the log is.
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("access.log")
    }

    /// Arguments that make a server write it as JSON.
    pub(crate) fn arguments(&self) -> [String; 4] {
        let path = self.path().display().to_string();
        ["--log-format".into(), "json".into(), "--access-log".into(), path]
    }

    /// All that has been written.
    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap_or_default()
    }

    /// The complete lines so far, as JSON.
    pub(crate) fn entries(&self) -> Vec<Value> {
        let text = self.text();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// Waits until there are `count` lines.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Value> {
        eventually("the lines of the access log", || self.entries().len() >= count);
        self.entries()
    }

    /// Waits for a line whose target is `target`.
    pub(crate) fn of(&self, target: &str) -> Value {
        let find = || self.entries().into_iter().find(|entry| entry["target"] == target);
        eventually(&format!("a line for {target}"), || find().is_some());
        find().unwrap()
    }
}
