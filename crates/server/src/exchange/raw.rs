//! `--raw`: bytes and nothing else, so that nc(1), socat(1) or any program can be at the other end. No names, no checksum, no way
//! on after a break.

use super::{
    account::Account,
    failure::{Failure, Tally},
    names::Checked,
    progress::Progress,
    receive::{receive_for, receive_into},
    receiver::{self, Target},
    sender,
    source::{Item, Met},
    steps::{self, Over},
    wire::{Wire, ready},
};
use crate::{page_cache::text::printable, trace::Trace};
use rustix::{event::PollFlags, fs::Mode};
use sendrail_transfer::{Chain, FileRange, Transfer};
use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::AsFd,
    path::Path,
    sync::Arc,
    time::Duration,
};

/// What is read of standard input at once, in bytes.
const BUFFER: usize = 256 << 10;
/// How long a signal may go unnoticed while standard input says nothing.
const GLANCE: Duration = Duration::from_millis(250);

/// Sends everything, one after the other as cat(1) would, and waits until the other side has read it and closed.
pub(super) fn send(wire: &Wire, task: &sender::Task) -> Result<Tally, Failure> {
    let progress = Progress::new(task.quiet, task.total);
    let mut sending = Sending { wire, task, progress: &progress, account: Account::new() };
    let mut tally = Tally::default();
    let done = task.sources.each(|met| {
        tally.arrived += 1;
        sending.one(met)
    });
    // What is cut may not look whole.
    let done = done.inspect_err(|_| wire.break_off()).and_then(|()| wire.finish());
    progress.end();
    done?;
    if !task.quiet {
        eprintln!("{}", sending.account.line("sent", tally, wire.calls()));
    }
    Ok(tally)
}

struct Sending<'a> {
    wire: &'a Wire,
    task: &'a sender::Task,
    progress: &'a Progress,
    account: Account,
}

impl Sending<'_> {
    fn one(&mut self, met: Met) -> Result<(), Failure> {
        let (path, why) = match met {
            Met::Item(Item { path, file: Some(file), entry }) => {
                self.progress.file(&path);
                return self.file(&path, file, entry.size.unwrap_or_default());
            }
            Met::Item(Item { path, file: None, entry }) if entry.size.is_none() => {
                self.progress.file(&path);
                return self.stdin();
            }
            Met::Item(Item { path, .. }) => (path, "it is no file".to_owned()),
            Met::Unreadable(path, why) => (path, why),
            Met::Passed(path, what) => (path, format!("it is {what}")),
        };
        Err(Failure::Local(format!("{}: not sent: {why}", printable(&path, false))))
    }

    fn file(&mut self, path: &Path, file: Arc<File>, size: u64) -> Result<(), Failure> {
        let mut chain = Chain::new();
        chain.push_file(FileRange::new(file, 0, size).of_file(size));
        let mut transfer = Transfer::new(chain, self.task.options.clone());
        transfer.acknowledged_by(self.wire.far_end());
        let mut moved = 0;
        let over = steps::all(self.wire, &mut transfer, PollFlags::OUT, |now| {
            self.progress.moved(now - moved);
            moved = now;
            Ok(())
        })?;
        self.account.transfer(transfer.receipt());
        match over {
            Over::Done => Ok(()),
            Over::Broken(fault) => {
                Err(Failure::Local(format!("{}: {fault}", printable(path, false))))
            }
        }
    }

    fn stdin(&mut self) -> Result<(), Failure> {
        let failed = |error| Failure::Local(format!("cannot read standard input: {error}"));
        let mut stdin = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
        let mut buffer = vec![0; BUFFER];
        loop {
            self.account.calls += 2;
            let readable = ready(stdin.as_fd(), PollFlags::IN, GLANCE).map_err(failed)?;
            self.wire.look()?;
            if readable.is_empty() {
                continue;
            }
            match stdin.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    self.wire.write_all(&buffer[..count])?;
                    self.account.method("copy");
                    self.account.bytes += count as u64;
                    self.account.copied += 2 * count as u64;
                    self.progress.moved(count as u64);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => {}
                    _ => return Err(failed(error)),
                },
            }
        }
    }
}

/// Receives everything until the other side says that there is no more.
pub(super) fn recv(
    wire: &Wire,
    target: &mut Target,
    task: receiver::Task,
) -> Result<Tally, Failure> {
    let progress = Progress::new(task.quiet, None);
    let mut account = Account::new();
    let done = match target {
        Target::Stdout(out) => receive_for(wire, None, &mut account, |bytes| {
            progress.moved(bytes.len() as u64);
            out.write_all(bytes)
        })
        .map_err(super::receive::Stuck::of_stdout)
        .map(drop),
        Target::File(..) => into_file(wire, target, task, &progress, &mut account),
        Target::Folder(_) => Err(Failure::Local("plain bytes have no name".into())),
    };
    progress.end();
    done.inspect_err(|_| wire.break_off())?;
    let tally = Tally { arrived: 1, ..Tally::default() };
    if !task.quiet {
        eprintln!("{}", account.line("received", tally, wire.calls()));
    }
    Ok(tally)
}

fn into_file(
    wire: &Wire,
    target: &mut Target,
    task: receiver::Task,
    progress: &Progress,
    account: &mut Account,
) -> Result<(), Failure> {
    let Target::File(store, name) = target else { unreachable!("asked before") };
    let name = Checked { folders: Vec::new(), last: name.clone() };
    store.look(&name, None).map_err(Failure::Local)?;
    let arriving = store
        .begin(&name, None, Mode::from_raw_mode(0o666))
        .map_err(|error| Failure::Local(format!("cannot make the partial file: {error}")))?;
    let shown = arriving.shown().to_owned();
    let mut trace = Trace::new(task.remains, &arriving.file, 0, None);
    let mut now = 0;
    let filled = receive_into(wire, &arriving.file, 0, None, account, |more| {
        now += more;
        progress.moved(more);
        trace.up_to(now)
    });
    account.calls += trace.calls;
    let finish =
        |error: io::Error| Failure::Local(format!("{shown}: finishing it failed: {error}"));
    let done = filled.map_err(|stuck| stuck.of_file(&shown)).and_then(|_| {
        arriving.finish(task.remains).map_err(finish)?;
        store.name(&arriving).and_then(|()| store.sync()).map_err(finish)
    });
    done.inspect_err(|_| arriving.throw_away())
}
