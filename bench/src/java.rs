//! Programs in Java that take part: compiled here, from the source that is committed.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Compiles the class `name` into `folder`.
pub(crate) fn compile(name: &str, source: &str, folder: &Path) -> Result<()> {
    let path = folder.join(format!("{name}.java"));
    fs::write(&path, source).with_context(|| format!("writing {}", path.display()))?;
    let done = Command::new("javac").arg("-d").arg(folder).arg(&path).output();
    let done = done.context("javac is not installed")?;
    if !done.status.success() {
        bail!("javac: {}", String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(())
}
