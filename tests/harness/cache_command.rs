//! `sendrail cache`, run to its end, and what it said.

use super::Server;
use serde_json::Value;
use std::{
    ffi::OsStr,
    process::{Command, Output},
};

/// What it said with `--json`.
pub(crate) struct Told {
    pub(crate) files: Vec<Value>,
    pub(crate) errors: Vec<Value>,
    pub(crate) summary: Value,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

impl Told {
    /// The line of the file whose path ends so.
    pub(crate) fn file(&self, end: &str) -> &Value {
        let is_it = |file: &&Value| file["path"].as_str().unwrap().ends_with(end);
        self.files.iter().find(is_it).unwrap_or_else(|| panic!("{end} is not told of"))
    }

    /// A number of the summary.
    pub(crate) fn sum(&self, name: &str) -> u64 {
        self.summary[name].as_u64().unwrap_or_else(|| panic!("no number: {name}"))
    }

    /// What one who ran it to its end has read.
    pub(crate) fn read(output: &Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let stdout = std::str::from_utf8(&output.stdout).unwrap();
        let mut lines: Vec<Value> = stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}")))
            .collect();
        let summary = lines.pop().unwrap_or_else(|| panic!("nothing was told: {stderr}"));
        assert_eq!(summary["type"], "summary", "the summary comes last");
        let (files, errors) = lines.into_iter().partition(|line| line["type"] == "file");
        let told = Self { files, errors, summary, stderr, code: output.status.code() };
        assert!(told.errors.iter().all(|line| line["type"] == "error"));
        told
    }
}

/// `sendrail cache` with these arguments, in a locale with UTF-8.
pub(crate) fn cache<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Server::command();
    command.env("LC_ALL", "C.UTF-8").arg("cache").args(arguments);
    command
}

/// The same for machines, run to its end.
pub(crate) fn tell<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Told {
    Told::read(&cache(arguments).arg("--json").output().unwrap())
}

/// The same for people: what it wrote on standard output. Nothing may have gone wrong.
pub(crate) fn table<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> String {
    let output = cache(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs it by another program that makes the kernel answer otherwise: `strace -e inject=…`.
pub(crate) fn injected<A: AsRef<OsStr>>(
    injections: &[&str],
    arguments: impl IntoIterator<Item = A>,
) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null"]);
    strace.args(injections.iter().flat_map(|injection| ["-e", injection]));
    let command = cache(arguments);
    strace.env("LC_ALL", "C.UTF-8").arg(command.get_program()).args(command.get_args());
    strace
}
