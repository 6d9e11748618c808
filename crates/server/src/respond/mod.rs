//! The site: turns a request into a reply. All that it decides about HTTP, `sendrail-http` decides.

pub(crate) mod deferred;
mod file;
pub(crate) mod hot;
pub(crate) mod listing;
pub(crate) mod live;
mod plain;
pub(crate) mod reply;
pub(crate) mod tier;
mod upload;

use crate::{clock::Clock, config::Config, connection::machine::Responder, log::Record};
use bytes::Bytes;
use deferred::Resumed;
use hot::Hot;
use listing::ListingJob;
use reply::{Cost, Reply, Source};
use sendrail_files::{CacheOptions, Entry, Found, Miss, OpenError, OpenFileCache, Order};
use sendrail_http::{
    head::{Head, Method, Refusal, Version},
    negotiate::{Coding, prefers_json},
    redirect::directory_redirect,
    status::Status,
    target::{PathTarget, Target, resolve},
};
use std::{net::SocketAddr, rc::Rc, sync::Arc};
use tier::Tier;

/// One worker's view of what is served: its open files, and a buffer to render in.
#[derive(Debug)]
pub(crate) struct Site {
    config: Arc<Config>,
    cache: OpenFileCache<Hot>,
    tier: Tier,
    scratch: Vec<u8>,
    joined: Vec<u8>,
    boundary: u128,
    resumed: Resumed,
    /// How many uploads this worker has heard of.
    heard: u64,
    pub(crate) clock: Clock,
}

impl Site {
    pub(crate) fn new(config: Arc<Config>) -> Self {
        let options =
            CacheOptions { entries: config.files.open_files, valid: config.files.open_files_valid };
        Self {
            cache: OpenFileCache::following(Arc::clone(&config.ground), options),
            tier: Tier::new(config.files.small_limit(), config.files.small_memory),
            config,
            scratch: Vec::with_capacity(1024),
            joined: Vec::new(),
            boundary: seed(),
            resumed: Resumed::default(),
            heard: 0,
            clock: Clock::new(),
        }
    }

    /// The head of the reply that was made last, if its source is [`Source::Scratch`].
    pub(crate) fn scratch(&self) -> &[u8] {
        &self.scratch
    }

    /// Gives up open files that nobody asks for any more, so that deleted ones free their space, and
    /// bodies in memory that are not asked for often.
    pub(crate) fn tidy(&mut self) {
        const IDLE: std::time::Duration = std::time::Duration::from_mins(1);
        self.cache.release_idle(self.clock.now(), IDLE);
        self.tier.tidy();
    }

    /// Gives up all of them: nobody is here to ask.
    pub(crate) fn close_all(&mut self) {
        self.cache.clear();
    }

    /// Forgets what has been stored anew since it was opened, by whichever worker.
    #[inline]
    fn hear_of_uploads(&mut self) {
        if self.uploads_so_far() != self.heard {
            self.forget_uploaded();
        }
    }

    #[inline]
    fn uploads_so_far(&self) -> u64 {
        self.config.uploads.as_ref().map_or(self.heard, |uploads| uploads.news.count())
    }

