//! How much of the served files is in the page cache: seen from outside, without reading them.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use rustix::fs::Advice;
use sendrail_sys::{Mapping, cachestat, resident_pages};

use crate::interrupt::Interrupt;
use crate::root::Document;

/// Of evicted files, what may be left: pages on their way between the kernel's lists escape now and then.
const REMAINDER: f64 = 0.001;
const TRIES: usize = 5;

/// Files that are kept open, to be looked at again and again.
#[derive(Debug)]
pub(crate) struct Watched {
    files: Vec<(File, u64)>,
    mappings: Vec<Mapping>,
}

impl Watched {
    pub(crate) fn open(documents: &[Rc<Document>]) -> Result<Watched> {
        let open = |document: &Rc<Document>| {
            let file = File::open(&document.path);
            let file = file.with_context(|| format!("opening {}", document.path.display()))?;
            Ok((file, document.len))
        };
        let files = documents.iter().map(open).collect::<Result<_>>()?;
        Ok(Watched { files, mappings: Vec::new() })
    }

    /// The share of all pages that is in the page cache, from 0 to 1.
    pub(crate) fn resident(&self) -> Result<f64> {
        let mut share = Share::default();
        for (file, len) in &self.files {
            share.add(file, *len).context("asking what is in the page cache")?;
        }
        Ok(share.resident())
    }

    /// Puts the pages into this process's address space, where it leaves them alone until this is dropped.
    ///
    /// Some virtual machines run a proactive reclaim (DAMON's pageout scheme) that takes file pages which no process has
    /// mapped, however much memory is free. Reclaim within the server's group does not look at the mappings of
    /// processes outside of it, so that what a server does to the hot set shows as before.
    pub(crate) fn map(&mut self) -> Result<()> {
        for (file, len) in &self.files {
            let mapping = Mapping::new(file.as_fd(), 0, *len as usize)
                .and_then(|mapping| mapping.populate().map(|()| mapping));
            self.mappings.push(mapping.context("mapping the hot files")?);
        }
        Ok(())
    }
}

#[derive(Default)]
struct Share {
    resident: u64,
    all: u64,
}

impl Share {
    fn add(&mut self, file: &File, len: u64) -> io::Result<()> {
        self.resident += pages(file, len)?;
        self.all += len.div_ceil(rustix::param::page_size() as u64);
        Ok(())
    }

    fn resident(&self) -> f64 {
        self.resident as f64 / self.all.max(1) as f64
    }
}

fn pages(file: &File, len: u64) -> io::Result<u64> {
    match cachestat(file.as_fd(), 0, len) {
        Ok(stat) => Ok(stat.cached),
        Err(_) => resident_pages(file.as_fd(), 0, len as usize), // before Linux 6.5
    }
}

/// Takes all these files from the page cache, and looks whether they are gone. They must be on the disk and not mapped.
pub(crate) fn evict(documents: &[Rc<Document>], interrupt: &Interrupt) -> Result<()> {
    let mut left = 1.0;
    for _ in 0..TRIES {
        let mut share = Share::default();
        for document in documents {
            interrupt.check()?;
            let evicted = File::open(&document.path).and_then(|file| {
                rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
                share.add(&file, document.len)
            });
            evicted.with_context(|| format!("evicting {}", document.path.display()))?;
        }
        left = share.resident();
        if left <= REMAINDER {
            return Ok(());
        }
    }
    bail!("{:.1} % of the files stay in the page cache although they were evicted", left * 100.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;
    use crate::root::Ground;

    #[test]
    fn what_is_read_is_resident_until_it_is_evicted() {
        let Ok(ground) = Ground::prepare(None) else {
            eprintln!("skipped: no real file system for temporary files here");
            return;
        };
        let documents = ground.random_files(&[("a".into(), 1 << 20), ("b".into(), 5000)]).unwrap();
        let mut watched = Watched::open(&documents).unwrap();
        assert!(watched.resident().unwrap() > 0.99);
        evict(&documents, &Interrupt::default()).unwrap();
        assert!(watched.resident().unwrap() < 0.01);
        watched.map().unwrap();
        assert!(watched.resident().unwrap() > 0.99, "mapping has read them");
        assert!(evict(&documents, &Interrupt::default()).is_err(), "what is mapped stays");
        drop(watched);
        evict(&documents, &Interrupt::default()).unwrap();
    }
}
