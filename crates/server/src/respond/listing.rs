//! The listing of a directory, made where waiting for the disk is allowed.

use bytes::Bytes;
use sendrail_files::{Directory, OpenError, Order};
use sendrail_http::head::Version;

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

impl ListingJob {
    /// Reads the directory and renders it. Takes as long as the disk takes.
    pub(crate) fn make(&self) -> Result<Page, OpenError> {
        let listing = self.directory.list()?;
        Ok(if self.json {
            Page {
                content_type: "application/json",
                content: listing.json(&self.shown_path, self.order).into(),
            }
        } else {
            Page {
                content_type: "text/html; charset=utf-8",
                content: listing.html(&self.shown_path, self.order).into(),
            }
        })
    }
}
