//! The answer that is a file: hot, whole, in part, or not at all because the client has it.

use super::{
    Site,
    hot::{Hot, Part},
    reply::{Reply, Source},
};
use sendrail_files::{CodingFlags, Entry, Found, OpenFile, Timestamp};
use sendrail_http::{
    answer::{Answer, Body, Representation, answer},
    date::UnixTime,
    head::{Head, Method, Version},
    negotiate::{Coding, CodingSet, choose_coding},
    render::{Envelope, write_head},
    status::Status,
    validator::{EntityTag, date_is_strong, last_modified_seconds, strength},
};
use sendrail_transfer::{Chain, FileRange, Medium};
use std::{rc::Rc, sync::Arc};

/// The value of the Server field.
pub(super) const SERVER: &str = "sendrail";

impl Site {
    /// Answers with the file of `entry`, or with a precompressed variant of it.
    pub(super) fn file(
        &mut self,
        path: &[u8],
        entry: Rc<Entry<Hot>>,
        head: &Head<'_>,
        persist: bool,
    ) -> Reply {
        let Found::File(file) = entry.found() else { unreachable!("the caller looked") };
        let media_type = file.media_type();
        let flags = if self.config.files.precompressed {
            self.cache.siblings(path, &entry, self.clock.now())
        } else {
            CodingFlags::default()
        };
        if !flags.any() {
            return self.represent(entry, media_type, Coding::Identity, false, head, persist);
        }
        let coding =
            choose_coding(&head.fields.accept_encoding, codings(flags)).unwrap_or(Coding::Identity);
        let (entry, coding) = self.variant(path, entry, coding);
        self.represent(entry, media_type, coding, true, head, persist)
    }

    /// The sibling of a coding; the file itself if it has gone since it was seen.
    fn variant(
        &mut self,
        path: &[u8],
        original: Rc<Entry<Hot>>,
        coding: Coding,
    ) -> (Rc<Entry<Hot>>, Coding) {
        if coding == Coding::Identity {
            return (original, coding);
        }
        let sibling = [path, coding.extension().as_bytes()].concat();
        match self.cache.lookup(&sibling, self.clock.now()) {
            Ok(entry) if matches!(entry.found(), Found::File(_)) => (entry, coding),
            _ => (original, Coding::Identity),
        }
    }

    /// A forced method is to be seen at work: no answer from memory then.
    fn may_use_memory(&self) -> bool {
        self.config.transfer.method.is_none()
    }

    fn represent(
        &mut self,
        entry: Rc<Entry<Hot>>,
        media_type: &'static str,
        coding: Coding,
        vary: bool,
        head: &Head<'_>,
        persist: bool,
    ) -> Reply {
        let Found::File(file) = entry.found() else { unreachable!("the caller looked") };
        let usual = persist
            && head.version == Version::Http11
            && !head.fields.conditional_or_range
            && matches!(head.method, Method::Get | Method::Head);
        let wants_body = head.method != Method::Head;
        if usual {
            let second = self.clock.unix_seconds();
            if let Some((head_len, body_len)) =
                entry.extra.ready(coding, vary, second, self.clock.date_line())
            {
                let there = body_len as u64 == file.facts().len
                    || self.may_use_memory()
                        && self.tier.admit(&entry, coding, file, self.clock.now());
                let body = wants_body && there;
                let part = Part { variant: coding != Coding::Identity, body };
                let mut chain = Chain::new();
                if wants_body && !body {
                    let resident = entry.extra.is_resident(self.clock.now());
                    chain.push_file(whole(file).known_resident(resident));
                }
                let source = Source::Hot(entry, part, chain);
                let head_len = head_len as u64;
                return Reply { status: Status::OK, head_len, source, record: None };
            }
        }
        let boundary = self.next_boundary();
        let facts = file.facts();
        let (modified, observed) = (unix(facts.modified), unix(facts.observed));
        let representation = Representation {
            len: facts.len,
            modified_seconds: last_modified_seconds(modified, observed),
            modified_is_strong: date_is_strong(modified, observed),
            etag: EntityTag::new(
                modified.seconds,
                modified.nanoseconds,
                facts.len,
                coding,
                strength(modified, observed),
            ),
            content_type: media_type,
            coding,
            vary,
            cache_control: self.config.files.cache_control.as_deref(),
        };
        let answer = answer(head, &representation, boundary);
        let envelope = Envelope {
            date: self.clock.date(),
            server: Some(SERVER),
            keep_alive: persist,
            version: head.version,
        };
        self.scratch.clear();
        write_head(&mut self.scratch, &answer, &representation, &envelope);
        if usual && answer.status == Status::OK {
            entry.extra.keep(coding, &self.scratch, self.clock.unix_seconds(), vary);
        }
        let chain = if wants_body { chain_of(&answer, file) } else { Chain::new() };
        let head_len = self.scratch.len() as u64;
        Reply { status: answer.status, head_len, source: Source::Scratch(chain), record: None }
    }
}

fn unix(time: Timestamp) -> UnixTime {
    UnixTime { seconds: time.seconds, nanoseconds: time.nanoseconds }
}

fn whole(file: &OpenFile) -> FileRange {
    range(file, 0, file.facts().len)
}

fn range(file: &OpenFile, offset: u64, len: u64) -> FileRange {
    FileRange::new(Arc::clone(file.file()), offset, len).on(Medium::from(file.facts().file_system))
}

fn chain_of(answer: &Answer, file: &OpenFile) -> Chain {
    let mut chain = Chain::new();
    match &answer.body {
        Body::Empty => {}
        Body::Whole => chain.push_file(whole(file)),
        Body::Range(part) => chain.push_file(range(file, part.first, part.len)),
        Body::Multipart(multipart) => {
            for part in &multipart.parts {
                chain.push_bytes(part.head.clone());
                chain.push_file(range(file, part.range.first, part.range.len));
            }
            chain.push_bytes(multipart.closing.clone());
        }
    }
    chain
}

fn codings(flags: CodingFlags) -> CodingSet {
    [(flags.zstd, Coding::Zstd), (flags.brotli, Coding::Brotli), (flags.gzip, Coding::Gzip)]
        .into_iter()
        .filter(|(there, _)| *there)
        .fold(CodingSet::default(), |set, (_, coding)| set.with(coding))
}
