//! What ARCHITECTURE.md has to give a reason for.

use std::fs;
use std::path::Path;

use super::{UNSAFE_FILES, none};

fn text_of(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The names in the first column of the tables below the heading `title`.
fn first_column<'a>(document: &'a str, title: &str) -> Vec<&'a str> {
    let lines = document.lines().skip_while(|line| *line != title).skip(1);
    let rows = lines.take_while(|line| !line.starts_with("## ")).filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split(" |").next()).flat_map(|cell| cell.split(", "));
    cells.filter(|name| *name != "crate" && *name != "file").collect()
}

/// Names that lack their row in ARCHITECTURE.md, and rows without a name.
fn unlisted(names: &[&str], listed: &[&str]) -> Vec<String> {
    let missing = names.iter().filter(|name| !listed.contains(name));
    let idle = listed.iter().filter(|name| !names.contains(name));
    missing
        .map(|name| format!("{name}: ARCHITECTURE.md does not say what for"))
        .chain(idle.map(|name| format!("{name}: in ARCHITECTURE.md alone")))
        .collect()
}

/// The crates that `manifest` names itself, those of tests too.
fn direct_dependencies(manifest: &str) -> Vec<&str> {
    let mut is_inside = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_inside = line.ends_with("dependencies]");
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| is_inside) {
            names.push(name);
        }
    }
    names
}

#[test]
fn each_dependency_has_its_reason() {
    let (document, manifest) = (text_of("ARCHITECTURE.md"), text_of("Cargo.toml"));
    let (names, listed) = (direct_dependencies(&manifest), first_column(&document, "## Dependencies"));
    assert!(names.len() > 10);
    none(&unlisted(&names, &listed));
}

#[test]
fn each_file_with_unsafe_code_has_its_reason() {
    let document = text_of("ARCHITECTURE.md");
    let names: Vec<&str> = UNSAFE_FILES.iter().map(|(name, _)| *name).collect();
    none(&unlisted(&names, &first_column(&document, "## Unsafe code")));
}

#[test]
fn reasons_are_looked_for_in_tables() {
    let document = "## A\n| crate | for |\n|---|---|\n| a, b | x, y |\n## B\n| c | z |\n";
    let manifest = "[package]\nname = \"n\"\n[dependencies]\na = \"1\"\n[dev-dependencies]\nd = { x = 1 }\n[lints.rust]\ne = 1";
    assert_eq!(first_column(document, "## A"), ["a", "b"]);
    assert_eq!(direct_dependencies(manifest), ["a", "d"]);
    let violations = unlisted(&["a", "d"], &["a", "b"]);
    assert_eq!(violations, ["d: ARCHITECTURE.md does not say what for", "b: in ARCHITECTURE.md alone"]);
}
