//! The listing of a directory, made where waiting for the disk is allowed, within a budget.

use bytes::Bytes;
use sendrail_files::{Directory, OpenError, Order};
use sendrail_http::head::Version;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The most memory that the pages on their way take together, in bytes: 100,000 entries make a page of
/// 24 MB, and a client may take its time to read it. One page is always allowed.
const PAGES: usize = 64 << 20;

/// Listings that are made at once, per worker: they must not take all the threads of the disk pool.
pub(crate) const AT_ONCE: usize = 2;

/// All that is needed to list a directory in another thread, and to answer afterwards.
#[derive(Debug)]
pub(crate) struct ListingJob {
    pub(crate) directory: Directory,
    pub(crate) shown_path: String,
    pub(crate) order: Order,
    pub(crate) json: bool,
    pub(crate) head_only: bool,
    pub(crate) persist: bool,
    pub(crate) version: Version,
}

/// A finished listing.
pub(crate) struct Page {
    pub(crate) content_type: &'static str,
    pub(crate) content: Bytes,
}

/// Why there is none.
pub(crate) enum NoPage {
    /// The directory could not be read.
    Unreadable(OpenError),
    /// Too many pages are on their way to clients already.
    Busy,
}

impl ListingJob {
    /// Reads the directory and renders it. Takes as long as the disk takes.
    pub(crate) fn make(&self, budget: &PageBudget) -> Result<Page, NoPage> {
        let listing = self.directory.list().map_err(NoPage::Unreadable)?;
        let (content_type, content) = if self.json {
            ("application/json", listing.json(&self.shown_path, self.order))
        } else {
            ("text/html; charset=utf-8", listing.html(&self.shown_path, self.order))
        };
        let content = budget.lease(content).ok_or(NoPage::Busy)?;
        Ok(Page { content_type, content: Bytes::from_owner(content) })
    }
}

/// How much memory the pages on their way take; shared by all workers.
#[derive(Debug, Clone, Default)]
pub(crate) struct PageBudget(Arc<AtomicUsize>);

impl PageBudget {
    fn lease(&self, page: Vec<u8>) -> Option<LeasedPage> {
        let before = self.0.fetch_add(page.len(), Ordering::Relaxed);
        let leased = LeasedPage { budget: self.clone(), page };
        // Dropping it gives back what was just taken.
        (before == 0 || before + leased.page.len() <= PAGES).then_some(leased)
    }
}

/// A page that counts for as long as anything of it is still to be sent.
struct LeasedPage {
    budget: PageBudget,
    page: Vec<u8>,
}

impl AsRef<[u8]> for LeasedPage {
    fn as_ref(&self) -> &[u8] {
        &self.page
    }
}

impl Drop for LeasedPage {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.page.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_page_is_always_allowed_and_all_of_them_are_given_back() {
        let budget = PageBudget::default();
        let huge = budget.lease(vec![0; PAGES + 1]);
        assert!(huge.is_some(), "the only one");
        assert!(budget.lease(vec![0; 1]).is_none(), "nothing beside it");
        drop(huge);
        let half = budget.lease(vec![0; PAGES / 2]);
        let other = budget.lease(vec![0; PAGES / 2]);
        assert!(half.is_some() && other.is_some());
        assert!(budget.lease(vec![0; 1]).is_none());
        drop((half, other));
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
    }
}
