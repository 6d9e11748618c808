//! A made-up run, large enough that everything on the page has something to show.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::environment::Environment;
use crate::peer::Configuration;
use crate::pin::Cores;
use crate::report::{
    Against, Better, Bound, CaseReport, Chapter, Figure, LeftOut, Measure, Point, Role, Run,
    ServerRecord,
};

const NAMES: [&str; 9] = [
    "sendrail",
    "nginx",
    "h2o",
    "lighttpd",
    "caddy",
    "apache",
    "static-web-server",
    "miniserve",
    "floor",
];
/// What each needs of what nginx does: for a request as such, and for its bytes.
const WEIGHTS: [(f64, f64); 9] = [
    (0.57, 1.0),
    (1.0, 1.0),
    (0.82, 1.15),
    (1.12, 1.04),
    (4.1, 1.3),
    (2.3, 0.97),
    (1.9, 3.1),
    (3.2, 3.4),
    (0.52, 0.98),
];
const SIZES: [(&str, u64); 7] = [
    ("1k", 1 << 10),
    ("4k", 4 << 10),
    ("10k", 10 << 10),
    ("100k", 100 << 10),
    ("1m", 1 << 20),
    ("64m", 64 << 20),
    ("1g", 1 << 30),
];
const CROWDS: [usize; 3] = [1, 64, 512];
const ROUNDS: u32 = 5;

const fn measure(
    key: &'static str,
    name: &'static str,
    unit: &'static str,
    decimals: usize,
) -> Measure {
    Measure { key, name, unit, decimals, better: Better::Less }
}

pub(super) const CPU: Measure = measure("cpu_per_request", "CPU per request", "µs", 2);
const CPU_GIB: Measure = measure("cpu_per_gib", "CPU per GiB", "ms", 1);
const RATE: Measure = Measure {
    better: Better::More,
    ..measure("requests_per_second", "requests per second", "", 0)
};
const CALLS: Measure = measure("system_calls_per_request", "system calls per request", "", 2);
const P50: Measure = measure("latency_p50", "latency, p50", "µs", 0);
const P99: Measure = measure("latency_p99", "latency, p99", "µs", 0);
const P999: Measure = measure("latency_p999", "latency, p99.9", "µs", 0);
const PSS: Measure = measure("pss_steady", "PSS, steady", "MiB", 2);
const IDLE: Measure = measure("rss_anon_per_connection", "RssAnon per connection", "bytes", 0);
const HOT_P50: Measure = measure("hot_p50", "hot p50", "µs", 0);
const RESIDENT: Measure =
    Measure { better: Better::More, ..measure("hot_resident_after", "hot resident", "%", 1) };
const UNHEARD_OF: Measure = measure("unheard_of", "figure unheard of", "", 1);

/// A server's rounds of a figure: the same on every call, a few per cent apart.
fn rounds(value: f64, seed: usize) -> Vec<f64> {
    let noise = |round: usize| ((seed * 31 + round * 17) % 13) as f64 / 13.0 - 0.5;
    (0..ROUNDS as usize).map(|round| value * (1.0 + 0.08 * noise(round))).collect()
}

pub(super) fn server(name: &str, role: Role) -> ServerRecord {
    let words = ["taskset", "--cpu-list", "0", name, "--root", "/srv/a directory"];
    ServerRecord {
        name: name.to_owned(),
        role,
        version: format!("{name} 1.22.1"),
        command: words.map(String::from).to_vec(),
        configuration: (name == "nginx").then_some(Configuration {
            file: "bench/peers/nginx.conf",
            text: "# see https://nginx.org\nworker_processes 1;\nevents { use epoll; }\n".into(),
        }),
    }
}

fn role(name: &str) -> Role {
    match name {
        "sendrail" => Role::Subject,
        "floor" => Role::Floor,
        _ => Role::Peer,
    }
}

