//! The crate miniserve, run with the options in `bench/peers/miniserve.options`.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Configuration, Peer, Running, program, template, version_line};
use crate::interrupt::Interrupt;
use crate::pin::Place;
use crate::root::Ground;

const TEMPLATE: &str = include_str!("../../peers/miniserve.options");

#[derive(Debug)]
pub(crate) struct Miniserve {
    built: PathBuf,
}

impl Miniserve {
    /// Looked for in `built` first, then in PATH.
    pub(crate) fn in_directory(built: &Path) -> Miniserve {
        Miniserve { built: built.to_owned() }
    }

    fn program(&self) -> Result<PathBuf> {
        program::find("miniserve", Some(&self.built))
    }
}

impl Peer for Miniserve {
    fn name(&self) -> &'static str {
        "miniserve"
    }

    fn version(&self) -> Result<String> {
        version_line(&self.program()?, "--version")
    }

    fn configuration(&self) -> Option<Configuration> {
        Some(Configuration { file: "bench/peers/miniserve.options", text: TEMPLATE.into() })
    }

    fn start(&self, ground: &Ground, place: Place<'_>, interrupt: &Interrupt) -> Result<Running> {
        let site = template::Site::prepare(ground, self.name(), "miniserve.options", TEMPLATE)?;
        let mut command = place.server_command(self.program()?);
        // Words are separated first and filled in afterwards: a path may contain spaces.
        command.args(
            words(TEMPLATE)
                .map(|word| template::fill(word, &site.state, &ground.root(), site.port)),
        );
        site.run(command, interrupt)
    }
}

fn words(options: &str) -> impl Iterator<Item = &str> {
    options
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{template::tests::promises, testing};

    #[test]
    fn the_options_are_the_ones_the_comparison_promises() {
        promises(TEMPLATE, &["--workers 1", "--quiet", "--port @PORT@", "@ROOT@"]);
        assert!(!words(TEMPLATE).any(|word| word == "--compress-response" || word == "--verbose"));
    }

    #[test]
    fn comments_are_not_options() {
        let said: Vec<&str> = words("# --a b\n\n--port 81\n  # c\n@ROOT@\n").collect();
        assert_eq!(said, ["--port", "81", "@ROOT@"]);
    }

    #[test]
    fn it_starts_answers_and_stops() {
        testing::starts_answers_and_stops(&Miniserve::in_directory(&testing::built()));
    }
}
