//! A control group with little memory, for this process and those it starts: a page cache that is soon
//! full, on any machine.

use sendrail_sys::cgroup::{MemoryGroup, memory_groups};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The group. This process is in it until it is dropped.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
    before: PathBuf,
}

impl Group {
    /// Makes one with `limit` bytes of memory, page cache included, and moves there.
    ///
    /// # Errors
    ///
    /// There are no control groups here, or this process may not make any (it takes root).
    pub fn enter(limit: u64) -> io::Result<Self> {
        let groups = memory_groups();
        let own = groups.first().map(MemoryGroup::directory);
        let own = own.ok_or_else(|| io::Error::other("there are no control groups for memory"))?;
        let name = format!("sendrail-lab-{}", std::process::id());
        // Of version 2, a group that has processes cannot have groups with limits: then beside it.
        let mut tried = Err(io::Error::other("no group can be made"));
        for parent in [Some(own), own.parent()].into_iter().flatten() {
            let path = parent.join(&name);
            tried = fs::create_dir(&path).and_then(|()| limit_to(&path, limit));
            match tried {
                Ok(()) => {
                    join(&path)?;
                    return Ok(Self { path, before: own.to_owned() });
                }
                Err(_) => drop(fs::remove_dir(&path)),
            }
        }
        Err(tried.expect_err("else it was returned"))
    }
}

fn limit_to(path: &Path, limit: u64) -> io::Result<()> {
    let files = ["memory.max", "memory.limit_in_bytes"];
    let file = files.into_iter().find(|file| path.join(file).exists());
    let file = file.ok_or_else(|| io::Error::other("no limit can be set there"))?;
    fs::write(path.join(file), limit.to_string())
}

fn join(path: &Path) -> io::Result<()> {
    fs::write(path.join("cgroup.procs"), std::process::id().to_string())
}

impl Drop for Group {
    fn drop(&mut self) {
        // What is left in it goes to the group above.
        let _ = join(&self.before);
        let _ = fs::remove_dir(&self.path);
    }
}
