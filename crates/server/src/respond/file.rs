//! The answer that is a file: hot, whole, in part, or not at all because the client has it.

use super::{
    Site,
    hot::{Hot, Part},
    reply::{Cost, Reply, Source},
};
use sendrail_files::{CodingFlags, Entry, Found, Miss, Mutable, OpenError, OpenFile, Timestamp};
use sendrail_http::{
    answer::{Answer, Body, Representation, answer},
    date::UnixTime,
    head::{Framing, Head, Method, Version},
    negotiate::{Coding, CodingSet, choose_coding},
    render::{Envelope, write_head},
    status::Status,
    validator::{EntityTag, date_is_strong, last_modified_seconds, strength},
};
use sendrail_transfer::{Chain, FileRange, Medium};
use std::{borrow::Cow, rc::Rc, sync::Arc};

/// The value of the Server field.
pub(super) const SERVER: &str = "sendrail";

/// What was selected to be sent: a file, as itself or as the variant of another.
struct Selected<'a> {
    path: Cow<'a, [u8]>,
    entry: Rc<Entry<Hot>>,
    media_type: &'static str,
    coding: Coding,
    vary: bool,
    cost: Cost,
}

impl Selected<'_> {
    fn file(&self) -> &OpenFile {
        let Found::File(file) = self.entry.found() else {
            unreachable!("files alone are selected")
        };
        file
    }

    fn hot(&self) -> &Hot {
        &self.entry.extra
    }
}

impl Site {
    /// Answers with the file of `entry`, or with a precompressed variant of it.
    pub(super) fn file(
        &mut self,
        path: &[u8],
        entry: Rc<Entry<Hot>>,
        head: &Head<'_>,
        persist: bool,
    ) -> Result<Reply, Miss<Hot>> {
        let mut selected = self.select(path, entry, head)?;
        let usual = persist
            && head.version == Version::Http11
            // While a body is awaited, what is kept with the file may be given up or made anew.
            && head.framing == Framing::None
            && !head.fields.conditional_or_range
            // Who has waited is told so.
            && head.fields.wait.is_none()
            && matches!(head.method, Method::Get | Method::Head);
        let wants_body = head.method != Method::Head;
        if usual {
            selected.hot().count_request();
            if let Some(reply) = self.memory_answer(&selected, wants_body) {
                return Ok(reply);
            }
        }
        self.confirm(&mut selected)?;
        if usual && let Some(reply) = self.kept_head_answer(&mut selected, wants_body) {
            return Ok(reply);
        }
        Ok(self.represent(&selected, head, persist, usual))
    }

