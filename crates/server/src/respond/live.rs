//! Answers that are not finished yet: files that are followed, and requests that wait for another answer.

use super::{
    Site,
    deferred::Resumed,
    hot::Hot,
    reply::{Cost, Reply, Source},
};
use bytes::Bytes;
use sendrail_files::{Entry, Found, Miss, OpenError, OpenFile};
use sendrail_http::{
    head::{Head, HeadLimits, Method, Parsed, Version, parse},
    live::{Delimited, Live, Start, follow, live, write_live_head},
    render::Envelope,
    status::Status,
    target::{PathTarget, Target, resolve},
};
use sendrail_transfer::{Chain, FileRange, Medium};
use std::rc::Rc;

/// A file that is followed.
#[derive(Debug)]
pub(crate) struct Follow {
    pub(crate) head: Bytes,
    pub(crate) file: OpenFile,
    /// By which it was found.
    pub(crate) path: Box<[u8]>,
    /// The offset of the first byte that is to be sent.
    pub(crate) first: u64,
    /// That behind the last one, if the client has named it.
    pub(crate) until: Option<u64>,
    pub(crate) delimited: Delimited,
}

/// A request whose answer may be another one soon, and whose client would rather have that.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// The head as it came.
    head: Box<[u8]>,
    persist: bool,
    pub(crate) path: Box<[u8]>,
    pub(crate) seconds: u32,
}

impl Site {
    /// As [`reply`](Self::reply), unless the client would rather wait for another answer.
    #[inline]
    pub(super) fn reply_or_wait(&mut self, head: &Head<'_>, bytes: &[u8], persist: bool) -> Reply {
        let Some(seconds) = head.fields.wait else { return self.reply(head, bytes, persist) };
        let impatient = self.resumed.impatient;
        let reply = self.reply(head, bytes, persist);
        if impatient || matches!(reply.source, Source::Deferred(_)) {
            return reply;
        }
        self.wait_for_another(reply, head, bytes, persist, seconds)
    }

    /// A request whose answer may be another one soon: there is nothing at this address, nothing new, or nothing so far
    /// behind the beginning.
    fn wait_for_another(
        &self,
        reply: Reply,
        head: &Head<'_>,
        bytes: &[u8],
        persist: bool,
        seconds: u32,
    ) -> Reply {
        const MAY_CHANGE: [Status; 3] =
            [Status::NOT_FOUND, Status::NOT_MODIFIED, Status::RANGE_NOT_SATISFIABLE];
        let rules = self.config.live;
        let wanted = rules.on && !rules.max_wait.is_zero() && seconds > 0;
        if !wanted || !MAY_CHANGE.contains(&reply.status) || !head.method.is_get_or_head() {
            return reply;
        }
        let Ok(Target::Path(target)) = resolve(&head.method, head.target) else { return reply };
        let path = target.path.into();
        let waiting = Waiting { head: bytes.into(), persist, path, seconds };
        // What the log says if nobody waits for the end of it.
        Reply { source: Source::Waiting(Box::new(waiting)), head_len: 0, ..reply }
    }

    /// Answers anew, by what is there now. `impatient`: whatever the answer is. Its head is in memory of its own.
    pub(crate) fn answer_anew(
        &mut self,
        waiting: &Waiting,
        impatient: bool,
        draining: bool,
    ) -> Reply {
        self.clock.tick();
        // What is kept of these names may be out of date, which is not what has been waited for.
        self.cache.forget(&waiting.path);
        for number in 0..self.config.files.index.len() {
            let mut joined = waiting.path.to_vec();
            if !joined.is_empty() {
                joined.push(b'/');
            }
            joined.extend_from_slice(self.config.files.index[number].as_bytes());
            self.cache.forget(&joined);
        }
        let Ok(Parsed::Complete { head, .. }) = parse(&waiting.head, &HeadLimits::default()) else {
            unreachable!("it has been parsed before");
        };
        self.resumed = Resumed::of_who_waits(impatient);
        let mut reply = self.reply_or_wait(&head, &waiting.head, waiting.persist && !draining);
        self.resumed = Resumed::default();
        self.keep(&mut reply);
        reply
    }

