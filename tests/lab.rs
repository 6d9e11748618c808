//! The lab: what articles assert of copies is what this machine does, or else it is said.

use serde_json::Value;
use std::process::{Command, Output};

fn lab(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sendrail"));
    command.arg("lab").args(arguments).output().unwrap()
}

fn quick(more: &[&str]) -> Value {
    let output = lab(&[&["table", "--size", "32", "--rounds", "1", "--json"], more].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// read+write 2, mmap+write 1, sendfile and splice 0: within 2 %.
#[test]
fn each_way_copies_as_often_as_is_known_of_it() {
    let table = quick(&[]);
    if let Some(why) = table["blind"].as_str() {
        return eprintln!("skipped: no copy can be seen here: {why}");
    }
    let mut seen = 0;
    for row in table["rows"].as_array().unwrap() {
        let way = &row["way"];
        let copies = row["figures"]["copies"].as_f64().unwrap();
        let expected = match way.as_str() {
            None if way.get("read-zerocopy").is_some() => 1.0,
            Some("mmap-write") => 1.0,
            // A device that does not gather is given packets in one piece.
            Some("sendfile" | "splice") if row["link"] == "not-gathering" => 1.0,
            Some("sendfile" | "splice" | "sendrail") => 0.0,
            // What it copies is told by its own tests: where it is refused it is copied like read+write.
            Some("uncached" | "direct") => continue,
            _ => 2.0, // read-write, with its buffer
        };
        assert!((copies - expected).abs() <= 0.02, "{way}: {copies} copies, in {row}");
        seen += 1;
    }
    assert!(seen >= 7, "{table}");
    if !table["rows"].as_array().unwrap().iter().any(|row| row["link"] == "not-gathering") {
        eprintln!("skipped in part: no pair of devices: {}", table["warnings"]);
    }
    for sample in table["samples"].as_array().unwrap() {
        let counts = &sample["counts"];
        let sent: u64 = ["sent_copied", "sent_user", "sent_cache", "sent_other"]
            .iter()
            .map(|kind| counts[kind].as_u64().unwrap())
            .sum();
        let len = sample["len"].as_u64().unwrap();
        // Packets may be lost on a busy machine, and sent again.
        assert!(
            (len * 49 / 50..len * 2).contains(&sent),
            "{sent} of {len} bytes were seen: {sample}"
        );
        assert_eq!(counts["received"].as_u64().unwrap(), len, "{sample}");
    }
}

/// The engine's receipts, and the loop's own count, are what the kernel saw.
#[test]
fn those_who_count_agree() {
    let table = quick(&[]);
    if let Some(why) = table["blind"].as_str() {
        return eprintln!("skipped: no copy can be seen here: {why}");
    }
    let samples = table["samples"].as_array().unwrap();
    // A fresh buffer for each send is a fresh mapping, at times.
    for sample in samples.iter().filter(|sample| sample["way"].get("read-zerocopy").is_none()) {
        let told = sample["done"]["calls"].as_u64().unwrap();
        let seen = sample["counts"]["calls"].as_u64().unwrap();
        // Memory for buffers, and a pipe or a ring that is made for the first time, are no transfer's own.
        assert!((told..=told + 12).contains(&seen), "{seen} calls seen, {told} told: {sample}");
    }
}

#[test]
fn a_report_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let within = folder.path().join("report");
    let out = within.to_str().unwrap();
    let output = lab(&["table", "--size", "4", "--rounds", "1", "--out", out]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown = String::from_utf8(output.stdout).unwrap();
    for way in ["read+write 64 KiB", "mmap+write", "sendfile", "splice", "uncached", "direct"] {
        assert!(shown.contains(way), "{way} in {shown}");
        assert!(std::fs::read_to_string(within.join("table.md")).unwrap().contains(way), "{way}");
    }
    for name in ["table.csv", "table.json"] {
        assert!(within.join(name).metadata().unwrap().len() > 100, "{name}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (arguments, said) in [
        (&["table", "--size", "0"][..], "--size 0: must be from 1 MiB"),
        (&["table", "--rounds", "0"], "--rounds 0: must be from 1"),
        (&["table", "--scratch", "/nowhere"], "/nowhere: "),
    ] {
        let output = lab(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(said), "{arguments:?}: {stderr}");
    }
}

#[test]
fn the_classical_table_has_a_line_for_each_size() {
    let output = lab(&["classic", "--most", "21", "--rounds", "1", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Value = serde_json::from_slice(&output.stdout).unwrap();
    let sizes: Vec<u64> =
        lines.as_array().unwrap().iter().map(|line| line["megabytes"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [7, 21]);
    for time in lines[1]["times"].as_array().unwrap() {
        assert!(time["wall"].as_f64().unwrap() > 0.0, "{time}");
    }
}

/// The object that is loaded is made from the source that lies beside it.
#[test]
fn the_object_is_of_its_source() {
    if !crate::harness::has("sha256sum") {
        return;
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../lab/bpf");
    let made_by = std::fs::read_to_string(format!("{folder}/copies.bpf.o.made-by")).unwrap();
    let sums: Vec<&str> = made_by.lines().filter(|line| line.contains("copies.bpf")).collect();
    assert_eq!(sums.len(), 2, "{made_by}");
    for sum in sums {
        let name = sum.split_whitespace().nth(1).unwrap();
        let output = Command::new("sha256sum").arg(name).current_dir(folder).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), sum.trim(), "run bpf/build");
    }
}

#[test]
fn a_cold_file_is_set_beside_a_hot_set() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let output = lab(&[
        "cache", "--memory", "64", "--hot", "16", "--cold", "96", "--rounds", "1", "--out", out,
        "--json",
    ]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    if stderr.contains("cannot be thrown out of the page cache") {
        return eprintln!("skipped: {stderr}");
    }
    assert!(output.status.success(), "{stderr}");
    let experiment: Value = serde_json::from_slice(&output.stdout).unwrap();
    let courses = experiment["courses"].as_array().unwrap();
    assert!(courses.len() >= 8, "{experiment}");
    for course in courses {
        let left = course["left"][0].as_f64().unwrap();
        assert!((0.0..=100.0).contains(&left), "{left}");
        assert!(!course["residency"].as_array().unwrap().is_empty());
    }
    assert!(folder.path().join("cache.html").exists());
}

#[test]
fn loopback_is_no_device() {
    if !crate::harness::has("ethtool") {
        return;
    }
    let output = lab(&["nic", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let interfaces: Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = interfaces.as_array().unwrap();
    assert!(all.iter().any(|one| one["name"] == "lo" && one["loopback"] == true), "{interfaces}");
    let shown = String::from_utf8(lab(&["nic"]).stdout).unwrap();
    assert!(shown.contains("there is no device"), "{shown}");
}
