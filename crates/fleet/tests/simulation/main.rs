//! Seeded worlds of registries, instances and an operator, beside a shadow that reads the evidence table for itself and
//! knows the truth.
//!
//! A failure names its seed: `BERTH_FLEET_SEED=7` replays that world alone and tells its story, and
//! `BERTH_FLEET_WORLDS=100000` tries as many.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod acts;
mod facts;
mod heard;
mod judge;
mod registry;
mod walk;
mod world;

use std::collections::BTreeSet;

use walk::Walk;

const WORLDS: u64 = 250;

/// What the worlds must lead to: otherwise they check less than they seem to.
const MUST_BE_REACHED: [&str; 27] = [
    "confirmed listed",
    "draining draining",
    "ejected checks",
    "ejected crashed",
    "ejected failures",
    "ejected refused",
    "ejected unanswered",
    "gone absent",
    "gone crashed",
    "gone deregistered",
    "gone expired",
    "gone later_run",
    "gone never_answered",
    "gone removed",
    "gone replaced",
    "gone too_long",
    "gone withdrawn",
    "refused with all registries away",
    "a second answer after a refusal",
    "listed again",
    "taken by unconfirmed ones as well",
    "taken by ejected ones",
    "taken by nobody",
    "unconfirmed absent",
    "unconfirmed crashed",
    "unconfirmed refused_unseen",
    "unconfirmed remembered",
];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|value| value.parse().ok())
}

#[test]
fn whatever_happens_the_table_holds() {
    if let Some(seed) = number("BERTH_FLEET_SEED") {
        Walk::new(seed, true).run();
        return;
    }
    let mut reached = BTreeSet::new();
    for seed in 0..number("BERTH_FLEET_WORLDS").unwrap_or(WORLDS) {
        let walk = std::panic::catch_unwind(|| Walk::new(seed, false).run());
        match walk {
            Ok(found) => reached.extend(found),
            Err(cause) => {
                println!("BERTH_FLEET_SEED={seed} replays the world that failed");
                std::panic::resume_unwind(cause);
            }
        }
    }
    let missed: Vec<_> = MUST_BE_REACHED.iter().filter(|what| !reached.contains(**what)).collect();
    assert!(missed.is_empty(), "no world reached {missed:?}: {reached:#?}");
}
