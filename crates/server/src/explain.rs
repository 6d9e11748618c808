//! `sendrail explain`: how a file would be sent, and why.

use crate::{
    cli::{ExplainArguments, SendingArguments},
    config::Problem,
    respond::tier::{ALWAYS, OFTEN},
};
use sendrail_files::{Found, Mutable, OpenFile, Root, RootOptions, Sibling, Siblings};
use sendrail_lab::calibrate;
use sendrail_sys::{
    open::{OpenFlags, reopen},
    probe::{Probe, State},
    ring::ReadRing,
    stat::direct_alignment,
};
use sendrail_transfer::{Medium, Method, Residency, plan, receipt::Refusals};
use std::{
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};

/// Prints the explanation to standard output.
///
/// # Errors
///
/// The file cannot be opened, or standard output not be written.
pub fn run(arguments: &ExplainArguments) -> Result<(), Problem> {
    match explain(arguments, &mut io::stdout().lock())? {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Problem::new(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

fn explain(arguments: &ExplainArguments, out: &mut impl Write) -> Result<io::Result<()>, Problem> {
    let forced = arguments.sending.options()?;
    arguments.mutable.check(forced.method, forced.direct_above)?;
    let path = &arguments.path;
    let problem = |why: String| Problem::new(format!("{}: {why}", path.display()));
    let real = path.canonicalize().map_err(|error| problem(error.to_string()))?;
    let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else {
        return Err(problem("is a directory; name a file".to_owned()));
    };
    // Opened as the server opens files, so that what is refused there is refused here.
    let options =
        RootOptions { dotfiles: sendrail_files::Dotfiles::Serve, ..RootOptions::default() };
    let root = Root::open(parent, options).map_err(|error| problem(error.to_string()))?;
    let name = std::os::unix::ffi::OsStrExt::as_bytes(name);
    let find = |root: &Root| match root.find(name).map_err(|error| problem(error.to_string()))? {
        Found::File(file) => Ok(file),
        Found::Directory(_) => Err(problem("is a directory; name a file".to_owned())),
    };
    let file = find(&root)?;
    let facts = file.facts();
    let medium = Medium::from(facts.file_system);
    let sent_beneath = arguments.mutable.open(parent, options)?;
    let sent = find(&sent_beneath)?;
    let plan = if sent.mutable() == Mutable::Copy {
        plan::for_one_version(&forced)
    } else {
        plan::plan(medium, plan::Size::whole(facts.len), &forced, &Refusals::default())
    };
    let residency = Residency::look(file.file().as_fd(), medium, 0, facts.len);
    let residency_of_sent = Residency::look(sent.file().as_fd(), medium, 0, sent.facts().len);
    let siblings = Siblings::inspect(&root, name, facts);

    Ok((|| {
        writeln!(out, "file         {}", shown(&real))?;
        writeln!(out, "size         {} bytes, on {}", facts.len, facts.file_system.name())?;
        writeln!(out, "type         {}", file.media_type())?;
        writeln!(out, "resident     {residency}")?;
        for (extension, sibling) in
            [(".zst", siblings.zstd), (".br", siblings.brotli), (".gz", siblings.gzip)]
        {
            writeln!(out, "variant      {extension}: {}", in_words(sibling))?;
        }
        writeln!(out, "method       {}: {}", plan.method, plan.reason)?;
        writeln!(
            out,
            "moved by     {}",
            how(facts.len, &plan, residency_of_sent, &arguments.sending)
        )?;
        writeln!(out, "changes      {}", of_changes(&sent_beneath, &sent))?;
        writeln!(out, "past cache   {}", past_the_cache(file.file().as_fd(), forced.ring_depth))?;
        writeln!(out)?;
        writeln!(out, "what this kernel offers for this file:")?;
        writeln!(out, "{}", Probe::of_file(file.file().as_fd()))?;
        writeln!(out, "what it offers at all:")?;
        write!(out, "{}", Probe::run())
    })())
}

fn shown(path: &Path) -> std::path::Display<'_> {
    path.display()
}

fn in_words(sibling: Sibling) -> &'static str {
    match sibling {
        Sibling::Present => "there, and served to clients that accept it",
        Sibling::Missing => "none",
        Sibling::Stale => "older than the file, so it is not served",
        Sibling::Refused => "there, but not a regular file within reach",
    }
}

/// What becomes of a download when the file changes meanwhile.
fn of_changes(root: &Root, file: &OpenFile) -> String {
    let said = match file.mutable() {
        Mutable::Share => "may be seen in part by a download that is under way (share)",
        Mutable::Snapshot => {
            "are not seen by a download that is under way: it is of a copy-on-write clone (snapshot)"
        }
        Mutable::Copy => "cut a download that is under way short (copy)",
    };
    match root.why_no_snapshot(file) {
        Some(why) => format!("{said}: {why}"),
        None => said.to_owned(),
    }
}

/// What `--method direct` and `--direct-above` come to for this file: tried as the engine does it.
fn past_the_cache(file: BorrowedFd<'_>, depth: usize) -> String {
    let alignment = match reopen(file, OpenFlags::READ | OpenFlags::DIRECT) {
        Err(error) => Err(error.to_string()),
        Ok(direct) => match direct_alignment(direct.as_fd()) {
            Ok(Some(said)) if !said.is_supported() => Err("not on this file".to_owned()),
            Ok(Some(said)) => Ok(format!("in blocks of {} bytes", said.offset)),
            Ok(None) | Err(_) => Ok("in blocks of 4096 bytes (the kernel does not say)".to_owned()),
        },
    };
    let blocks = match alignment {
        Ok(blocks) => blocks,
        Err(why) => {
            let instead = match Probe::of_file(file).dontcache {
                State::Available => "RWF_DONTCACHE takes its place (uncached)".to_owned(),
                State::Unavailable { why, .. } => format!("RWF_DONTCACHE is {why}: copy"),
            };
            return format!("no O_DIRECT: {why}; {instead}");
        }
    };
    match ReadRing::new(depth, plan::RING_BUFFER) {
        Ok(_) => format!(
            "O_DIRECT {blocks}, by io_uring: up to {depth} reads of {} KiB at once",
            plan::RING_BUFFER >> 10
        ),
        Err(refused) => format!("O_DIRECT {blocks}, by pread: no io_uring, {}", refused.error),
    }
}

/// The plan in a sentence.
fn how(len: u64, plan: &plan::Plan, residency: Residency, typed: &SendingArguments) -> String {
    let mut first = String::new();
    if typed.method.forced().is_none() {
        let small = typed.small_files.0.unwrap_or_else(|| {
            calibrate::measure(calibrate::WORKING_SET)
                .map_or(calibrate::FALLBACK, |found| found.limit)
        });
        if len <= ALWAYS.min(small) {
            return "one send of head and body from memory, once the file is kept open".into();
        }
        if len <= small {
            first = format!(
                "one send from memory while it is asked for {OFTEN} times in ten seconds; else "
            );
        }
    }
    let glue = match plan::glue(len, true, false) {
        plan::Glue::Cork => "TCP_CORK around head and body",
        plan::Glue::More | plan::Glue::None => "MSG_MORE on the head",
    };
    let place = if plan.method == Method::Direct {
        "past the page cache, whatever is resident: no other client waits for this disk"
    } else if residency.is_hot() {
        "on the event loop, for all of it is resident"
    } else {
        "cold windows in the disk pool, so that no other client waits for this disk"
    };
    format!("{first}{glue}, calls of at most {} KiB, {place}", plan.window >> 10)
}
