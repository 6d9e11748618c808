//! `sendrail explain`: how a file would be sent, and why.

use crate::{
    calibrate,
    cli::ExplainArguments,
    config::Problem,
    respond::tier::{ALWAYS, OFTEN},
};
use sendrail_files::{Found, Root, RootOptions, Sibling, Siblings};
use sendrail_sys::probe::Probe;
use sendrail_transfer::{Medium, Options, Residency, plan};
use std::{
    io::{self, Write},
    os::fd::AsFd,
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
    let file = match root.find(name).map_err(|error| problem(error.to_string()))? {
        Found::File(file) => file,
        Found::Directory(_) => return Err(problem("is a directory; name a file".to_owned())),
    };
    let facts = file.facts();
    let medium = Medium::from(facts.file_system);
    let forced = Options { method: arguments.method.forced(), ..Options::default() };
    let plan =
        plan::plan(medium, facts.len, &forced, &sendrail_transfer::receipt::Refusals::default());
    let residency = Residency::look(file.file().as_fd(), medium, 0, facts.len);
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
            how(facts.len, &plan, residency, forced.method.is_some())
        )?;
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

/// The plan in a sentence.
fn how(len: u64, plan: &plan::Plan, residency: Residency, forced: bool) -> String {
    let mut first = String::new();
    if !forced {
        let measured = calibrate::measure(calibrate::WORKING_SET)
            .map_or(calibrate::FALLBACK, |found| found.limit);
        if len <= ALWAYS.min(measured) {
            return "one send of head and body from memory, once the file is kept open".into();
        }
        if len <= measured {
            first = format!(
                "one send from memory while it is asked for {OFTEN} times in ten seconds; else "
            );
        }
    }
    let glue = match plan::glue(len, true, false) {
        plan::Glue::Cork => "TCP_CORK around head and body",
        plan::Glue::More | plan::Glue::None => "MSG_MORE on the head",
    };
    let place = if residency.is_hot() {
        "on the event loop, for all of it is resident"
    } else {
        "cold windows in the disk pool, so that no other client waits for this disk"
    };
    format!("{first}{glue}, calls of at most {} KiB, {place}", plan.window >> 10)
}
