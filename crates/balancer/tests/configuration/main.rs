//! The configuration file: what it means, what is said of a wrong one, and its documents.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

mod documents;
mod health;
mod meaning;
mod precedence;
mod process;
mod reference;
mod wrong;

use std::path::PathBuf;

use berth_balancer::config::{Loaded, Options, Problems, Settings, load, settle};

/// Reads a file in a world with two variables.
fn read(text: &str) -> Result<Loaded, Problems> {
    load(text, "balancer.yaml", &|name| match name {
        "PORT" => Some("8000".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    })
}

/// What a file that is right comes to, without flags.
fn settings(text: &str) -> Settings {
    let loaded = read(text).unwrap_or_else(|problems| panic!("{problems}"));
    settle(&Options::default(), Some(&loaded), 4096).expect("settings")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}