/// `value` gives each server's figure; none leaves it out.
pub(super) fn figure(
    measure: Measure,
    bounds: &[Bound],
    value: impl Fn(usize) -> Option<f64>,
) -> Figure {
    let servers = NAMES.map(|name| (name, role(name)));
    let rounds = (0..NAMES.len()).map(|server| {
        value(server).map_or(Vec::new(), |value| rounds(value, server * 7 + measure.key.len()))
    });
    Figure::of(measure, &servers, rounds.collect(), bounds)
}

pub(super) fn case(name: &str, about: &str, chapter: Chapter, figures: Vec<Figure>) -> CaseReport {
    CaseReport {
        name: name.to_owned(),
        about: about.to_owned(),
        chapter,
        point: None,
        figures,
        left_out: Vec::new(),
        warnings: Vec::new(),
        raw: Value::Null,
    }
}

fn hot(name: &str, bytes: u64, connections: usize) -> CaseReport {
    let crowded = 1.0 + (connections as f64).log2() / 60.0;
    let cpu = |server: usize| {
        let (request, byte) = WEIGHTS[server];
        Some(crowded * (9.6 * request + byte * bytes as f64 / 8000.0))
    };
    let bounds: &[Bound] = match (name, connections) {
        ("1k", 64) => &[Bound::at_most(Against::Server("nginx"), 0.65)],
        ("100k", 64) => &[Bound::at_most(Against::Server("nginx"), 0.85)],
        ("1m" | "64m" | "1g", 64) => &[Bound::at_most(Against::Best, 1.0)],
        _ => &[],
    };
    let gib = (1_u64 << 30) as f64 / bytes as f64 / 1000.0;
    let mut case = case(
        &format!("{name}-{connections}"),
        &format!("A file of {name} over {connections} keep-alive connections."),
        Chapter::Hot,
        vec![
            figure(CPU, bounds, cpu),
            figure(CPU_GIB, &[], |server| Some(cpu(server)? * gib)),
            figure(RATE, &[], |server| Some(1e6 / cpu(server)?)),
            figure(CALLS, &[], |server| (server != 5).then_some(2.0 + server as f64 * 0.7)),
        ],
    );
    case.point = Some(Point { bytes, connections });
    case
}

fn latency(name: &str, share: f64) -> CaseReport {
    let at = |worse: f64| {
        move |server: usize| {
            (server != 7).then(|| {
                (70.0 + 160.0 * share * WEIGHTS[server].0) * worse.powf(WEIGHTS[server].0.sqrt())
            })
        }
    };
    let bound = [Bound::at_most(Against::Server("nginx"), 1.0)];
    let mut case = case(
        name,
        &format!("1 KiB at {:.0} % of what nginx can do.", share * 100.0),
        Chapter::Latency,
        vec![
            figure(P99, &bound, at(2.6)),
            figure(P50, &[], at(1.0)),
            figure(P999, &[], at(6.0)),
            figure(CPU, &[], |server| (server != 7).then(|| 10.0 * WEIGHTS[server].0)),
        ],
    );
    case.left_out = vec![LeftOut {
        server: "miniserve".into(),
        why: "could not reach the offered rate of 60,000 requests per second".into(),
    }];
    case
}

