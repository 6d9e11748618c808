//! What is reported of a turn, and what the subject must reach.

use super::Course;
use super::turn::Turn;
use crate::report::{Against, Bound, Measure, mib};
use crate::sample::Taken;

const GIB: f64 = (1_u64 << 30) as f64;

const RESIDENT: &str = "hot_resident_after";
const P50_RATIO: &str = "hot_p50_to_control";
const P99_RATIO: &str = "hot_p99_to_control";
const CPU: &str = "cpu_per_cold_gib";
const THROUGHPUT: &str = "cold_gib_per_second";
const LAST_TO_FIRST: &str = "cold_last_to_first";
const OF_DISK: &str = "cold_share_of_disk";

pub(super) const FIGURES: [Taken<Turn>; 21] = [
    (Measure::less("hot_p50", "hot p50", "µs", 0), |turn| turn.streams_latency.p50),
    (Measure::more(RESIDENT, "hot resident", "%", 1), |turn| Some(turn.resident_after * 100.0)),
    (Measure::less(P50_RATIO, "hot p50 / control", "×", 2), |turn| {
        Some(turn.streams_latency.p50? / turn.control_latency.p50?)
    }),
    (Measure::less(P99_RATIO, "hot p99 / control", "×", 2), |turn| {
        Some(turn.streams_latency.p99? / turn.control_latency.p99?)
    }),
    (Measure::less("hot_p50_control", "p50, control", "µs", 0), |turn| turn.control_latency.p50),
    (Measure::less("hot_p99_control", "p99, control", "µs", 0), |turn| turn.control_latency.p99),
    (Measure::less("hot_p99", "hot p99", "µs", 0), |turn| turn.streams_latency.p99),
    (Measure::less(CPU, "CPU per cold GiB", "ms", 1), |turn| {
        turn.disk.map(|_| turn.cpu_per_gib() * 1e3) // of a slow disk too little comes
    }),
    (Measure::less("cpu_share_control", "CPU, control", "%", 1), |turn| {
        Some(turn.control.server_cpu_seconds / turn.control.wall_seconds * 100.0)
    }),
    (Measure::more(THROUGHPUT, "cold throughput", "GiB/s", 2), |turn| {
        turn.disk.map(|_| turn.cold_gib_per_second())
    }),
    (Measure::more(LAST_TO_FIRST, "last fifth / first", "×", 2), Turn::last_to_first),
    (Measure::more(OF_DISK, "of the disk, direct", "%", 0), |turn| {
        Some(turn.cold_gib_per_second() * GIB / turn.disk?.direct * 100.0)
    }),
    (Measure::more("disk_direct_gib_per_second", "disk, direct", "GiB/s", 2), |turn| {
        Some(turn.disk?.direct / GIB)
    }),
    (Measure::more("disk_cached_gib_per_second", "disk, page cache", "GiB/s", 2), |turn| {
        Some(turn.disk?.cached / GIB)
    }),
    (Measure::less("disk_bytes_per_byte", "read per sent", "", 3), |turn| {
        turn.disk.map(|_| turn.disk_bytes as f64 / turn.cold_bytes as f64)
    }),
    (Measure::more("slow_mib", "from the slow disk", "MiB", 1), |turn| {
        turn.disk.is_none().then(|| mib(turn.cold_bytes))
    }),
    (Measure::less("rss_growth_peak", "RSS growth, peak", "MiB", 1), |turn| {
        Some(turn.memory_growth())
    }),
    (Measure::less("rss_anon_growth", "RssAnon growth", "MiB", 1), |turn| {
        Some(mib(turn.streams.memory.rss_anon) - mib(turn.memory_before.rss_anon))
    }),
    (Measure::less("pss_after", "PSS", "MiB", 1), |turn| Some(mib(turn.streams.memory.pss))),
    (Measure::less("kernel_peak", "kernel memory, peak", "MiB", 1), |turn| {
        turn.kernel_peak.map(mib)
    }),
    (Measure::more("hot_resident_before", "resident before", "%", 1), |turn| {
        Some(turn.resident_before * 100.0)
    }),
];

/// So much of the hot set is in memory when the streams begin.
const WARM: f64 = 0.99;
/// From here on nginx reads past the page cache where it is told to.
const DIRECT_ABOVE: u64 = 4 << 20;

/// By the key of a measure.
pub(super) fn bounds(course: Course, len: u64) -> Vec<(&'static str, Bound)> {
    let calm = (P99_RATIO, Bound::at_most(Against::Value, 2.0));
    match course {
        Course::Once => {
            let mut bounds = vec![
                (RESIDENT, Bound::at_least(Against::Value, 99.0)),
                (P50_RATIO, Bound::at_most(Against::Value, 1.25)),
                calm,
                (CPU, Bound::at_most(Against::Server("nginx"), 1.05)),
                (THROUGHPUT, Bound::at_least(Against::Best, 1.0)),
                (OF_DISK, Bound::at_least(Against::Value, 90.0)),
            ];
            if len >= DIRECT_ABOVE {
                bounds.push((CPU, Bound::at_most(Against::Server("nginx-directio"), 0.5)));
                bounds.push((CPU, Bound::at_most(Against::Server("nginx-libaio"), 0.5)));
            }
            bounds
        }
        Course::Again => vec![(LAST_TO_FIRST, Bound::at_least(Against::Value, 0.9))],
        Course::Slow => vec![calm],
    }
}

/// Why these turns are to be doubted.
pub(super) fn warnings(turns: &[Turn]) -> Vec<String> {
    let cool = |turn: &&Turn| turn.resident_before < WARM;
    let mut names: Vec<&str> = turns.iter().filter(cool).map(|turn| turn.server.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "the hot set was not all resident before the streams with {}",
        names.join(" and ")
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_demanded_is_measured() {
        for course in [Course::Once, Course::Again, Course::Slow] {
            for (key, _) in bounds(course, DIRECT_ABOVE) {
                assert!(FIGURES.iter().any(|(measure, _)| measure.key == key), "{key}");
            }
        }
        let direct =
            |(_, bound): &(&str, Bound)| bound.against == Against::Server("nginx-directio");
        assert!(bounds(Course::Once, DIRECT_ABOVE).iter().any(direct));
        assert!(!bounds(Course::Once, 64 << 10).iter().any(direct));
    }

    #[test]
    fn no_two_measures_have_the_same_key() {
        let mut keys: Vec<&str> = FIGURES.iter().map(|(measure, _)| measure.key).collect();
        keys.sort_unstable();
        assert!(keys.windows(2).all(|two| two[0] != two[1]), "{keys:?}");
    }
}
