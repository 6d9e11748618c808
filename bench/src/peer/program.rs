//! Where a peer's program is.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Servers are often installed where the PATH of those who are not root does not lead.
const FURTHER: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The first `name` in `built`, in PATH and in the directories for administrators; an error that says it is missing.
pub(super) fn find(name: &str, built: Option<&Path>) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = built
        .map(Path::to_owned)
        .into_iter()
        .chain(std::env::split_paths(&path))
        .chain(FURTHER.map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|program| program.is_file());
    match (found, built) {
        (Some(program), _) => Ok(program),
        (None, Some(built)) => bail!("{name} is neither in {} nor in PATH", built.display()),
        (None, None) => bail!("{name} is not installed: not in PATH"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;

    #[test]
    fn what_was_built_for_the_purpose_comes_first() {
        let built = tempfile::tempdir().unwrap();
        let own = built.path().join("sh");
        std::fs::write(&own, "").unwrap();
        assert_eq!(find("sh", Some(built.path())).unwrap(), own);
        assert_ne!(find("sh", None).unwrap(), own);
    }

    #[test]
    fn a_missing_program_is_named() {
        let why = find("no-such-server", Some(Path::new("/nowhere"))).unwrap_err().to_string();
        assert_eq!(why, "no-such-server is neither in /nowhere nor in PATH");
        assert!(find("no-such-server", None).unwrap_err().to_string().contains("not installed"));
    }
}
