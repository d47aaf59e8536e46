//! The schema, the reference and the examples are what the types say.

use std::fs;
use std::path::Path;
use std::process::Command;

use berth_balancer::config::{Options, schema, settle};
use serde_json::Value;

use super::{read, reference, root};

/// Compares a committed document with what it should be, or writes it.
fn compare(path: &Path, expected: &str) {
    if std::env::var_os("BERTH_UPDATE").is_some() {
        fs::write(path, expected).unwrap();
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == expected,
        "{} is not what the types say; regenerate it:\n  BERTH_UPDATE=1 cargo test -p berth-balancer --test configuration",
        path.display()
    );
}

#[test]
fn the_schema_is_the_types() {
    let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    compare(&root().join("docs/configuration.schema.json"), &text);
}

#[test]
fn the_reference_is_the_types() {
    compare(&root().join("docs/configuration.md"), &reference::text(&schema()));
}

#[test]
fn every_example_is_right() {
    let mut count = 0;
    for entry in fs::read_dir(root().join("examples/configs")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let first = "# yaml-language-server: $schema=../../docs/configuration.schema.json\n";
        assert!(text.starts_with(first), "{}", path.display());
        let loaded = read(&text).unwrap_or_else(|problems| panic!("{}:\n{problems}", path.display()));
        settle(&Options::default(), Some(&loaded), 4096).unwrap();
        count += 1;
    }
    assert!(count >= 15, "{count} examples");
}

#[test]
fn every_flag_has_its_key_with_the_same_default() {
    let help = Command::new(env!("CARGO_BIN_EXE_balancer")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    // A flag's paragraph: from the flag to the next one.
    let mut flags: Vec<(String, String)> = Vec::new();
    for line in help.lines() {
        let flag =
            line.trim_start().split_once("--").filter(|(front, _)| front.is_empty() || front.ends_with(", "));
        match (flag, flags.last_mut()) {
            (Some((_, rest)), _) => {
                let name = rest.split(|c: char| !(c.is_ascii_lowercase() || c == '-')).next().unwrap();
                flags.push((name.replace('-', "_"), rest.to_owned()));
            }
            (None, Some((_, text))) => *text += &format!(" {}", line.trim()),
            (None, None) => {}
        }
    }
    flags.retain(|(name, _)| !matches!(name.as_str(), "config" | "help" | "version"));
    assert!(flags.len() >= 25, "{flags:?}");
    let schema = schema();
    for (name, text) in flags {
        let name = if name == "no_via" { "via" } else { &name };
        let key = schema["properties"].get(name).unwrap_or_else(|| panic!("no key for --{name}"));
        let default = match &key["default"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if let Some((_, said)) = text.split_once("[default: ") {
            let is_same = said.starts_with(&format!("{default}]"));
            // Those that depend on the machine are told in words.
            assert!(is_same || default == "null", "{name}: {said} in the help, {default} in the schema");
        }
    }
}
