//! `--config FILE`: options from files, each as if it had been typed.
//!
//! What an option is called and what it takes is said once, to clap. A file's entries become arguments; clap looks at each
//! of them alone, so that what is wrong with it is said of its line; and then at all of them before those that were typed.

use super::Problem;
use crate::cli::ServeArguments;
use clap::{
    Arg, ArgAction, ArgMatches, Args, Command,
    error::{ContextKind, ContextValue},
    parser::ValueSource,
};
use std::{
    collections::BTreeMap,
    error::Error,
    ffi::OsString,
    fs::File,
    io::Read,
    num::ParseIntError,
    path::{Path, PathBuf},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

#[cfg(test)]
mod tests;

/// A file of options is no longer than this, in bytes: what is was not meant.
const LONGEST: u64 = 1 << 20;

/// The options that came from files: where each of them stands.
#[derive(Debug, Default)]
pub struct Places(BTreeMap<String, String>);

impl Places {
    /// Says where the option stands that a problem is about, if a file gave it.
    pub fn of(&self, problem: Problem) -> Problem {
        let named = problem.sentence.split("--").skip(1).map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '-');
            &rest[..end.unwrap_or(rest.len())]
        });
        let place = problem.about.into_iter().chain(named).find_map(|name| self.0.get(name));
        match place {
            Some(place) => Problem::new(format!("{place}: {}", problem.sentence)),
            None => problem,
        }
    }
}

/// An option in a file.
#[derive(Debug)]
struct Entry {
    /// As it would be typed.
    arguments: Vec<String>,
    /// `FILE:LINE`.
    place: String,
}

/// Completes what was `typed` behind the name of a command, and has been `parsed`, by what the files say that it names.
///
/// Later files win over earlier ones, and what was typed over all. Options of `serve` that `A` does not have are checked,
/// and make no difference.
///
/// # Errors
///
/// A file cannot be read, or something in it makes no sense: where, and why.
pub fn complete<A: Args>(parsed: A, typed: &[OsString]) -> Result<(A, Places), Problem> {
    let definition = A::augment_args(Command::new("sendrail"));
    let known = parse(&definition, typed.iter().cloned())?;
    let mut entries = BTreeMap::new();
    for file in known.get_many::<PathBuf>("config").into_iter().flatten() {
        entries.extend(read(file)?);
    }
    if entries.is_empty() {
        return Ok((parsed, Places::default()));
    }
    entries.retain(|name, _| {
        let argument = definition.get_arguments().find(|argument| key(argument) == Some(name));
        argument.is_some_and(|argument| {
            known.value_source(argument.get_id().as_str()) != Some(ValueSource::CommandLine)
        })
    });
    let in_files = entries.values().flat_map(|entry| &entry.arguments).map(OsString::from);
    let all = in_files.chain(typed.iter().cloned()).collect::<Vec<_>>();
    let matches = parse(&definition, all);
    let places = entries.into_iter().map(|(name, entry)| (name, entry.place)).collect();
    let places = Places(places);
    let completed = matches.and_then(|matches| {
        A::from_arg_matches(&matches).map_err(|error| Problem::new(first_line(&error)))
    });
    match completed {
        Ok(completed) => Ok((completed, places)),
        Err(problem) => Err(places.of(problem)),
    }
}