    #[cold]
    fn forget_uploaded(&mut self) {
        let Some(uploads) = &self.config.uploads else { return };
        let Some(names) = uploads.news.since(&mut self.heard) else {
            return self.cache.clear();
        };
        for name in names {
            self.cache.forget(&name);
            // What is known of a file includes what lies beside it.
            for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
                if let Some(original) = name.strip_suffix(coding.extension().as_bytes()) {
                    self.cache.forget(original);
                }
            }
        }
    }

    /// The reply to a request, of whose head `bytes` are a copy.
    fn reply(&mut self, head: &Head<'_>, bytes: &[u8], persist: bool) -> Reply {
        let target = match head.method {
            Method::Unknown(_) => {
                return self.error(
                    Status::NOT_IMPLEMENTED,
                    "this method is not known here",
                    &[],
                    head,
                    persist,
                );
            }
            Method::Known(_) => {
                return self.not_allowed(head, persist);
            }
            _ => match resolve(&head.method, head.target) {
                Ok(target) => target,
                Err(refusal) => return self.error(refusal.status, refusal.why, &[], head, persist),
            },
        };
        match (target, head.method) {
            (target @ Target::Server, _) | (target, Method::Options) => {
                self.options(&target, head, persist)
            }
            (Target::Path(target), _) => match self.find(&target, head, persist) {
                Ok(reply) => reply,
                Err(Miss::Refused(error)) => self.open_error(&error, head, persist),
                Err(Miss::MustWait(lookup, entry)) => {
                    self.defer(lookup, entry, head, bytes, persist)
                }
            },
        }
    }

    fn find(
        &mut self,
        target: &PathTarget<'_>,
        head: &Head<'_>,
        persist: bool,
    ) -> Result<Reply, Miss<Hot>> {
        let entry = self.look_up(&target.path, !target.directory)?;
        match entry.found() {
            Found::File(_) if target.directory => Err(OpenError::NotFound.into()),
            Found::File(_) => match self.followed(target, head, persist)? {
                Some(reply) => Ok(reply),
                None => self.file(&target.path, entry, head, persist),
            },
            Found::Directory(_) if !target.directory => {
                let location = directory_redirect(target.raw_path, target.query);
                Ok(self.redirect(&location, head, persist))
            }
            Found::Directory(directory) => {
                if let Some((path, index)) = self.index(&target.path)? {
                    let reply = self.file(&path, index, head, persist);
                    self.joined = path;
                    return reply;
                }
                if !self.config.files.listing {
                    return Err(OpenError::Forbidden { why: "listings are off" }.into());
                }
                let job = ListingJob {
                    directory: directory.clone(),
                    shown_path: String::from_utf8_lossy(&target.path).into_owned(),
                    order: Order::from_query(target.query),
                    json: prefers_json(&head.fields.accept),
                    head_only: head.method == Method::Head,
                    persist,
                    version: head.version,
                };
                Ok(Reply {
                    status: Status::OK,
                    head_len: 0,
                    source: Source::Listing(Box::new(job)),
                    cost: Cost::default(),
                    device: 0,
                    record: None,
                })
            }
        }
    }

    /// The index file of a directory, with its path.
    #[allow(clippy::type_complexity)] // a path and what is there; a name for the pair says no more
    fn index(&mut self, path: &[u8]) -> Result<Option<(Vec<u8>, Rc<Entry<Hot>>)>, Miss<Hot>> {
        let mut joined = std::mem::take(&mut self.joined);
        for number in 0..self.config.files.index.len() {
            joined.clear();
            if !path.is_empty() {
                joined.extend_from_slice(path);
                joined.push(b'/');
            }
            joined.extend_from_slice(self.config.files.index[number].as_bytes());
            match self.look_up(&joined, true) {
                Ok(entry) if matches!(entry.found(), Found::File(_)) => {
                    return Ok(Some((joined, entry)));
                }
                Ok(_) | Err(Miss::Refused(OpenError::NotFound | OpenError::NameTooLong)) => {}
                Err(miss) => return Err(miss),
            }
        }
        Ok(None)
    }

    /// Gives the head of the reply that was made last memory of its own.
    fn keep(&self, reply: &mut Reply) {
        if let Source::Scratch(chain) = &mut reply.source {
            let head = Bytes::copy_from_slice(&self.scratch);
            reply.source = Source::Owned(head, std::mem::take(chain));
        }
    }

    fn next_boundary(&mut self) -> u128 {
        // A boundary need not be secret, only absent from what it separates: 128 bits that no
        // file holds by chance, and a different one each time.
        self.boundary = self.boundary.wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645) + 1;
        self.boundary
    }
}

/// Answers for one peer.
pub(crate) struct ForPeer<'a> {
    pub(crate) site: &'a mut Site,
    /// Where the reply goes.
    pub(crate) reply: &'a mut Option<Reply>,
    pub(crate) peer: SocketAddr,
    /// Whether there is an access log.
    pub(crate) logged: bool,
}

impl Responder for ForPeer<'_> {
    fn answer(&mut self, head: &Head<'_>, bytes: &[u8], persist: bool) {
        let reply = self.reply.insert(self.site.reply_or_wait(head, bytes, persist));
        if self.logged {
            reply.record = Some(Box::new(Record::of(head, self.peer, &self.site.clock)));
        }
    }

    fn receives(&mut self, head: &Head<'_>, bytes: &[u8], persist: bool) -> bool {
        let Some(reply) = self.site.arriving(head, bytes, persist) else { return false };
        let reply = self.reply.insert(reply);
        if self.logged {
            reply.record = Some(Box::new(Record::of(head, self.peer, &self.site.clock)));
        }
        true
    }

    fn refuse(&mut self, refusal: &Refusal, head: Option<&Head<'_>>) {
        // A reply that waits for the body that is refused now knows whose it was.
        let known = self.reply.take().and_then(|reply| reply.record);
        let version = head.map_or(Version::Http11, |head| head.version);
        let no_body = head.is_some_and(|head| head.method == Method::Head);
        let page = self.site.error_page(refusal.status, refusal.why, &[], version, no_body, false);
        let reply = self.reply.insert(page);
        if self.logged {
            let clock = &self.site.clock;
            reply.record = known.or_else(|| {
                Some(Box::new(head.map_or_else(
                    || Record::unreadable(self.peer, clock),
                    |head| Record::of(head, self.peer, clock),
                )))
            });
        }
    }

    fn keep(&mut self) {
        if let Some(reply) = self.reply {
            self.site.keep(reply);
        }
    }
}

/// Randomness for multipart boundaries: the keys the standard library seeds its hash maps with.
fn seed() -> u128 {
    use std::hash::{BuildHasher, RandomState};
    u128::from(RandomState::new().hash_one(0)) << 64 | u128::from(RandomState::new().hash_one(1))
}
