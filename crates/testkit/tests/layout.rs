//! The layout that docs/ARCHITECTURE.md draws, checked: arrows between crates and modules only point down, pure
//! crates know no clock and no socket, files stay within their budget.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each crate may import of ours, at most. A crate that is not here does not exist.
const CRATES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("http1", &[]),
    ("daemon", &[]),
    ("testkit", &[]),
    ("catalog", &["model"]),
    ("pick", &["model"]),
    ("client", &["model"]),
    ("route", &["model"]),
    ("fleet", &["model", "pick"]),
    ("web", &["model", "daemon"]),
    ("registry", &["model", "catalog", "client", "daemon", "web"]),
    ("balancer", &["model", "fleet", "pick", "route", "http1", "client", "daemon", "web"]),
    ("server", &["client"]),
];

/// Crates without tokio, clock, socket or randomness of their own.
const PURE: &[&str] = &["model", "catalog", "fleet", "pick", "route", "http1"];

/// Words that no pure crate says, and why it may not.
const IMPURE: &[(&str, &str)] = &[
    ("tokio", "pure crates know no runtime"),
    ("Instant::now", "the time is an argument"),
    ("SystemTime", "the time is an argument"),
    ("std::time::Instant", "the time is an argument, as a Duration of the running clock"),
    ("TcpStream", "pure crates know no socket"),
    ("TcpListener", "pure crates know no socket"),
    ("UdpSocket", "pure crates know no socket"),
    ("fastrand", "randomness is an argument"),
    ("thread_rng", "randomness is an argument"),
    ("RandomState::new", "randomness is an argument"),
    ("thread::sleep", "nothing here waits"),
    ("std::env", "nothing below main reads the environment"),
];

/// The modules of the larger crates in the order in which they may import: each only from those behind it. A
/// folder counts as one module here; `lib.rs`, `main.rs` and `mod.rs` themselves stand above all.
const MODULES: &[(&str, &[&str])] = &[
    (
        "balancer",
        &[
            "admin",
            "reload",
            "discovery",
            "config",
            "proxy",
            "telemetry",
            "upstreams",
            "routing",
            "tls",
            "buckets",
        ],
    ),
    (
        "balancer/src/proxy",
        &[
            "worker",
            "connection",
            "limited",
            "exchange",
            "own",
            "attempt",
            "waiting",
            "answer_head",
            "connect",
            "doubt",
            "tries",
            "relay",
            "tunnel",
            "record",
            "request",
            "reply",
            "upload",
            "failure",
            "client",
            "outlet",
            "candidates",
            "past",
            "shared",
            "answer",
            "chosen",
            "view",
            "asking",
            "tally",
            "per_client",
            "pool",
            "deadlines",
            "buffers",
            "splice",
            "stream",
            "listener",
        ],
    ),
    ("registry", &["cli", "api", "feed", "dial", "store", "encode", "telemetry", "gate", "config"]),
    (
        "client",
        &[
            "register",
            "watch",
            "link",
            "stream",
            "event_stream",
            "lookup",
            "call",
            "backoff",
            "error",
            "address",
        ],
    ),
    ("web", &["protect", "serve", "refuse", "observe", "sse", "body", "access", "problem"]),
];

/// The most lines that a source file may have; tests are apart.
const MOST_LINES: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn folder_of(name: &str) -> PathBuf {
    if name == "server" { root().join("examples/server") } else { root().join("crates").join(name) }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// A file's code without its comments, which may speak of anything.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

fn is_test(path: &Path) -> bool {
    path.components()
        .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs" | "benches" | "fuzz")))
}

#[test]
fn every_crate_has_its_place() {
    let known: BTreeSet<&str> = CRATES.iter().map(|(name, _)| *name).collect();
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(name.as_str()), "crates/{name} has no place in the table of {}", file!());
    }
}

