//! Numbers as people read them: grouped, with units, and never a surprise when there is no number.

use crate::report::Better;
use crate::spread::Spread;

/// From here on digits no longer tell anything.
const ASTRONOMICAL: f64 = 1e12;

/// With `decimals`, and commas between thousands.
pub(super) fn fixed(value: f64, decimals: usize) -> String {
    if let Some(odd) = odd(value) {
        return odd;
    }
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let (sign, digits) = whole.split_at(usize::from(whole.starts_with('-')));
    let mut grouped = String::from(sign);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

/// A share or a multiple, with about three digits that count.
pub(super) fn ratio(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        small if small < 0.01 => 4,
        small if small < 2.0 => 3,
        middling if middling < 10.0 => 2,
        large if large < 100.0 => 1,
        _ => 0,
    };
    fixed(value, decimals)
}

/// `0.571 (0.526–0.583)`
pub(super) fn ratio_spread(spread: Spread) -> String {
    format!("{} ({}–{})", ratio(spread.median), ratio(spread.min), ratio(spread.max))
}

/// `0.526–0.583`, in the unit of the figure.
pub(super) fn range(spread: Spread, decimals: usize) -> String {
    format!("{}–{}", fixed(spread.min, decimals), fixed(spread.max, decimals))
}

/// The value with its unit, if it has one.
pub(super) fn with_unit(value: f64, decimals: usize, unit: &str) -> String {
    let number = fixed(value, decimals);
    if unit.is_empty() { number } else { format!("{number} {unit}") }
}

/// As `with_unit`, but times in the unit that fits.
pub(super) fn readable(value: f64, decimals: usize, unit: &str) -> String {
    match unit {
        "ns" | "µs" | "ms" | "s" if value.abs() >= 1000.0 => tick(value, unit),
        _ => with_unit(value, decimals, unit),
    }
}

/// As short as it goes, for the ticks of an axis: `100 ms`, `2k`, `1.5 ×`.
pub(super) fn tick(value: f64, unit: &str) -> String {
    let steps: &[(f64, &str)] = match unit {
        "ns" => &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")],
        "µs" => &[(1e6, "s"), (1e3, "ms"), (1.0, "µs"), (1e-3, "ns")],
        "ms" => &[(1e3, "s"), (1.0, "ms"), (1e-3, "µs")],
        "s" => &[(1.0, "s"), (1e-3, "ms")],
        "" => &[(1e9, "G"), (1e6, "M"), (1e3, "k"), (0.0, "")],
        other => return format!("{} {other}", shortest(value)),
    };
    let (step, name) = steps
        .iter()
        .find(|(step, _)| value.abs() >= *step)
        .or(steps.last())
        .expect("every unit has steps");
    let step = if *step == 0.0 { 1.0 } else { *step };
    let space = if unit.is_empty() { "" } else { " " };
    format!("{}{space}{name}", shortest(value / step))
}

/// A file's size, to the nearest unit that keeps it short.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = UNITS.iter().find(|(shift, _)| bytes >> shift > 0);
    unit.map_or_else(
        || format!("{bytes} B"),
        |(shift, name)| format!("{} {name}", shortest(bytes as f64 / (1_u64 << shift) as f64)),
    )
}

/// `1 case`, `2 cases`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{} {noun}{}", fixed(number as f64, 0), if number == 1 { "" } else { "s" })
}

/// `a, b and c`
pub(super) fn list(words: &[impl AsRef<str>]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// A ratio to another server as a share of effort, so that less is better whatever is measured.
pub(super) fn effort(ratio: Spread, better: Better) -> Spread {
    match better {
        Better::Less => ratio,
        Better::More => {
            Spread { median: ratio.median.recip(), min: ratio.max.recip(), max: ratio.min.recip() }
        }
    }
}

/// At most two decimals, none of them a zero at the end.
fn shortest(value: f64) -> String {
    if let Some(odd) = odd(value) {
        return odd;
    }
    if value != 0.0 && value.abs() < 0.01 {
        return format!("{value:e}");
    }
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn odd(value: f64) -> Option<String> {
    if value.is_nan() {
        Some("not a number".to_owned())
    } else if value.is_infinite() {
        Some(if value > 0.0 { "∞" } else { "−∞" }.to_owned())
    } else if value.abs() >= ASTRONOMICAL {
        Some(format!("{value:.2e}"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        let cases = [
            (0.0, 0, "0"),
            (5.754, 2, "5.75"),
            (999.0, 0, "999"),
            (1000.0, 0, "1,000"),
            (171_212.4, 0, "171,212"),
            (-1_234_567.891, 1, "-1,234,567.9"),
            (f64::NAN, 2, "not a number"),
            (f64::INFINITY, 2, "∞"),
            (1e300, 2, "1.00e300"),
        ];
        for (value, decimals, expected) in cases {
            assert_eq!(fixed(value, decimals), expected);
        }
    }

    #[test]
    fn ratios_keep_the_digits_that_count() {
        let shown = [0.00431, 0.571, 1.0, 3.456, 34.56, 345.6].map(ratio);
        assert_eq!(shown, ["0.0043", "0.571", "1.000", "3.46", "34.6", "346"]);
    }

    #[test]
    fn ticks_change_to_the_unit_that_fits() {
        let cases = [
            (2e5, "µs", "200 ms"),
            (50.0, "µs", "50 µs"),
            (0.5, "µs", "500 ns"),
            (1500.0, "ms", "1.5 s"),
            (2e6, "", "2M"),
            (0.5, "", "0.5"),
            (0.0, "µs", "0 ns"),
            (3.0, "MiB", "3 MiB"),
            (f64::INFINITY, "µs", "∞ s"),
        ];
        for (value, unit, expected) in cases {
            assert_eq!(tick(value, unit), expected);
        }
    }

    #[test]
    fn sizes_are_binary() {
        let shown = [0, 1 << 10, 10 << 10, 1536, 64 << 20, 1 << 30, u64::MAX].map(size);
        assert_eq!(shown, ["0 B", "1 KiB", "10 KiB", "1.5 KiB", "64 MiB", "1 GiB", "16777216 TiB"]);
    }

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(list(&[] as &[&str]), "");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
    }

    #[test]
    fn twice_as_fast_is_half_the_effort() {
        let ratio = Spread { median: 2.0, min: 1.0, max: 4.0 };
        assert_eq!(effort(ratio, Better::Less), ratio);
        assert_eq!(effort(ratio, Better::More), Spread { median: 0.5, min: 0.25, max: 1.0 });
    }
}
