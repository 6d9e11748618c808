//! Who goes on with which upload: one at a time, and the newest request wins.
//!
//! A client that comes back believes that its last request has failed, while the server may still wait for that one's bytes. So the
//! older one is told to stop (draft-ietf-httpbis-resumable-upload, "Concurrency").

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::id::UploadId;

type Call = Box<dyn FnOnce() + Send>;

#[derive(Debug, Default)]
pub(super) struct Active {
    held: Mutex<HashMap<UploadId, Stop>>,
}

/// Says that somebody else wants to go on with this upload: what has arrived is to be [counted](crate::Upload::advanced), and the
/// [`Upload`](crate::Upload) dropped. Cloning is cheap.
#[derive(Clone, Default)]
pub struct Stop {
    calls: Arc<Mutex<Calls>>,
}

#[derive(Default)]
struct Calls {
    is_asked: bool,
    on_asked: Vec<Call>,
    on_free: Vec<Call>,
}

impl Stop {
    /// Whether it is asked for.
    pub fn is_asked(&self) -> bool {
        self.calls().is_asked
    }

    /// Calls `then` when it is asked for: at once if it is, or in the thread that asks.
    pub fn on_asked(&self, then: impl FnOnce() + Send + 'static) {
        let mut calls = self.calls();
        if !calls.is_asked {
            calls.on_asked.push(Box::new(then));
            return;
        }
        drop(calls);
        then();
    }

    fn ask(&self) {
        let calls = {
            let mut calls = self.calls();
            calls.is_asked = true;
            std::mem::take(&mut calls.on_asked)
        };
        for call in calls {
            call();
        }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("is_asked", &self.is_asked()).finish_non_exhaustive()
    }
}

/// Who goes on with an upload; somebody else may when it is dropped.
#[derive(Debug)]
pub(super) struct Hold {
    active: Arc<Active>,
    id: UploadId,
    stop: Stop,
}

impl Hold {
    pub(super) fn stop(&self) -> &Stop {
        &self.stop
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.active.held().remove(&self.id);
        let calls = std::mem::take(&mut self.stop.calls().on_free);
        for call in calls {
            call();
        }
    }
}

impl Active {
    /// Takes hold of an upload. Whoever has it is asked to stop, and then there is nothing.
    pub(super) fn take(self: &Arc<Self>, id: UploadId) -> Option<Hold> {
        let mut held = self.held();
        if let Some(stop) = held.get(&id).cloned() {
            drop(held);
            stop.ask();
            return None;
        }
        let stop = Stop::default();
        held.insert(id, stop.clone());
        Some(Hold { active: Arc::clone(self), id, stop })
    }

    pub(super) fn is_held(&self, id: UploadId) -> bool {
        self.held().contains_key(&id)
    }

    pub(super) fn when_free(&self, id: UploadId, then: Call) {
        let held = self.held();
        if let Some(stop) = held.get(&id) {
            // Under the lock, which whoever drops the hold needs first: the call cannot be missed.
            stop.calls().on_free.push(then);
            return;
        }
        drop(held);
        then();
    }

    fn held(&self) -> MutexGuard<'_, HashMap<UploadId, Stop>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn the_newer_one_asks_and_the_older_one_makes_way() {
        let active: Arc<Active> = Arc::default();
        let (id, other) = (UploadId::random().unwrap(), UploadId::random().unwrap());
        let older = active.take(id).unwrap();
        let (said, hears) = channel();
        let (asked, free) = (said.clone(), said.clone());
        older.stop().on_asked(move || asked.send("asked").unwrap());
        assert!(active.take(other).is_some(), "another upload is nobody's business");
        assert!(!older.stop().is_asked() && active.take(id).is_none() && older.stop().is_asked());
        assert_eq!(hears.try_recv(), Ok("asked"));
        active.when_free(id, Box::new(move || free.send("free").unwrap()));
        assert!(hears.try_recv().is_err());
        drop(older);
        assert_eq!(hears.try_recv(), Ok("free"));
        assert!(!active.is_held(id) && active.take(id).is_some());
        active.when_free(id, Box::new(move || said.send("at once").unwrap()));
        assert_eq!(hears.try_recv(), Ok("at once"));
    }

    #[test]
    fn whoever_listens_late_hears_it_as_well() {
        let active: Arc<Active> = Arc::default();
        let id = UploadId::random().unwrap();
        let hold = active.take(id).unwrap();
        assert!(active.take(id).is_none());
        let (said, hears) = channel();
        hold.stop().on_asked(move || said.send(()).unwrap());
        assert!(hears.try_recv().is_ok());
    }
}
