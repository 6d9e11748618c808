//! A directory beneath the root, held by an O_PATH descriptor.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::error::OpenError;
use crate::facts::Facts;
use crate::listing::Listing;
use crate::root::Root;

/// A directory that exists and may be passed through; it is only read by [`list`](Self::list).
///
/// Cloning shares the descriptor. It can be sent to another thread, which is the place for
/// listing a large directory: a hundred thousand entries are a hundred thousand system calls.
#[derive(Clone, Debug)]
pub struct Directory {
    inner: Arc<Inner>,
    facts: Facts,
}

#[derive(Debug)]
struct Inner {
    root: Root,
    path: CString,
    descriptor: OwnedFd,
}

impl Directory {
    pub(crate) fn new(root: Root, path: CString, descriptor: OwnedFd, facts: Facts) -> Self {
        Self { inner: Arc::new(Inner { root, path, descriptor }), facts }
    }

    /// The same descriptor, with facts that were confirmed later.
    pub(crate) fn with_facts(&self, facts: Facts) -> Self {
        Self { inner: Arc::clone(&self.inner), facts }
    }

    /// What `fstat` said about the directory.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Reads the names in it with their kinds, sizes and times, leaving out whatever
    /// [`Root::find`] would refuse.
    ///
    /// [`OpenError::Forbidden`] when this process may pass through the directory but not read it.
    pub fn list(&self) -> Result<Listing, OpenError> {
        Listing::read(self)
    }

    pub(crate) fn root(&self) -> &Root {
        &self.inner.root
    }

    /// Relative to the root; "." is the root itself.
    pub(crate) fn path(&self) -> &CString {
        &self.inner.path
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Directory, OpenError, OpenFile, Root};

    /// A worker hands these to the pool that waits for disks.
    #[test]
    fn what_is_open_can_be_sent_to_another_thread() {
        fn check<T: Send + Sync>() {}
        check::<Root>();
        check::<Directory>();
        check::<OpenFile>();
        check::<OpenError>();
    }
}
