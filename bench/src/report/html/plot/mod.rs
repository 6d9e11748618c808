//! The plots, each a hand-drawn SVG: what they have in common.

pub(super) mod bars;
pub(super) mod gauge;
pub(super) mod lines;
pub(super) mod percentiles;
pub(super) mod scale;

use maud::{Markup, html};

/// Width of a plot in its own units. About that of a telephone, so that letters are not shrunk there; a wide page puts
/// several side by side.
pub(super) const WIDTH: f64 = 384.0;

/// Of one line of text, in units of the plot.
pub(super) const LINE: f64 = 15.0;

/// Advance of a letter as a share of its size. Fonts differ: this is that of a wide one.
const LETTER: f64 = 0.58;

/// Letters of the plots, in their units; style.css says the same.
pub(super) const LETTERS: f64 = 11.5;

/// The drawing with what it is called and what can be seen in it.
pub(super) fn svg(width: f64, height: f64, title: &str, about: &str, drawing: &Markup) -> Markup {
    html! {
        svg viewBox={ "0 0 " (px(width)) " " (px(height)) } role="img" {
            title { (title) }
            desc { (about) }
            (drawing)
        }
    }
}

/// A tenth of a unit is finer than any screen.
pub(super) fn px(place: f64) -> f64 {
    let rounded = (place * 10.0).round() / 10.0;
    if rounded.is_finite() { rounded } else { 0.0 }
}

/// How wide a text will be, near enough.
pub(super) fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * LETTERS * LETTER
}

/// The text, cut to a width in the middle: long names often differ only at the end.
pub(super) fn fitted(text: &str, width: f64) -> String {
    let room = (width / (LETTERS * LETTER)).max(1.0) as usize;
    let length = text.chars().count();
    if length <= room {
        return text.to_owned();
    }
    let kept = room - 1;
    let start: String = text.chars().take(kept.div_ceil(2)).collect();
    let end: String = text.chars().skip(length - kept / 2).collect();
    format!("{start}…{end}")
}

/// How wide a column of names must be, within reason.
pub(super) fn column<'a>(names: impl Iterator<Item = &'a str>, widest: f64) -> f64 {
    names.map(text_width).fold(0.0, f64::max).min(widest)
}

/// A horizontal whisker from least to greatest, with caps.
pub(super) fn whisker(from: f64, to: f64, y: f64) -> Markup {
    let (from, to, y) = (px(from), px(to), px(y));
    html! {
        path.whisker-line d={ "M" (from) "," (y - 3.0) "v6m0,-3H" (to) "m0,-3v6" } {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp)] // of places that are exact

    use super::*;

    #[test]
    fn names_are_cut_to_their_column() {
        assert_eq!(fitted("nginx", 100.0), "nginx");
        let cut = fitted(&"long ".repeat(20), 100.0);
        assert!(cut.contains('…') && text_width(&cut) <= 100.0, "{cut}");
        assert_eq!(fitted("case-of-1k-64", 60.0), "case…-64");
        assert_eq!(fitted("ab", 0.0), "…");
        assert_eq!(fitted("ééé", 30.0), "ééé");
    }

    #[test]
    fn no_place_is_not_a_number() {
        assert_eq!([1.234, f64::NAN, f64::INFINITY].map(px), [1.2, 0.0, 0.0]);
    }
}
