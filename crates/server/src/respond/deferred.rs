//! A request that waits until a name has been looked up where waiting for a disk is allowed.
//!
//! The answer is not made from where it stopped: it is made anew, from a copy of the request's head,
//! with what has been found in hand. That happens once for each name that is not in memory, which is
//! mostly once: a file is looked up together with what may lie beside it.

use super::{
    Site,
    file::whole,
    hot::Hot,
    reply::{Cost, Reply, Source},
};
use sendrail_files::{Entry, Found, Looked, Lookup, Miss, OpenError, OpenFile, Settled};
use sendrail_http::{
    head::{Head, HeadLimits, Method, Parsed, Version, parse},
    status::Status,
};
use sendrail_transfer::FileRange;
use std::rc::Rc;

/// A request that waits for a lookup.
#[derive(Debug)]
pub(crate) struct Deferred {
    pub(crate) lookup: Box<Lookup>,
    pub(crate) waiting: Waiting,
}

/// What the request is answered from when that has been made.
#[derive(Debug)]
pub(crate) struct Waiting {
    entry: Option<Rc<Entry<Hot>>>,
    /// The head as it came.
    head: Box<[u8]>,
    pub(crate) version: Version,
    pub(crate) head_only: bool,
    pub(crate) persist: bool,
    /// All of the file is wanted, if there is one.
    wants_all: bool,
    /// Uploads that had been heard of by then.
    heard: u64,
    resumed: Resumed,
}

/// Which file will be sent, for all that can be known before the answer is made anew.
#[derive(Debug)]
pub(crate) struct Guess {
    known: Option<OpenFile>,
    siblings_matter: bool,
}

impl Guess {
    /// All of the file, if the lookup says that it is this one and as itself.
    pub(crate) fn range(&self, looked: &Looked) -> Option<FileRange> {
        let as_itself =
            !self.siblings_matter || looked.siblings().is_some_and(|siblings| !siblings.any());
        looked.file(self.known.as_ref()).filter(|_| as_itself).map(whole)
    }
}

/// What is known in a request that is being answered anew. Nothing, in any other.
#[derive(Debug, Default)]
pub(super) struct Resumed {
    known: Vec<Settled<Hot>>,
    times: usize,
    /// The lack of descriptors has been met once: the cache has given up its own since.
    was_out_of_descriptors: bool,
    /// Whatever the answer is, nobody waits for another.
    pub(super) impatient: bool,
}

impl Site {
    /// What `path` leads to, if that can be told without waiting for a disk. `siblings`: what lies
    /// beside it will be asked for as well.
    pub(super) fn look_up(
        &mut self,
        path: &[u8],
        siblings: bool,
    ) -> Result<Rc<Entry<Hot>>, Miss<Hot>> {
        if let Some(known) = self.resumed.of(path) {
            return known.entry.clone().map_err(Miss::Refused);
        }
        self.hear_of_uploads();
        let mut found = self.cache.lookup_at_once(path, self.clock.now());
        if siblings
            && self.config.files.precompressed
            && let Err(Miss::MustWait(lookup, _)) = &mut found
        {
            lookup.add_siblings();
        }
        found
    }

    /// What may be read along with a lookup, if all of a file is wanted.
    pub(crate) fn guess(&self, waiting: &Waiting) -> Option<Guess> {
        let known = waiting.entry.as_ref().and_then(|entry| match entry.found() {
            Found::File(file) => Some(file.clone()),
            Found::Directory(_) => None,
        });
        let siblings_matter = self.config.files.precompressed;
        waiting.wants_all.then_some(Guess { known, siblings_matter })
    }

    /// Answers later.
    pub(super) fn defer(
        &mut self,
        lookup: Box<Lookup>,
        entry: Option<Rc<Entry<Hot>>>,
        head: &Head<'_>,
        bytes: &[u8],
        persist: bool,
    ) -> Reply {
        let resumed = std::mem::take(&mut self.resumed);
        if resumed.times > self.most_times() {
            let why = "what lies at this address changes too fast";
            let extra = &[("Retry-After", "1")];
            return self.error(Status::SERVICE_UNAVAILABLE, why, extra, head, persist);
        }
        let waiting = Waiting {
            entry,
            head: bytes.into(),
            version: head.version,
            head_only: head.method == Method::Head,
            persist,
            wants_all: head.method == Method::Get && !head.fields.conditional_or_range,
            heard: self.heard,
            resumed,
        };
        Reply {
            // What the log says if nobody waits for the answer.
            status: Status::SERVICE_UNAVAILABLE,
            head_len: 0,
            source: Source::Deferred(Box::new(Deferred { lookup, waiting })),
            cost: Cost::default(),
            device: 0,
            record: None,
        }
    }

    /// Answers anew. The head of the reply is in memory of its own.
    pub(crate) fn resume(&mut self, waiting: Waiting, looked: Looked, draining: bool) -> Reply {
        self.clock.tick(); // the disk may have taken its time
        let Waiting { entry, head: bytes, persist, mut resumed, heard, .. } = waiting;
        let settled = self.cache.settle(looked, entry, self.clock.now());
        if self.uploads_so_far() != heard {
            self.cache.forget(&settled.path); // it may have been looked up before one of them
        }
        resumed.take(settled);
        self.resumed = resumed;
        let Ok(Parsed::Complete { head, .. }) = parse(&bytes, &HeadLimits::default()) else {
            unreachable!("it has been parsed before");
        };
        let mut reply = self.reply_or_wait(&head, &bytes, persist && !draining);
        self.resumed = Resumed::default();
        self.keep(&mut reply);
        reply
    }

    /// The file, what lies beside it, the variant, each index file with what lies beside that; each
    /// may have changed meanwhile. More often than twice as many times only happens on purpose.
    fn most_times(&self) -> usize {
        2 * (3 + 2 * self.config.files.index.len())
    }
}

impl Resumed {
    /// Nothing is known, but whether the client has waited long enough.
    pub(super) fn of_who_waits(impatient: bool) -> Self {
        Self { impatient, ..Self::default() }
    }

    /// What is known of a path.
    #[inline]
    pub(super) fn of(&self, path: &[u8]) -> Option<&Settled<Hot>> {
        self.known.iter().find(|known| *known.path == *path)
    }

    /// It has turned out not to be true any more.
    pub(super) fn forget(&mut self, path: &[u8]) {
        self.known.retain(|known| *known.path != *path);
    }

    fn take(&mut self, settled: Settled<Hot>) {
        self.times += 1;
        self.forget(&settled.path);
        let out_of_descriptors = matches!(settled.entry, Err(OpenError::TooManyOpenFiles(_)));
        if out_of_descriptors && !std::mem::replace(&mut self.was_out_of_descriptors, true) {
            return; // there may be some now
        }
        self.known.push(settled);
    }
}