    /// The answer to a request to follow a file. Nothing, if it was not asked to.
    pub(super) fn followed(
        &mut self,
        target: &PathTarget<'_>,
        head: &Head<'_>,
        persist: bool,
    ) -> Result<Option<Reply>, Miss<Hot>> {
        let Some(query) = target.query.filter(|_| self.config.live.on) else { return Ok(None) };
        let start = match follow(query) {
            Ok(Some(start)) => start,
            Ok(None) => return Ok(None),
            Err(refusal) => {
                return Ok(Some(self.error(refusal.status, refusal.why, &[], head, persist)));
            }
        };
        // By a name that was looked up a second ago, the file may be the one that was rotated since.
        if self.resumed.of(&target.path).is_none() {
            self.cache.forget(&target.path);
        }
        let entry = self.look_up(&target.path, false)?;
        self.follow(start, target, &entry, head, persist).map(Some)
    }

    fn follow(
        &mut self,
        start: Start,
        target: &PathTarget<'_>,
        entry: &Rc<Entry<Hot>>,
        head: &Head<'_>,
        persist: bool,
    ) -> Result<Reply, Miss<Hot>> {
        let Found::File(file) = entry.found() else { return Err(OpenError::NotFound.into()) };
        let facts = *file.facts();
        let live = live(start, &head.fields, facts.len);
        let (first, until) = match live {
            Live::From(first) => (first, None),
            Live::Range { first, last } => (first, Some(last.saturating_add(1))),
            Live::There { .. } => (0, None),
            Live::Beyond => {
                let range = format!("bytes */{}", facts.len);
                let extra = &[("Content-Range", &*range), ("Cache-Control", "no-store")];
                let why = "the file is not as long as that, or not any more";
                return Ok(self.error(live.status(), why, extra, head, persist));
            }
        };
        let delimited = match head.version {
            Version::Http10 => Delimited::ByClose,
            Version::Http11 => Delimited::ByChunks,
        };
        let has_length = matches!(live, Live::There { .. });
        let keep_alive = persist && (has_length || delimited == Delimited::ByChunks);
        let date = self.clock.date();
        let server = Some(super::file::SERVER);
        let envelope = Envelope { date, server, keep_alive, version: head.version };
        self.scratch.clear();
        write_live_head(&mut self.scratch, live, delimited, file.media_type(), &envelope);
        let head_len = self.scratch.len() as u64;
        let source = match live {
            _ if head.method == Method::Head => Source::Scratch(Chain::new()),
            Live::There { first, len } => {
                let mut chain = Chain::new();
                chain.push_file(part(file, first, len, facts.len));
                Source::Scratch(chain)
            }
            _ => Source::Follow(Box::new(Follow {
                head: Bytes::copy_from_slice(&self.scratch),
                file: file.clone(),
                path: (*target.path).into(),
                first,
                until,
                delimited,
            })),
        };
        let (status, device) = (live.status(), facts.device);
        Ok(Reply { status, head_len, source, cost: Cost::default(), device, record: None })
    }
}

/// A part of a file that grows. That it does so meanwhile is no change of these bytes, whatever `--mutable` says.
pub(crate) fn part(file: &OpenFile, first: u64, len: u64, file_len: u64) -> FileRange {
    FileRange::new(file.file().clone(), first, len)
        .on(Medium::from(file.facts().file_system))
        .of_file(file_len)
}

impl Reply {
    /// Says that the client's preference was honoured (RFC 7240 §3). The head is in memory of its own.
    pub(crate) fn say_waited(&mut self) {
        const APPLIED: &[u8] = b"Preference-Applied: wait\r\n";
        let head = match &mut self.source {
            Source::Owned(head, _) => head,
            Source::Follow(follow) => &mut follow.head,
            _ => return,
        };
        // Before the empty line; an error page may follow it.
        let Some(end) = (self.head_len as usize).checked_sub(2) else { return };
        *head = [&head[..end], APPLIED, &head[end..]].concat().into();
        self.head_len += APPLIED.len() as u64;
    }
}
