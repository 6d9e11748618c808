//! Where files arrive: the directory as its path has it now, also after it or the one that is served was made anew.

use sendrail_files::{Ground, Landing, LandingError, LandingOptions, Root};
use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

/// A landing that follows its path.
#[derive(Debug)]
pub(crate) struct Place {
    ground: Arc<Ground>,
    prefix: Vec<u8>,
    options: LandingOptions,
    latest: RwLock<(Arc<Root>, Landing)>,
}

impl Place {
    /// The directory at `prefix` beneath the served one.
    ///
    /// # Errors
    ///
    /// Nothing can be written there.
    pub(crate) fn open(
        ground: &Arc<Ground>,
        prefix: &[u8],
        options: LandingOptions,
    ) -> Result<Self, LandingError> {
        let root = ground.root();
        let landing = Landing::open(&root, prefix, options)?;
        let latest = RwLock::new((root, landing));
        Ok(Self { ground: Arc::clone(ground), prefix: prefix.to_vec(), options, latest })
    }

    pub(crate) fn options(&self) -> &LandingOptions {
        &self.options
    }

    /// What it lies on, as far as is known.
    pub(crate) fn device(&self) -> u64 {
        self.known().1.device()
    }

    /// The directory. May wait for a disk. Where there is no other yet, the last one refuses what it is asked for.
    pub(crate) fn landing(&self) -> Landing {
        if self.ground.is_due(Instant::now(), false) {
            self.ground.look();
        }
        let (root, landing) = self.known();
        let served = self.ground.root();
        if Arc::ptr_eq(&root, &served) && !landing.is_gone() {
            return landing;
        }
        match Landing::open(&served, &self.prefix, self.options) {
            Ok(new) => {
                *self.latest.write().unwrap_or_else(PoisonError::into_inner) =
                    (served, new.clone());
                new
            }
            Err(error) => {
                tracing::error!(%error, "uploads cannot arrive");
                landing
            }
        }
    }

    fn known(&self) -> (Arc<Root>, Landing) {
        self.latest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