fn parse(
    definition: &Command,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<ArgMatches, Problem> {
    let all = std::iter::once(OsString::from("sendrail")).chain(arguments);
    let matches = definition.clone().try_get_matches_from(all);
    matches.map_err(|error| Problem::new(first_line(&error)))
}

/// What an option is called in a file: its long name, or that of the argument without one. `None`: it is not for files.
fn key(argument: &Arg) -> Option<&str> {
    argument.get_long().or(Some(argument.get_id().as_str())).filter(|name| *name != "config")
}

/// The options in a file, all of them checked.
fn read(path: &Path) -> Result<Vec<(String, Entry)>, Problem> {
    let text = text_of(path)?;
    let place =
        |offset: usize| format!("{}:{}", path.display(), line_after(&text.as_bytes()[..offset]));
    let wrong = |offset: usize, why: String| Problem::new(format!("{}: {why}", place(offset)));
    let table = DeTable::parse(&text).map_err(|error| {
        let why = error.message().lines().collect::<Vec<_>>().join("; ");
        let span = error.span().unwrap_or_default();
        match text.get(span.clone()).and_then(|culprit| culprit.lines().next()) {
            Some(culprit) if !culprit.is_empty() => wrong(span.start, format!("{why}: {culprit}")),
            _ => wrong(span.start, why),
        }
    })?;
    let definition = ServeArguments::augment_args(Command::new("sendrail"));
    // In the order of the lines: the first that is wrong is said to be.
    let mut options: Vec<_> = table.into_inner().into_iter().collect();
    options.sort_by_key(|(name, _)| name.span().start);
    let mut entries = Vec::new();
    for (name, value) in options {
        let (at, name) = (name.span().start, name.into_inner().into_owned());
        let argument = definition.get_arguments().find(|argument| key(argument) == Some(&name));
        let argument = argument.ok_or_else(|| wrong(at, unknown(&name, &definition)))?;
        let values =
            values_of(argument, value).map_err(|(at, why)| wrong(at, format!("{name}: {why}")))?;
        let mut arguments = Vec::new();
        for Value { text, shown, at } in values {
            let typed = as_typed(argument, &text);
            let alone = ["sendrail", &typed];
            definition
                .clone()
                .try_get_matches_from(alone)
                .map_err(|error| wrong(at, format!("{name} = {shown}: {}", why(&error))))?;
            arguments.push(typed);
        }
        entries.push((name, Entry { arguments, place: place(at) }));
    }
    Ok(entries)
}

fn text_of(path: &Path) -> Result<String, Problem> {
    let file = path.display();
    let mut bytes = Vec::new();
    // Not by its metadata: it may come through a pipe.
    File::open(path)
        .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| Problem::new(format!("--config {file}: cannot be read: {error}")))?;
    if bytes.len() as u64 > LONGEST {
        return Err(Problem::new(format!("--config {file}: is no file of options: over 1 MiB")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = line_after(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        Problem::new(format!("{file}:{line}: is not UTF-8"))
    })
}

/// The number of the line that what follows these bytes stands in.
fn line_after(before: &[u8]) -> usize {
    before.split(|byte| *byte == b'\n').count()
}

/// One value of an option: as it would be typed, as it is shown to people, and where it stands in the file.
struct Value {
    text: String,
    shown: String,
    at: usize,
}

/// The values of an option in a file. Why not, and where.
fn values_of(argument: &Arg, value: Spanned<DeValue<'_>>) -> Result<Vec<Value>, (usize, String)> {
    let at = value.span().start;
    let wrong = |why: &str| Err((at, why.to_owned()));
    match value.into_inner() {
        DeValue::Array(_) if !matches!(argument.get_action(), ArgAction::Append) => {
            wrong("takes one value, not a list")
        }
        DeValue::Array(items) if items.is_empty() => wrong("the list is empty"),
        DeValue::Array(items) => items.into_iter().map(|item| value_of(argument, item)).collect(),
        one => value_of(argument, Spanned::new(at..at, one)).map(|value| vec![value]),
    }
}

fn value_of(argument: &Arg, value: Spanned<DeValue<'_>>) -> Result<Value, (usize, String)> {
    let at = value.span().start;
    let (text, shown) = match value.into_inner() {
        DeValue::String(text) => (text.to_string(), format!("{text:?}")),
        DeValue::Integer(number) => {
            let text = match i128::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => number.to_string(),
                Err(_) => number.as_str().to_owned(),
            };
            (text.clone(), text)
        }
        DeValue::Boolean(on) if is_switch(argument) => {
            (if on { "on" } else { "off" }.to_owned(), on.to_string())
        }
        DeValue::Boolean(_) => {
            return Err((at, "true and false are for options that are on or off".to_owned()));
        }
        DeValue::Float(_) => return Err((at, must_be("a number with a fraction"))),
        DeValue::Datetime(_) => return Err((at, must_be("a date"))),
        DeValue::Array(_) => return Err((at, must_be("a list"))),
        DeValue::Table(_) => return Err((at, must_be("a table"))),
    };
    Ok(Value { text, shown, at })
}

fn must_be(other: &str) -> String {
    format!("must be a string or a whole number, not {other}")
}

fn is_switch(argument: &Arg) -> bool {
    let names = argument.get_possible_values();
    ["on", "off"].into_iter().all(|wanted| names.iter().any(|name| name.get_name() == wanted))
}

/// As one word of a command line that clap cannot take for another option.
fn as_typed(argument: &Arg, value: &str) -> String {
    match argument.get_long() {
        Some(long) => format!("--{long}={value}"),
        None if value.starts_with('-') => format!("./{value}"),
        None => value.to_owned(),
    }
}

/// What to say of a name that no option has: the nearest that one has, or all.
fn unknown(name: &str, definition: &Command) -> String {
    if name == "config" {
        return "config: a file cannot name another".to_owned();
    }
    let keys = || definition.get_arguments().filter_map(key);
    let error = definition.clone().try_get_matches_from(["sendrail", &format!("--{name}")]).err();
    let nearest = error.and_then(|error| match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(option)) => Some(option.trim_start_matches('-').to_owned()),
        _ => None,
    });
    match nearest.filter(|nearest| keys().any(|key| key == nearest)) {
        Some(nearest) => format!("{name:?} is no option; did you mean {nearest}?"),
        None => {
            format!("{name:?} is no option; there are {}", keys().collect::<Vec<_>>().join(", "))
        }
    }
}

/// Why clap refuses a value, without what it is called on the command line.
fn why(error: &clap::Error) -> String {
    match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(source), _) if source.is::<ParseIntError>() => {
            "must be a whole number, 0 or more".into()
        }
        (Some(source), _) => source.to_string(),
        (None, Some(ContextValue::Strings(valid))) if !valid.is_empty() => {
            format!("must be one of {}", valid.join(", "))
        }
        _ => first_line(error),
    }
}

/// What clap says, without what it would have typed instead.
fn first_line(error: &clap::Error) -> String {
    let said = error.to_string();
    let line = said.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
