//! One file on its way in: chunks, the checksum behind them, and what becomes of it.

use super::{
    Arriving, Existing, Failure, Follower, Hashing, Kind, Message, Outcome, Planned, Session,
    Stuck, Sum, Target, Trace, Whole, Write, of_stranger, printable, protocol, receive, unexpected,
};
use rustix::fs::Mode;
use std::io;

/// How a file ended.
enum End {
    Whole(Option<Sum>),
    Broken(u64),
}

impl Session<'_> {
    /// Takes what was planned, from that byte on.
    pub(super) fn take(&mut self, planned: Planned, from: u64) -> Result<Outcome, Failure> {
        self.progress.file(planned.entry.name.as_path());
        match planned.entry.kind {
            Kind::Directory => self.take_directory(&planned, from),
            _ if matches!(self.target, Target::Stdout(_)) => self.take_out(&planned, from),
            _ => self.take_file(planned, from),
        }
    }

    fn take_directory(&mut self, planned: &Planned, from: u64) -> Result<Outcome, Failure> {
        let shown = shown(planned);
        if from != 0 || self.chunk()?.is_some() {
            return Err(unexpected("a directory has no bytes"));
        }
        match self.end(&shown)? {
            End::Whole(_) => {}
            End::Broken(_) => return Ok(Outcome::Incomplete),
        }
        self.settle()?; // a name that comes later would change its time
        if let (Target::Folder(store), Some(name)) = (&mut *self.target, &planned.name) {
            let made = store.directory(name, &planned.entry);
            made.map_err(|error| Failure::Local(format!("cannot make {shown}: {error}")))?;
        }
        Ok(Outcome::Arrived)
    }

    fn take_out(&mut self, planned: &Planned, from: u64) -> Result<Outcome, Failure> {
        let shown = shown(planned);
        if from != 0 {
            return Err(unexpected("nothing was there to go on with"));
        }
        let mut hasher = self.checksum.then(blake3::Hasher::new);
        let mut at = 0;
        while let Some(len) = self.chunk()? {
            fits(planned, at, len)?;
            let Target::Stdout(out) = &mut *self.target else { unreachable!("asked before") };
            let progress = &self.progress;
            let taken = receive::receive_for(self.wire, Some(len), &mut self.account, |bytes| {
                if let Some(hasher) = &mut hasher {
                    hasher.update(bytes);
                }
                progress.moved(bytes.len() as u64);
                out.write_all(bytes)
            });
            taken.map_err(Stuck::of_stdout)?;
            at += len;
        }
        match self.end(&shown)? {
            End::Broken(_) => Ok(Outcome::Incomplete),
            End::Whole(sum) => {
                is_whole(planned, at)?;
                Ok(self.compare(&shown, sum, hasher.map(|hasher| Sum(hasher.finalize()))))
            }
        }
    }

    fn take_file(&mut self, planned: Planned, from: u64) -> Result<Outcome, Failure> {
        let Planned { existing, hashing, name: Some(name), .. } = &planned else {
            unreachable!("what goes into a file has a name")
        };
        let have = match existing {
            Existing::Part(_, len) | Existing::Whole(_, len) if hashing.is_some() => *len,
            _ => 0,
        };
        if from != 0 && from != have {
            return Err(unexpected("it goes on where nothing is"));
        }
        let name = name.clone();
        let Planned { entry, existing, hashing, .. } = planned;
        // An empty file that is there is made anew: it may be somebody's whole one.
        let existing = (from > 0).then_some(existing);
        let shown_name = entry.name.as_path().to_owned();
        let (Target::Folder(store) | Target::File(store, _)) = &mut *self.target else {
            unreachable!("asked before")
        };
        // What comes from a program has no permissions of its own: the umask says.
        let mode = if entry.kind == Kind::Stream { 0o666 } else { 0o600 };
        let mode = Mode::from_raw_mode(mode);
        let arriving = store.begin(&name, existing, mode).map_err(|error| {
            let name = printable(&shown_name, false);
            Failure::Local(format!("cannot make {name}.part: {error}"))
        })?;
        let shown = arriving.shown().to_owned();
        let of_it = |error: io::Error| Failure::Local(format!("{shown}: {error}"));
        let mut follower = None;
        if self.checksum {
            let hashing = match hashing.filter(|_| from > 0) {
                Some(hashing) => hashing,
                None => Hashing::new(&arriving.file).map_err(of_it)?,
            };
            follower =
                Some(Follower::new(hashing, entry.size.map_or(u64::MAX, |size| size - from)));
        }
        self.account.skipped += from;
        self.progress.skipped(from);
        // What comes from a program cannot be sent a second time from the middle.
        let can_go_on = entry.kind == Kind::File && arriving.is_partial();
        self.kept = can_go_on.then(|| shown.clone());
        let planned =
            Planned { entry, name: Some(name), existing: Existing::Nothing, hashing: None };
        let outcome = self.fill(&arriving, &planned, from, follower);
        if outcome.is_err() && !can_go_on {
            arriving.throw_away();
        }
        if outcome.is_ok() {
            self.kept = None;
        }
        if let (Ok(Outcome::Arrived), Planned { entry, name: Some(name), .. }) = (&outcome, planned)
        {
            self.unsettled += entry.size.unwrap_or(u64::from(protocol::MAX_CHUNK));
            self.whole.push(Whole { arriving, entry, name, remains: self.remains });
        }
        outcome
    }

    fn fill(
        &mut self,
        arriving: &Arriving,
        planned: &Planned,
        from: u64,
        mut follower: Option<Follower>,
    ) -> Result<Outcome, Failure> {
        let shown = arriving.shown();
        let failed = |doing: &str, error: &io::Error| {
            Failure::Local(format!("{shown}: {doing} failed: {error}"))
        };
        let mut trace = Trace::new(self.remains, &arriving.file, from, planned.entry.size);
        let mut at = from;
        while let Some(len) = self.chunk()? {
            fits(planned, at, len)?;
            let (mut now, progress) = (at, &self.progress);
            let filled = receive::receive_into(
                self.wire,
                &arriving.file,
                at,
                Some(len),
                &mut self.account,
                |more| {
                    now += more;
                    progress.moved(more);
                    if let Some(follower) = &mut follower {
                        follower.up_to(now);
                    }
                    trace.up_to(now)
                },
            );
            filled.map_err(|stuck| stuck.of_file(shown))?;
            at += len;
        }
        self.account.calls += trace.calls;
        let sent = match self.end(shown)? {
            End::Whole(sum) => sum,
            End::Broken(good) => {
                arriving.cut(good.min(at)).map_err(|error| failed("ftruncate(2)", &error))?;
                return Ok(Outcome::Incomplete);
            }
        };
        is_whole(planned, at)?;
        let ours = match follower {
            Some(follower) => {
                let (sum, read) = follower.finish().map_err(|error| failed("reading", &error))?;
                self.account.checked(read);
                Some(sum)
            }
            None => None,
        };
        let outcome = self.compare(shown, sent, ours);
        if outcome == Outcome::Differs {
            arriving.throw_away();
            return Ok(outcome);
        }
        Ok(outcome)
    }

    /// The length of the next chunk; nothing after the last one.
    fn chunk(&mut self) -> Result<Option<u64>, Failure> {
        loop {
            let mut head = [0; 4];
            self.wire.read_exact(&mut head, None)?;
            if head != protocol::BUSY.to_be_bytes() {
                let len = protocol::chunk_len(head)?;
                return Ok((len > 0).then_some(len.into()));
            }
        }
    }

    fn end(&mut self, shown: &str) -> Result<End, Failure> {
        match self.wire.hear(None)? {
            Message::End { blake3 } => Ok(End::Whole(blake3)),
            Message::Broken { message, good } => {
                let message = of_stranger(&message);
                self.progress.say(&format!("{shown}: the other side says: {message}"));
                Ok(End::Broken(good))
            }
            _ => Err(unexpected("a file does not end")),
        }
    }

    fn compare(&mut self, shown: &str, sent: Option<Sum>, ours: Option<Sum>) -> Outcome {
        if self.checksum && sent != ours {
            self.progress.say(&format!("{shown}: the checksum differs; it was thrown away"));
            return Outcome::Differs;
        }
        Outcome::Arrived
    }
}

fn shown(planned: &Planned) -> String {
    printable(planned.entry.name.as_path(), false)
}

/// No more may come than was said.
fn fits(planned: &Planned, at: u64, len: u64) -> Result<(), Failure> {
    match planned.entry.size {
        Some(size) if at.saturating_add(len) > size => Err(unexpected("more comes than was said")),
        _ => Ok(()),
    }
}

/// Nor less.
fn is_whole(planned: &Planned, at: u64) -> Result<(), Failure> {
    match planned.entry.size {
        Some(size) if at != size => Err(unexpected("less comes than was said")),
        _ => Ok(()),
    }
}
