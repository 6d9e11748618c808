//! How the table may look: what the terminal shows, how wide it is, and whether colour is wanted.

use super::map::Fill;
use anstyle::{AnsiColor, Style as Paint};
use rustix::termios::tcgetwinsize;
use std::{
    env, fmt,
    io::{self, IsTerminal},
};

/// How the table may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    /// Columns.
    pub(super) width: usize,
    /// Lines on the screen; `None` where there is no screen.
    pub(super) height: Option<usize>,
    /// ASCII alone.
    pub(super) ascii: bool,
    /// With colours.
    pub(super) colour: bool,
}

impl Style {
    /// What fits standard output and the locale.
    pub(super) fn detect(ascii: bool) -> Self {
        let out = io::stdout();
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let ascii =
            ascii || !is_utf8(["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable));
        if !out.is_terminal() {
            return Self { width: 100, height: None, ascii, colour: false };
        }
        let size = tcgetwinsize(&out).ok();
        let or = |size: Option<u16>, usual| size.filter(|n| *n > 0).map_or(usual, usize::from);
        Self {
            width: or(size.map(|size| size.ws_col), 80),
            height: Some(or(size.map(|size| size.ws_row), 24)),
            ascii,
            // https://no-color.org
            colour: variable("NO_COLOR").is_none() && variable("TERM").is_some_and(|t| t != "dumb"),
        }
    }

    /// How wide the bar is: somewhat less than half of what the numbers leave.
    pub(super) fn bar(&self) -> usize {
        (self.width.saturating_sub(super::show::NUMBERS) * 46 / 100).clamp(8, 64)
    }

    /// Columns for a path behind the bar; `None` where it need not be cut.
    pub(super) fn path(&self) -> Option<usize> {
        self.height?;
        Some(self.width.saturating_sub(super::show::NUMBERS + self.bar()).max(8))
    }

    /// What the bar shows, in at most its width.
    pub(super) fn legend(&self) -> &'static str {
        match self.ascii {
            _ if self.bar() < 21 => "where",
            false => "· cold ░▒▓ part █ all",
            true => ". cold -+* part # all",
        }
    }

    /// What is put where something was cut.
    pub(super) fn ellipsis(&self) -> &'static str {
        if self.ascii { "..." } else { "…" }
    }

    /// Text in a paint, if there is paint.
    pub(super) fn paint(&self, paint: Paint, text: impl fmt::Display) -> String {
        if self.colour { format!("{paint}{text}{paint:#}") } else { text.to_string() }
    }

    /// A bar as wide as [`bar`](Style::bar).
    pub(super) fn draw(&self, cells: &[Fill]) -> String {
        let width = self.bar();
        if cells.is_empty() {
            return " ".repeat(width);
        }
        // A file of few pages has fewer cells than the bar columns: each is as many of them.
        let columns: Vec<Fill> = (0..width).map(|at| cells[at * cells.len() / width]).collect();
        let paints = columns.chunk_by(|one, next| paint(*one) == paint(*next));
        paints
            .map(|same| {
                let text: String = same.iter().map(|fill| self.glyph(*fill)).collect();
                self.paint(paint(same[0]), text)
            })
            .collect()
    }

    fn glyph(&self, fill: Fill) -> char {
        match (self.ascii, fill) {
            (false, Fill::None) => '·',
            (false, Fill::Little) => '░',
            (false, Fill::Half) => '▒',
            (false, Fill::Most) => '▓',
            (false, Fill::All) => '█',
            (true, Fill::None) => '.',
            (true, Fill::Little) => '-',
            (true, Fill::Half) => '+',
            (true, Fill::Most) => '*',
            (true, Fill::All) => '#',
        }
    }
}

/// For headings and what is beside the point.
pub(super) const FAINT: Paint = Paint::new().dimmed();
/// For sums.
pub(super) const STRONG: Paint = Paint::new().bold();

fn paint(fill: Fill) -> Paint {
    match fill {
        Fill::None => FAINT,
        Fill::Little | Fill::Half | Fill::Most => AnsiColor::Yellow.on_default(),
        Fill::All => AnsiColor::Green.on_default(),
    }
}

/// Whether a locale's name says that its characters are UTF-8. No name is the locale "C", which is ASCII.
fn is_utf8(locale: Option<String>) -> bool {
    locale.is_some_and(|name| {
        let name = name.to_ascii_lowercase();
        name.contains("utf-8") || name.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthStr;

    const WIDE: Style = Style { width: 120, height: Some(50), ascii: false, colour: false };

    #[test]
    fn rows_fit_the_terminal() {
        for width in 50..300 {
            let style = Style { width, ..WIDE };
            let row = super::super::show::NUMBERS + style.bar() + style.path().unwrap_or(0);
            assert!(row <= width, "{row} columns of {width}");
            for ascii in [false, true] {
                let style = Style { ascii, ..style };
                assert!(style.legend().width() <= style.bar());
            }
        }
        assert_eq!(Style { height: None, ..WIDE }.path(), None, "a file is as wide as it likes");
    }

    #[test]
    fn bars_are_as_wide_as_the_column() {
        let style = Style { width: 80, ..WIDE };
        for count in [1, 2, 3, 7, style.bar()] {
            let mut cells = vec![Fill::None; count];
            cells[count - 1] = Fill::All;
            let bar = style.draw(&cells);
            assert_eq!(bar.width(), style.bar());
            assert!(bar.ends_with('█') && (count == 1 || bar.starts_with('·')), "{bar}");
        }
        assert_eq!(style.draw(&[]).trim(), "");
        assert!(Style { ascii: true, ..style }.draw(&[Fill::None, Fill::Half]).is_ascii());
    }

    #[test]
    fn colour_is_put_around_what_is_alike() {
        let style = Style { width: 20, colour: true, ..WIDE };
        let bar = style.draw(&[Fill::All, Fill::Little, Fill::Most, Fill::None]);
        assert_eq!(bar, "\u{1b}[32m██\u{1b}[0m\u{1b}[33m░░▓▓\u{1b}[0m\u{1b}[2m··\u{1b}[0m");
        assert!(!Style { colour: false, ..style }.draw(&[Fill::All]).contains('\u{1b}'));
    }

    #[test]
    fn locales() {
        for (name, utf8) in
            [("C.UTF-8", true), ("de_DE.utf8", true), ("C", false), ("en_US", false)]
        {
            assert_eq!(is_utf8(Some(name.to_owned())), utf8, "{name}");
        }
        assert!(!is_utf8(None));
    }
}
