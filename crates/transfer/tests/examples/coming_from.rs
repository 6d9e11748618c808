//! The rows of docs/coming-from.md: each runs, and says so; and there is none in the page that does not.

use crate::example;
use std::{collections::BTreeSet, process::Command};

/// The tables, one for each example, with how many rows they have.
const TABLES: [&str; 5] = ["java", "netty", "go", "nginx", "kafka"];

#[test]
fn every_row_runs() {
    let page = include_str!("../../../../docs/coming-from.md");
    for table in TABLES {
        let name = format!("coming_from_{table}");
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let output = Command::new(example(&name)).current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{name}: {said}");

        // `fn transfer_to() -> Outcome {` in the program is `transfer_to` in the last column of the page.
        let path = format!("{}/examples/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        let source = std::fs::read_to_string(path).unwrap();
        let functions: BTreeSet<&str> = source
            .lines()
            .filter_map(|line| line.strip_prefix("fn ")?.strip_suffix("() -> Outcome {"))
            .filter(|function| *function != "main")
            .collect();
        let section = page.split("\n## ").find(|part| part.contains(&format!("{name}.rs")));
        let rows: BTreeSet<&str> = section
            .unwrap()
            .lines()
            .filter_map(|line| line.strip_suffix("` |")?.rsplit('`').next())
            .collect();
        assert_eq!(rows, functions, "{name}: the rows of the page, and the functions");
        let ran = said.lines().filter(|line| line.starts_with("ok ")).count();
        assert_eq!(ran, functions.len(), "{name}: {said}");
    }
}
