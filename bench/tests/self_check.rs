//! The harness from its command line to its files, on nginx against nginx, in a second or two.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(clippy::disallowed_methods, reason = "the bans are for serving; reports are read here")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn bench(seconds: &str, cases: &str, scratch: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("sendrail-bench"));
    command.args(["--here", "--self-check", "--rounds", "2", "--seconds", seconds]);
    command.args(["--cases", cases, "--scratch"]).arg(scratch);
    command
}

/// False, having said so, where the harness has nothing to measure or nothing to pin it with.
fn has_peers() -> bool {
    let missing = ["nginx", "taskset", "setpriv"].into_iter().find(|program| {
        let asked =
            Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_err()
    });
    if let Some(program) = missing {
        eprintln!("skipped: {program} is not installed");
    }
    missing.is_none()
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn a_run_leaves_its_report_and_nothing_else() {
    if !has_peers() {
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let run =
        bench("0.1", "1k-4,1m-2", scratch.path()).arg("--out").arg(out.path()).output().unwrap();
    assert!(run.status.success(), "{}", text(&run));
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "files are left");

    let raw: Value =
        serde_json::from_slice(&fs::read(out.path().join("raw.json")).unwrap()).unwrap();
    assert_eq!(raw["publishable"], false);
    assert_eq!(raw["servers"][0]["configuration"]["file"], "bench/peers/nginx.conf");
    assert_eq!(raw["cases"].as_array().unwrap().len(), 2);
    let rounds = raw["cases"][0]["raw"]["rounds"].as_array().unwrap();
    let turns = |round: &Value| -> Vec<String> {
        let samples = round["samples"].as_array().unwrap();
        samples.iter().map(|sample| sample["server"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(turns(&rounds[0]), ["nginx-a", "nginx-b"]);
    assert_eq!(turns(&rounds[1]), ["nginx-b", "nginx-a"]);
    for sample in rounds.iter().flat_map(|round| round["samples"].as_array().unwrap()) {
        let requests = sample["requests"].as_f64().unwrap();
        assert!(requests >= 4.0, "{sample}");
        assert_eq!(sample["body_bytes"], requests as u64 * 1024);
        assert!(sample["server_cpu_seconds"].as_f64().unwrap() > 0.0, "{sample}");
    }
    let summary = fs::read_to_string(out.path().join("summary.md")).unwrap();
    assert!(summary.contains("**Not publishable:**") && summary.contains("## 1m-2"), "{summary}");
    let rows = fs::read_to_string(out.path().join("rounds.csv")).unwrap();
    assert!(rows.contains("1k-4,cpu_per_request,µs,nginx-b,2,"), "{rows}");
    let page = fs::read_to_string(out.path().join("report.html")).unwrap();
    assert!(page.contains("nginx-b") && page.contains("1m-2"), "{page}");
}

/// Control groups of any harness, by their directories.
fn groups() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut further = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = further.pop() {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        further.extend(directories.map(|entry| entry.path()));
        let own = |path: &&PathBuf| path.to_string_lossy().contains("/sendrail-bench-");
        found.extend(further.iter().filter(own).cloned());
    }
    found
}

#[test]
fn a_cold_case_confines_its_servers_and_leaves_no_group() {
    if !has_peers() {
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut run = bench("0.2", "cold-12x1m-2", scratch.path());
    let run = run.arg("--out").arg(out.path()).output().unwrap();
    assert!(run.status.success(), "{}", text(&run));
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "files are left");
    let raw: Value =
        serde_json::from_slice(&fs::read(out.path().join("raw.json")).unwrap()).unwrap();
    let case = &raw["cases"][0];
    assert_eq!(case["chapter"], "cold");
    if case["raw"].is_null() {
        eprintln!("skipped: {}", case["left_out"][0]["why"]);
        return;
    }
    let turns = case["raw"]["turns"].as_array().unwrap();
    assert_eq!(turns.len(), 4, "{}", text(&run));
    for turn in turns {
        assert_eq!(turn["cold_bytes"], 12 << 20, "{turn}");
        assert!(turn["resident_before"].as_f64().unwrap() > 0.9, "{turn}");
        assert!(turn["disk_bytes"].as_u64().unwrap() >= 12 << 20, "was it cold? {turn}");
        assert!(turn["control"]["requests"].as_f64().unwrap() > 50.0, "{turn}");
    }
    let rows = fs::read_to_string(out.path().join("rounds.csv")).unwrap();
    assert!(rows.contains("cold-12x1m-2,hot_resident_after,%,nginx-b,2,"), "{rows}");
    let summary = fs::read_to_string(out.path().join("summary.md")).unwrap();
    assert!(summary.contains("| hot resident, % |"), "{summary}");
}

#[test]
fn a_signal_removes_the_group_too() {
    if !has_peers() {
        return;
    }
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut run = bench("60", "cold-12x1m-2", scratch.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let name = format!("/sendrail-bench-{}-", run.id());
    let own = || groups().into_iter().find(|path| path.to_string_lossy().contains(&name));
    // Until a server has joined it.
    let joined = |path: &Path| {
        fs::read_to_string(path.join("cgroup.procs")).is_ok_and(|processes| !processes.is_empty())
    };
    while !own().is_some_and(|path| joined(&path)) {
        if run.try_wait().unwrap().is_some() {
            let said = text(&run.wait_with_output().unwrap());
            assert!(said.contains("not measured here"), "{said}");
            eprintln!("skipped: {said}");
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    kill_process(Pid::from_child(&run), Signal::TERM).unwrap();
    let ended = run.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", text(&ended));
    assert_eq!(own(), None);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "files are left");
}

#[test]
fn a_signal_stops_the_servers_and_removes_the_files() {
    if !has_peers() {
        return;
    }
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut run = bench("60", "1k-4", scratch.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Until the fourth start of a server has begun: each is tried once before the first case.
    let started = || {
        let ground = fs::read_dir(scratch.path()).ok()?.next()?.ok()?.path();
        Some(fs::read_dir(ground.join("state")).ok()?.count())
    };
    while started().unwrap_or(0) < 4 && run.try_wait().unwrap().is_none() {
        thread::sleep(Duration::from_millis(5));
    }
    kill_process(Pid::from_child(&run), Signal::TERM).unwrap();
    kill_process(Pid::from_child(&run), Signal::TERM).unwrap(); // as timeout(1) does
    let ended = run.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", text(&ended));
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "files are left");
    let place = scratch.path().to_string_lossy().into_owned();
    let processes = Command::new("ps").args(["-eo", "args"]).output().unwrap();
    let left: Vec<String> =
        text(&processes).lines().filter(|line| line.contains(&place)).map(str::to_owned).collect();
    assert!(left.is_empty(), "{left:?}");
}
