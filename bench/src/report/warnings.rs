//! Reasons to doubt a measurement; a warning is part of the result.

use super::Figure;
use crate::case::Round;
use crate::sample::Sample;

/// Share of a core.
const OTHERS: f64 = 0.05;
const STOLEN: f64 = 0.02;
const SPREAD: f64 = 0.15;
const FULL: f64 = 0.95;
const NOT_FULL: f64 = 0.85;
const FEW: f64 = 100.0;
/// So much shows what a byte costs, however few requests it was.
const MANY_BYTES: u64 = 256 << 20;

/// Whether the machine was quiet. Each warning once, with its worst case.
pub(crate) fn of_quiet(rounds: &[Round]) -> Vec<String> {
    let mut warnings = Vec::new();
    let samples = || rounds.iter().flat_map(|round| &round.samples);
    let worst = |of: fn(&Sample) -> f64| samples().map(of).fold(0.0, f64::max);

    let others = worst(|sample| sample.others_cpu_seconds / sample.wall_seconds);
    if others > OTHERS {
        warnings.push(format!(
            "the machine was busy: other programs used up to {:.0} % of a core",
            others * 100.0
        ));
    }
    let stolen = worst(|sample| sample.stolen_seconds / sample.wall_seconds);
    if stolen > STOLEN {
        warnings.push(format!("the hypervisor took up to {:.0} % of a core away", stolen * 100.0));
    }
    warnings
}

/// The same, and whether the servers were at saturation.
pub(crate) fn of_rounds(rounds: &[Round]) -> Vec<String> {
    let mut warnings = of_quiet(rounds);
    let samples = || rounds.iter().flat_map(|round| &round.samples);
    // A server that waits for the generator wakes up for fewer requests at a time, which costs more per request: the
    // comparison then favours the server that is slower and so better fed.
    let starved = samples().filter(|sample| {
        (sample.generator_cpu_seconds - sample.generator_spun_seconds) / sample.wall_seconds > FULL
            && sample.server_cpu_seconds / sample.wall_seconds < NOT_FULL
    });
    let mut starved: Vec<&str> = starved.map(|sample| sample.server.as_str()).collect();
    starved.sort_unstable();
    starved.dedup();
    if !starved.is_empty() {
        warnings.push(format!(
            "the load generator was the bottleneck with {}: CPU per request there is that of a server partly idle",
            starved.join(" and ")
        ));
    }
    let few = samples().map(|sample| sample.requests).fold(f64::INFINITY, f64::min);
    if few < FEW && samples().all(|sample| sample.body_bytes < MANY_BYTES) {
        warnings.push(format!("only {few:.0} requests in a round: give it more --seconds"));
    }
    warnings
}

/// A median is not to be relied on when the rounds do not agree: those that matter, against the best.
pub(crate) fn of_spread(figure: &Figure) -> Option<String> {
    let best = figure.best.as_ref()?;
    let width = best.ratio.width();
    (width > SPREAD).then(|| {
        let percent = width * 100.0;
        format!(
            "the rounds' ratios of {} to {} differ by {percent:.0} %",
            figure.measure.name, best.server
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use crate::report::Role;
    use crate::sample::{Latency, TAKEN};

    fn quiet(server: &str) -> Sample {
        Sample {
            server: server.into(),
            requests: 1000.0,
            body_bytes: 1000,
            wall_seconds: 1.0,
            server_cpu_seconds: 0.99,
            generator_cpu_seconds: 0.8,
            generator_spun_seconds: 0.0,
            others_cpu_seconds: 0.01,
            stolen_seconds: 0.0,
            wakeups: 10,
            memory: Memory::default(),
            peak_pss: 0,
            latency: Latency::default(),
        }
    }

    fn warnings_with(change: fn(&mut Sample)) -> Vec<String> {
        let mut odd = quiet("b");
        change(&mut odd);
        of_rounds(&[
            Round { samples: vec![quiet("a"), quiet("b")] },
            Round { samples: vec![odd, quiet("a")] },
        ])
    }

    #[test]
    fn a_quiet_run_warns_of_nothing() {
        assert!(warnings_with(|_| ()).is_empty());
    }

    #[test]
    fn each_doubt_is_named_once() {
        type Case = (fn(&mut Sample), &'static str);
        let cases: [Case; 4] = [
            (|sample| sample.others_cpu_seconds = 0.3, "up to 30 % of a core"),
            (|sample| sample.stolen_seconds = 0.1, "took up to 10 %"),
            (
                |sample| (sample.generator_cpu_seconds, sample.server_cpu_seconds) = (0.99, 0.7),
                "bottleneck with b:",
            ),
            (|sample| sample.requests = 7.0, "only 7 requests"),
        ];
        for (change, why) in cases {
            let warnings = warnings_with(change);
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].contains(why), "{warnings:?}");
        }
    }

    #[test]
    fn a_full_generator_matters_only_when_it_is_at_work_and_the_server_is_not() {
        assert!(warnings_with(|sample| sample.generator_cpu_seconds = 0.99).is_empty());
        let looking_in_vain = |sample: &mut Sample| {
            (sample.generator_cpu_seconds, sample.generator_spun_seconds) = (0.99, 0.3);
            sample.server_cpu_seconds = 0.7;
        };
        assert!(warnings_with(looking_in_vain).is_empty());
    }

    #[test]
    fn few_requests_are_enough_when_they_are_large() {
        let large = |sample: &mut Sample| (sample.requests, sample.body_bytes) = (7.0, 1 << 30);
        assert!(warnings_with(large).is_empty());
    }

    #[test]
    fn rounds_that_disagree_are_named() {
        let (measure, _) = TAKEN[0];
        let servers = [("a", Role::Subject), ("b", Role::Peer)];
        let warning = |ratios: &[f64]| {
            let rounds = vec![ratios.to_vec(), vec![1.0; ratios.len()]];
            of_spread(&Figure::of(measure, &servers, rounds, &[]))
        };
        assert_eq!(warning(&[0.98, 1.0, 1.02]), None);
        assert!(
            warning(&[0.9, 1.0, 1.12]).is_some_and(|text| text.contains("to b differ by 22 %"))
        );
    }
}
