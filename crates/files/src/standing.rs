//! A file that stays open between requests, and one system call that says whether its path still leads to it.
//!
//! For whoever may not show a file as it was a moment ago, and would rather not open it each time.

use std::ffi::CString;

use sendrail_sys::stat_at;

use crate::open_file::OpenFile;
use crate::path;
use crate::root::{Root, Symlinks};

/// An open file and the path that led to it.
#[derive(Debug)]
pub struct Standing {
    path: CString,
    file: OpenFile,
}

impl Standing {
    /// The open file.
    pub fn file(&self) -> &OpenFile {
        &self.file
    }
}

impl Root {
    /// What is needed to ask for a file [again](Self::still_leads_to). `file` is what [`find`](Self::find) gave for `path`.
    ///
    /// Nothing if another version could pass for this one: if it was changed less than three seconds before it was opened, so
    /// that a time stamp may still come twice, or lies on a network or FUSE, where a look may take its time.
    ///
    /// ```
    /// use sendrail_files::{Found, Root, RootOptions};
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # std::fs::write(directory.path().join("a.css"), "p {}")?;
    /// # let long_ago = std::time::SystemTime::UNIX_EPOCH;
    /// # std::fs::File::options().write(true).open(directory.path().join("a.css"))?.set_modified(long_ago)?;
    /// let root = Root::open(directory.path(), RootOptions::default())?;
    /// let standing = loop {
    ///     let Found::File(file) = root.find(b"a.css")? else { panic!("a.css is a file") };
    ///     if let Some(standing) = root.standing(b"a.css", file) {
    ///         break standing;
    ///     }
    ///     std::thread::sleep(std::time::Duration::from_millis(100)); // it was written just now
    /// };
    /// assert!(root.still_leads_to(&standing));
    /// std::fs::write(directory.path().join("b.css"), "q {}")?;
    /// std::fs::rename(directory.path().join("b.css"), directory.path().join("a.css"))?;
    /// assert!(!root.still_leads_to(&standing));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn standing(&self, path: &[u8], file: OpenFile) -> Option<Standing> {
        let facts = file.facts();
        if facts.file_system.is_network_or_fuse() || !facts.at_rest() {
            return None;
        }
        Some(Standing { path: path::check(path, self.options().dotfiles).ok()?, file })
    }

    /// Whether the path leads to that file still, and the file is what it was: the same inode with the same length, mtime and
    /// ctime. One `fstatat(2)`.
    ///
    /// Its names are in memory for as long as it is open, so no disk is waited for, unless a name has been taken away.
    ///
    /// The walk to it is not [confined](Self::confinement) as that of [`find`](Self::find) is: nothing is opened, and what is compared
    /// is the very file that was found beneath the root.
    pub fn still_leads_to(&self, standing: &Standing) -> bool {
        let follow = self.options().symlinks != Symlinks::Deny;
        stat_at(self.directory(), &standing.path, follow)
            .is_ok_and(|stat| standing.file.facts().still_true(&stat))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;
    use crate::root::{Found, RootOptions};
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    fn open(root: &Root, path: &str) -> Option<Standing> {
        let Found::File(file) = root.find(path.as_bytes()).unwrap() else { panic!("a file") };
        root.standing(path.as_bytes(), file)
    }

    fn at_rest(root: &Root, path: &str) -> Standing {
        loop {
            match open(root, path) {
                Some(standing) => return standing,
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn root_with(fill: impl FnOnce(&Path)) -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        fill(directory.path());
        let root = Root::open(directory.path(), RootOptions::default()).unwrap();
        (directory, root)
    }

    #[test]
    fn a_file_that_was_just_written_is_not_kept() {
        let (_directory, root) = root_with(|top| fs::write(top.join("a"), "1").unwrap());
        assert!(open(&root, "a").is_none());
    }

    #[test]
    fn whatever_is_done_to_the_file_or_its_name_is_seen() {
        let names = ["written", "longer", "replaced", "deleted", "moved/a", "mode", "left"];
        let (directory, root) = root_with(|top| {
            fs::create_dir(top.join("moved")).unwrap();
            for name in names {
                fs::write(top.join(name), "1").unwrap();
            }
        });
        let at = |name: &str| directory.path().join(name);
        let standing = names.map(|name| at_rest(&root, name));
        assert!(standing.iter().all(|each| root.still_leads_to(each)));
        fs::write(at("written"), "2").unwrap();
        fs::write(at("longer"), "11").unwrap();
        fs::write(at("other"), "1").unwrap();
        fs::rename(at("other"), at("replaced")).unwrap();
        fs::remove_file(at("deleted")).unwrap();
        fs::rename(at("moved"), at("away")).unwrap();
        let mut mode = fs::metadata(at("mode")).unwrap().permissions();
        mode.set_readonly(true);
        fs::set_permissions(at("mode"), mode).unwrap();
        let still: Vec<_> = names
            .into_iter()
            .zip(&standing)
            .filter(|(_, each)| root.still_leads_to(each))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(still, ["left"]);
    }

    #[test]
    fn a_link_that_leads_elsewhere_now_is_seen() {
        let (directory, root) = root_with(|top| {
            fs::write(top.join("a"), "1").unwrap();
            fs::write(top.join("b"), "1").unwrap();
            std::os::unix::fs::symlink("a", top.join("link")).unwrap();
        });
        let link = at_rest(&root, "link");
        assert!(root.still_leads_to(&link));
        fs::remove_file(directory.path().join("link")).unwrap();
        std::os::unix::fs::symlink("b", directory.path().join("link")).unwrap();
        assert!(!root.still_leads_to(&link));
    }
}
