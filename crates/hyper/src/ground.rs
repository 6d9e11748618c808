//! The directory that is served, looked at again by threads that may wait while services are polled.

use sendrail_files::{Ground as Followed, Root, RootError, RootOptions};
use std::{path::Path, sync::Arc, time::Instant};

/// A root, and where it is looked for.
#[derive(Debug, Clone)]
pub(crate) struct Ground(Arc<Followed>);

impl Ground {
    pub(crate) fn open(path: &Path, options: RootOptions) -> Result<Self, RootError> {
        // What is relative is so to where this process is now.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Ok(Self(Arc::new(Followed::new(Root::open(&path, options)?))))
    }

    /// The directory, as far as is known.
    pub(crate) fn root(&self) -> Arc<Root> {
        self.0.root()
    }

    /// Looks at the path again now and then, by a thread that may wait, and does not wait for it.
    pub(crate) fn look_now_and_then(&self) {
        if self.0.is_due(Instant::now(), false)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let ground = Arc::clone(&self.0);
            runtime.spawn_blocking(move || ground.look());
        }
    }

    /// Something was not found: whether there is another directory now. Not looked at anew for each that is missing.
    pub(crate) async fn is_another(&self) -> bool {
        let ground = Arc::clone(&self.0);
        ground.is_due(Instant::now(), true)
            && tokio::task::spawn_blocking(move || ground.look()).await.unwrap_or(false)
    }
}
