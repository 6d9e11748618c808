//! The lab: what articles assert of copies is what this machine does, or else it is said.

use serde_json::Value;
use std::{
    process::{Command, Output},
    sync::LazyLock,
};

fn lab(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sendrail"));
    command.arg("lab").args(arguments).output().unwrap()
}

/// One table, which several tests look at.
static TABLE: LazyLock<Value> = LazyLock::new(|| {
    let output = lab(&["table", "--size", "32", "--rounds", "1", "--json"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
});

/// read+write 2, mmap+write 1, sendfile and splice 0: within 2 %.
#[test]
fn each_way_copies_as_often_as_is_known_of_it() {
    let table = &*TABLE;
    if let Some(why) = table["blind"].as_str() {
        return eprintln!("skipped: no copy can be seen here: {why}");
    }
    let mut seen = 0;
    for row in table["rows"].as_array().unwrap() {
        let way = &row["way"];
        let expected = match way.as_str() {
            // Where both ends are here the kernel copies once more, when it delivers.
            None if way.get("read-zerocopy").is_some() => 2.0,
            None if way.get("mmap-zerocopy").is_some() => 1.0,
            Some("direct-zerocopy" | "mmap-write") => 1.0,
            Some("ring-read") if row["figures"]["copies"].is_null() => continue, // cannot be seen
            // A device that does not gather is given packets in one piece.
            Some("sendfile" | "splice") if row["link"] == "not-gathering" => 1.0,
            Some("sendfile" | "splice" | "sendrail") => 0.0,
            // What it copies is told by its own tests: where it is refused it is copied like read+write.
            Some("uncached" | "direct") => continue,
            _ => 2.0, // read-write, with its buffer; ring-read
        };
        let copies = row["figures"]["copies"].as_f64().unwrap();
        assert!((copies - expected).abs() <= 0.02, "{way}: {copies} copies, in {row}");
        seen += 1;
    }
    assert!(seen >= 7, "{table}");
    if !table["rows"].as_array().unwrap().iter().any(|row| row["link"] == "not-gathering") {
        eprintln!("skipped in part: no pair of devices: {}", table["warnings"]);
    }
    for sample in table["samples"].as_array().unwrap() {
        let counts = &sample["counts"];
        if sample["way"].get("checksum").is_some() {
            continue;
        }
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
    let table = &*TABLE;
    if let Some(why) = table["blind"].as_str() {
        return eprintln!("skipped: no copy can be seen here: {why}");
    }
    let samples = table["samples"].as_array().unwrap();
    // A fresh buffer for each send is a fresh mapping, at times; libraries do not count.
    let counts = |sample: &&Value| {
        let way = &sample["way"];
        way.get("read-zerocopy").is_none()
            && way.get("checksum").is_none()
            && way["front"] != "asynchronous"
    };
    for sample in samples.iter().filter(counts) {
        let told = sample["done"]["calls"].as_u64().unwrap();
        let seen = sample["counts"]["calls"].as_u64().unwrap();
        // Memory for buffers, and a pipe or a ring that is made for the first time, are no transfer's own.
        assert!((told..=told + 12).contains(&seen), "{seen} calls seen, {told} told: {sample}");
    }
}

/// A program of which everything is known is seen as it is.
#[test]
fn the_probes_can_be_believed() {
    let table = &*TABLE;
    let checks = table["self_tests"].as_array().unwrap();
    assert!(checks.len() >= 9, "{table}");
    let blind = !table["blind"].is_null();
    for check in checks {
        let (done, seen) = (check["known"].as_u64().unwrap(), check["seen"].as_u64());
        let Some(seen) = seen else {
            eprintln!("skipped: {}: nobody can see it here", check["what"]);
            continue;
        };
        let holds = if check["at_least"] == true { seen >= done } else { seen == done };
        assert!(holds, "{check}");
        // What others add is little beside it.
        assert!(done < 1000 || seen < done * 2 || check["what"].to_string().contains("all disks"));
    }
    let seen = checks.iter().filter(|check| !check["seen"].is_null()).count();
    assert!(blind || seen >= 8, "{checks:?}");
    for sample in table["samples"].as_array().unwrap() {
        assert!(matches!(sample["counts"]["lost"].as_u64(), None | Some(0)), "{sample}");
    }
}

/// Who was sent pages reads what was written to the file after it had been sent.
#[test]
fn what_is_overwritten_proves_it_without_a_probe() {
    let table = &*TABLE;
    let tried = table["overwritten"].as_array().unwrap();
    assert!(tried.len() >= 4, "{table}");
    for one in tried {
        let passes_pages = one["way"] == "sendfile" || one["way"] == "splice";
        let gathers = one["link"] != "not-gathering";
        assert_eq!(one["got"], if passes_pages && gathers { "new" } else { "old" }, "{one}");
    }
}

/// The models, the checksums and copy-on-write.
#[test]
fn what_stands_beside_the_table_is_measured() {
    let table = &*TABLE;
    let fronts = table["fronts"].as_array().unwrap();
    assert!(fronts.len() == 6 || fronts.len() == 3, "{fronts:?}");
    for row in table["checksums"].as_array().unwrap() {
        let Some(read) = row["figures"]["read"].as_f64() else { continue };
        let expected = if row["way"]["checksum"] == "read" { 1.0 } else { 0.0 };
        assert!((read - expected).abs() < 0.001, "{row}");
    }
    assert!(!table["warnings"].to_string().contains("checksums differ"), "{}", table["warnings"]);
    let private = table["private"].as_array().unwrap();
    let copied: Vec<u64> = private.iter().map(|step| step["copied"].as_u64().unwrap()).collect();
    // 256 pages of 4 KiB, or of whatever size pages are here; and what the process took besides.
    assert!(copied[1] < 256 << 10 && copied[2] >= 1 << 20, "{private:?}");
    assert!(copied[2].abs_diff(copied[3]) < 256 << 10, "{private:?}");
    match table["reflink"].as_array() {
        None => eprintln!("skipped: no clones: {}", table["warnings"]),
        Some(reflink) => {
            let steps = reflink[1].as_array().unwrap();
            let copied: Vec<u64> =
                steps.iter().map(|step| step["copied"].as_u64().unwrap()).collect();
            assert!(copied[0] < 1 << 20 && copied[1] < 4 << 20, "{steps:?}");
            assert!(copied[2] > 15 << 20, "{steps:?}");
        }
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

fn classic(arguments: &[&str]) -> Value {
    let output = lab(&[&["classic", "--json"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_classical_table_has_a_line_for_each_size() {
    let classic = classic(&["--most", "21", "--rounds", "1"]);
    let lines = classic["lines"].as_array().unwrap();
    let sizes: Vec<u64> = lines.iter().map(|line| line["megabytes"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [7, 21]);
    for time in lines[1]["times"].as_array().unwrap() {
        assert!(time["wall"].as_f64().unwrap() > 0.0, "{time}");
    }
}

/// Its bytes are held against the file: what sends others is not in the table.
#[test]
fn java_is_measured_beside_where_it_is() {
    if !crate::harness::has("java") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let classic = classic(&["--most", "7", "--rounds", "1", "--out", out]);
    let absent = classic["absent"].to_string();
    if absent.contains("could not be compiled") {
        return eprintln!("skipped: {absent}");
    }
    assert!(!classic["java"].as_str().unwrap().is_empty());
    let times = classic["lines"][0]["times"].as_array().unwrap();
    let ways: Vec<&str> = times
        .iter()
        .filter(|times| times["java"] == true)
        .map(|times| times["way"].as_str().unwrap())
        .collect();
    assert_eq!(ways[..3], ["Java read+write 4 KiB", "Java transferTo", "Java MappedByteBuffer"]);
    let netty = ways.iter().any(|way| way.starts_with("Netty FileRegion"));
    assert!(netty || absent.contains("Netty"), "{classic}");
    if absent != "[]" {
        eprintln!("skipped in part: {absent}");
    }
    let congestion = classic["congestion"].as_str().unwrap();
    let fair = ["reno", "cubic"].contains(&congestion);
    assert!(fair || classic["warnings"].to_string().contains("congestion control"), "{classic}");
    for name in ["classic.html", "classic.md", "classic.csv"] {
        let written = std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(written.contains("Java transferTo"), "{name}: {written}");
    }
}

#[test]
fn where_there_is_no_java_it_is_said() {
    let nothing = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sendrail"));
    command.args(["lab", "classic", "--most", "7", "--rounds", "1"]).env("PATH", nothing.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("Java: not installed (there is no java in PATH)"), "{shown}");
    assert!(shown.contains("sendfile") && !shown.contains("Java transferTo"), "{shown}");
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
fn thresholds_come_with_their_curves() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let output = lab(&["tune", "--size", "16", "--rounds", "1", "--quick", "--out", out, "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tuned: Value = serde_json::from_slice(&output.stdout).unwrap();
    let fragment = std::fs::read_to_string(folder.path().join("sendrail.toml")).unwrap();
    let curves = tuned["curves"].as_array().unwrap();
    assert!(curves.iter().any(|curve| curve["option"] == "window"), "{tuned}");
    for curve in curves {
        let points = curve["points"].as_array().unwrap();
        assert!(points.len() >= 5, "{curve}");
        assert!(points.iter().all(|point| point["cost"].as_f64().unwrap() > 0.0), "{curve}");
        let option = curve["option"].as_str().unwrap();
        let set = fragment.contains(&format!("\n{option} = "));
        let left = fragment.contains(&format!("\n# {option} = "));
        assert_eq!((set, left), (curve["choice"]["is_default"] == false, !set), "{fragment}");
    }
    if curves.len() < 5 {
        eprintln!("skipped in part: {}", tuned["warnings"]);
    }
    assert!(folder.path().join("tune.html").exists());
    // And the server takes it.
    let explained = Command::new(env!("CARGO_BIN_EXE_sendrail"))
        .arg("explain")
        .arg(folder.path().join("tune.html"))
        .arg("--config")
        .arg(folder.path().join("sendrail.toml"))
        .output()
        .unwrap();
    assert!(explained.status.success(), "{}", String::from_utf8_lossy(&explained.stderr));
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