/// Seven sizes by three crowds, then something of every chapter.
pub(super) fn run() -> Run {
    let mut cases: Vec<CaseReport> = Vec::new();
    for connections in CROWDS {
        cases.extend(SIZES.iter().map(|(name, bytes)| hot(name, *bytes, connections)));
    }
    cases[7].warnings = vec!["the rounds' ratios of CPU per request differ by 26 %".into()];
    let cpu = |dear: f64| move |server: usize| Some(dear * WEIGHTS[server].0);
    cases.extend([
        case(
            "mix-10000",
            "10,000 files, as popular as on a real site (Zipf).",
            Chapter::Mix,
            vec![
                figure(CPU, &[Bound::at_most(Against::Best, 0.9)], cpu(13.0)),
                figure(RATE, &[], |server| Some(8e4 / WEIGHTS[server].0)),
            ],
        ),
        case(
            "mix-cold-names",
            "As many names as files, most of them not in the cache.",
            Chapter::Mix,
            vec![figure(RATE, &[], |server| Some(4e4 / WEIGHTS[server].0))],
        ),
        case(
            "range-64",
            "One range of 64 KiB in the middle of 1 GiB.",
            Chapter::Requests,
            vec![figure(CPU, &[], |server| {
                (server != 2).then(|| 16.0 * WEIGHTS[server].0.powf(1.4))
            })],
        ),
        case(
            "not-modified",
            "If-None-Match that matches: 304.",
            Chapter::Requests,
            vec![
                figure(CPU, &[Bound::at_most(Against::Best, 0.6)], |server| {
                    Some(if server == 0 { 8.4 } else { 7.9 * WEIGHTS[server].0 })
                }),
                figure(UNHEARD_OF, &[], |server| Some(server as f64)),
            ],
        ),
        latency("latency-1k-25pct", 0.25),
        latency("latency-1k-75pct", 0.75),
        case(
            "idle-10000",
            "10,000 idle keep-alive connections.",
            Chapter::Crowd,
            vec![
                figure(IDLE, &[Bound::at_most(Against::Value, 8192.0)], |server| {
                    Some(500.0 + 900.0 * WEIGHTS[server].1 * WEIGHTS[server].0.powi(2))
                }),
                figure(PSS, &[], |server| Some(4.0 + 9.0 * WEIGHTS[server].0)),
            ],
        ),
        case(
            "memory-5g-64",
            "5 GiB to 64 clients at once.",
            Chapter::Crowd,
            vec![figure(PSS, &[Bound::at_most(Against::Server("nginx"), 1.0)], |server| {
                Some(4.0 + 9.0 * WEIGHTS[server].0)
            })],
        ),
        case(
            "cold-64",
            "2048 cold files over 64 connections.",
            Chapter::Cold,
            vec![
                figure(HOT_P50, &[], |server| Some(150.0 * 4.0_f64.powi(server as i32))),
                figure(RESIDENT, &[Bound::at_least(Against::Value, 99.0)], |server| {
                    Some(if server == 0 { 100.0 } else { 0.0 })
                }),
                figure(UNHEARD_OF, &[], |server| Some(server as f64)),
            ],
        ),
    ]);
    cases[23].left_out =
        vec![LeftOut { server: "h2o".into(), why: "answers 200 with the whole file".into() }];
    Run {
        schema: 3,
        command: ["target/release/sendrail-bench", "--out", "bench/runs/a b"]
            .map(String::from)
            .to_vec(),
        started: "2026-11-21T14:55:15Z".into(),
        finished: "2026-11-21T15:46:40Z".into(),
        publishable: false,
        not_publishable_because: vec!["figures are made up".into()],
        rounds: ROUNDS,
        seconds: 3.0,
        environment: environment(),
        servers: NAMES.iter().map(|name| server(name, role(name))).collect(),
        left_out: vec![LeftOut { server: "traefik".into(), why: "not installed".into() }],
        cases,
    }
}

fn environment() -> Environment {
    let settings =
        [("kernel.io_uring_disabled", "0"), ("net.ipv4.tcp_rmem", "4096 131072 33554432")];
    Environment {
        host: "vm".into(),
        kernel: "6.18.44 #1 SMP PREEMPT_DYNAMIC".into(),
        architecture: "x86_64".into(),
        cpu_model: "AMD EPYC".into(),
        cpus: 2,
        memory_bytes: 24 << 30,
        governor: None,
        kernel_command_line: "mitigations=auto".into(),
        load_average_at_start: "0.16 0.23 0.04 1/82 29612".into(),
        own_network_namespace: true,
        congestion_control: "reno".into(),
        settings: BTreeMap::from(settings.map(|(name, value)| (name.into(), value.into()))),
        cores: Cores { server: 0, generator: 1 },
        document_file_system: "ext4".into(),
        open_files_limit: 20_000,
        commit: Some("4ad99731fc7c".into()),
    }
}