    fn select<'a>(
        &mut self,
        path: &'a [u8],
        entry: Rc<Entry<Hot>>,
        head: &Head<'_>,
    ) -> Result<Selected<'a>, Miss<Hot>> {
        let mut selected = Selected {
            path: Cow::Borrowed(path),
            entry,
            media_type: "",
            coding: Coding::Identity,
            vary: false,
            cost: Cost::default(),
        };
        selected.media_type = selected.file().media_type();
        if !self.config.files.precompressed {
            return Ok(selected);
        }
        let flags = match self.resumed.of(path).and_then(|known| known.siblings) {
            Some(flags) => flags,
            None => self.cache.siblings_at_once(path, &selected.entry, self.clock.now())?,
        };
        selected.vary = flags.any();
        if !selected.vary {
            return Ok(selected);
        }
        let coding = choose_coding(&head.fields.accept_encoding, codings(flags));
        let Some(coding) = coding.filter(|coding| *coding != Coding::Identity) else {
            return Ok(selected);
        };
        let sibling = [path, coding.extension().as_bytes()].concat();
        match self.look_up(&sibling, false) {
            Ok(entry) if matches!(entry.found(), Found::File(_)) => {
                selected.path = Cow::Owned(sibling);
                selected.entry = entry;
                selected.coding = coding;
            }
            Err(wait @ Miss::MustWait(..)) => return Err(wait),
            // It has gone since it was seen: then the file itself is sent.
            Ok(_) | Err(Miss::Refused(_)) => {}
        }
        Ok(selected)
    }

    /// The kept answer, if all that is wanted of it is in memory: a whole version of the file, with
    /// the validators of that version.
    fn memory_answer(&mut self, selected: &Selected<'_>, wants_body: bool) -> Option<Reply> {
        let (head_len, body_len) = self.kept(selected)?;
        let there = body_len as u64 == selected.file().facts().len;
        (there || !wants_body).then(|| hot(selected, head_len, wants_body, Chain::new()))
    }

    /// The kept head, with the body from the file; into memory with it if it is worth that.
    fn kept_head_answer(&mut self, selected: &mut Selected<'_>, wants_body: bool) -> Option<Reply> {
        let (head_len, _) = self.kept(selected)?;
        let now = self.clock.now();
        // A forced method is to be seen at work: no answer from memory then.
        let may_use_memory = self.config.transfer.method.is_none();
        if may_use_memory && wants_body {
            let (entry, coding, mut cost) = (&selected.entry, selected.coding, selected.cost);
            let there = self.tier.admit(entry, coding, selected.file(), now, &mut cost);
            selected.cost = cost;
            if there {
                return Some(hot(selected, head_len, true, Chain::new()));
            }
        }
        let mut chain = Chain::new();
        if wants_body {
            chain.push_file(whole(selected.file()).known_resident(selected.hot().is_resident(now)));
        }
        Some(hot(selected, head_len, false, chain))
    }

    fn kept(&mut self, selected: &Selected<'_>) -> Option<(usize, usize)> {
        let second = self.clock.unix_seconds();
        selected.hot().ready(selected.coding, selected.vary, second, self.clock.date_line())
    }

    /// Makes sure that the facts are those of the bytes that are about to be sent: a file that was
    /// rewritten in place must not go out under the validators of its last version. Looks at most
    /// once per tick of the clock (fstat(2), 0.16 microseconds).
    fn confirm(&mut self, selected: &mut Selected<'_>) -> Result<(), Miss<Hot>> {
        let now = self.clock.now();
        if selected.hot().is_confirmed(now) || !selected.file().can_change() {
            return Ok(());
        }
        selected.cost.of_a_look();
        if selected.file().is_unchanged() {
            selected.hot().confirm(now);
            return Ok(());
        }
        self.cache.forget(&selected.path);
        self.resumed.forget(&selected.path);
        let entry = self.look_up(&selected.path, false)?;
        if !matches!(entry.found(), Found::File(_)) {
            return Err(OpenError::NotFound.into());
        }
        selected.entry = entry;
        Ok(())
    }

    fn represent(
        &mut self,
        selected: &Selected<'_>,
        head: &Head<'_>,
        persist: bool,
        usual: bool,
    ) -> Reply {
        let file = selected.file();
        let (coding, vary) = (selected.coding, selected.vary);
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
            content_type: selected.media_type,
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
            selected.hot().keep(coding, &self.scratch, self.clock.unix_seconds(), vary);
        }
        let chain = if answer.sends_body(head) { chain_of(&answer, file) } else { Chain::new() };
        let head_len = self.scratch.len() as u64;
        Reply {
            status: answer.status,
            head_len,
            source: Source::Scratch(chain),
            cost: selected.cost,
            device: facts.device,
            record: None,
        }
    }
}

/// A reply from the kept answer.
fn hot(selected: &Selected<'_>, head_len: usize, body: bool, chain: Chain) -> Reply {
    let part = Part { variant: selected.coding != Coding::Identity, body };
    Reply {
        status: Status::OK,
        head_len: head_len as u64,
        source: Source::Hot(Rc::clone(&selected.entry), part, chain),
        cost: selected.cost,
        device: selected.file().facts().device,
        record: None,
    }
}

fn unix(time: Timestamp) -> UnixTime {
    UnixTime { seconds: time.seconds, nanoseconds: time.nanoseconds }
}

pub(super) fn whole(file: &OpenFile) -> FileRange {
    range(file, 0, file.facts().len)
}

fn range(file: &OpenFile, offset: u64, len: u64) -> FileRange {
    let facts = file.facts();
    let range = FileRange::new(Arc::clone(file.file()), offset, len)
        .on(Medium::from(facts.file_system))
        .of_file(facts.len);
    match file.mutable() {
        Mutable::Copy => range.unchanged_since(facts.modified, facts.len),
        Mutable::Share | Mutable::Snapshot => range,
    }
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