#[test]
fn arrows_between_crates_point_down() {
    let mut arrows = 0;
    for (name, allowed) in CRATES {
        let Ok(manifest) = fs::read_to_string(folder_of(name).join("Cargo.toml")) else { continue };
        // What tests need is their own affair.
        let dependencies = manifest.split("[dev-dependencies]").next().unwrap();
        for line in dependencies.lines().filter_map(|line| line.strip_prefix("berth-")) {
            let other = line.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap();
            assert!(allowed.contains(&other), "{name} must not import {other}");
            arrows += 1;
        }
    }
    assert!(arrows >= 15, "only {arrows} arrows found: this test reads the manifests wrongly");
}

#[test]
fn pure_crates_are_pure() {
    for name in PURE {
        for path in rust_files(&folder_of(name).join("src")).into_iter().filter(|path| !is_test(path)) {
            let code = code(&path);
            for (word, why) in IMPURE {
                assert!(!code.contains(word), "{} says {word}: {why}", path.display());
            }
        }
        let Ok(manifest) = fs::read_to_string(folder_of(name).join("Cargo.toml")) else { continue };
        let dependencies = manifest.split("[dev-dependencies]").next().unwrap();
        for word in ["tokio", "rand", "fastrand", "reqwest", "axum", "hyper", "mio", "socket2"] {
            let named = dependencies.lines().any(|line| line.starts_with(word));
            assert!(!named, "{name} is pure and must not depend on {word}");
        }
    }
}

/// The modules that code imports by these prefixes, such as `crate::`.
fn imports(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let rest = &code[at + prefix.len()..];
        let names = match rest.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap_or("").to_owned(),
            None => rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or("").to_owned(),
        };
        let first = |name: &str| name.trim().split("::").next().unwrap_or("").to_owned();
        found.extend(names.split(',').map(first).filter(|name| !name.is_empty()));
    }
    found
}

#[test]
fn arrows_between_modules_point_down() {
    let mut arrows = 0;
    for (place, order) in MODULES {
        let (folder, prefix) = match place.split_once("/src/") {
            None => (folder_of(place).join("src"), "crate::"),
            Some((name, module)) => (folder_of(name).join("src").join(module), "super::"),
        };
        let rank: BTreeMap<&str, usize> =
            order.iter().enumerate().map(|(rank, name)| (*name, rank)).collect();
        for path in rust_files(&folder).into_iter().filter(|path| !is_test(path)) {
            let inside = path.strip_prefix(&folder).unwrap();
            let module =
                inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
            let Some(own) = rank.get(module) else {
                let free = ["lib", "main", "mod", "cli"].contains(&module);
                assert!(free, "{} has no place in the order of {place} in {}", path.display(), file!());
                continue;
            };
            for other in imports(&code(&path), prefix) {
                let Some(theirs) = rank.get(other.as_str()) else { continue };
                assert!(theirs >= own, "{} must not import {other}: it stands above", path.display());
                arrows += usize::from(theirs > own);
            }
        }
    }
    assert!(arrows >= 40, "only {arrows} arrows found: this test reads the sources wrongly");
}

#[test]
fn files_keep_their_budget() {
    for (name, _) in CRATES {
        for path in rust_files(&folder_of(name)).into_iter().filter(|path| !is_test(path)) {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!(
                lines <= MOST_LINES,
                "{} has {lines} lines, more than {MOST_LINES}: split it",
                path.display()
            );
        }
    }
    let map = root().join("docs/ARCHITECTURE.md");
    let lines = fs::read_to_string(&map).expect("docs/ARCHITECTURE.md").lines().count();
    assert!(lines <= 200, "{} has {lines} lines, more than 200", map.display());
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    for (name, _) in CRATES {
        for path in rust_files(&folder_of(name).join("src")) {
            let stem = path.file_stem().unwrap().to_str().unwrap();
            let empty = ["util", "utils", "common", "helper", "helpers", "manager", "misc", "globals"];
            assert!(!empty.contains(&stem), "{}: name it for what it is", path.display());
        }
    }
}
