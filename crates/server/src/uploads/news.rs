//! What has been stored lately: so that whoever has an older file of that name open looks again, on every worker.
//!
//! A hit in a worker's cache costs one load of a counter that nearly never changes; only when it has changed is anything
//! locked. A name that leads to the same file another way (a symbolic link on the path) is not in here: its old file may be
//! served for as long as `--open-files-valid` says, as after any rename.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// How many names are kept. A worker that is further behind forgets all that it has open.
const KEPT: usize = 1024;

/// Names that were stored, in turn.
#[derive(Debug, Default)]
pub(crate) struct News {
    count: AtomicU64,
    last: Mutex<VecDeque<Arc<[u8]>>>,
}

impl News {
    /// A file has been stored under this name. To be told before its sender is.
    pub(crate) fn tell(&self, path: &[u8]) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == KEPT {
            last.pop_front();
        }
        last.push_back(path.into());
        self.count.fetch_add(1, Ordering::Release);
    }

    /// How many there have been.
    #[inline]
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Those after the first `heard`, which is brought up to date; none if not all of them are known any more.
    pub(crate) fn since(&self, heard: &mut u64) -> Option<Vec<Arc<[u8]>>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let count = self.count.load(Ordering::Acquire); // it changes under the lock alone
        let missed = (count - std::mem::replace(heard, count)) as usize;
        let known = last.len().checked_sub(missed)?;
        Some(last.range(known..).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_worker_hears_each_name_once_or_that_it_has_missed_some() {
        let news = News::default();
        let (mut one, mut other) = (0, 0);
        assert_eq!(news.since(&mut one), Some(Vec::new()));
        news.tell(b"a");
        news.tell(b"b");
        let names = |heard: &mut u64| {
            let names = news.since(heard)?;
            Some(names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect())
        };
        assert_eq!(names(&mut one), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(names(&mut one), Some(vec![]));
        for _ in 0..KEPT - 1 {
            news.tell(b"c");
        }
        assert_eq!(names(&mut one).map(|names| names.len()), Some(KEPT - 1));
        assert_eq!(names(&mut other), None, "a and b: it must forget all");
        assert_eq!((one, other), (news.count(), news.count()));
    }
}
