//! Seeded schedules of everything that happens to a catalog, composed as the registry's store composes it
//! (`store`), beside a shadow model that is too simple to be wrong (`shadow`).
//!
//! A failure prints the shortest schedule that proptest found, and the seed goes to
//! `simulation.regressions`, which every later run replays first: run the test again to debug it, and
//! delete the file when it passes. `PROPTEST_RNG_SEED=7` makes a whole run repeatable.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "simulation/acts.rs"]
mod acts;
#[path = "simulation/history.rs"]
mod history;
#[path = "simulation/seen.rs"]
mod seen;
#[path = "simulation/shadow.rs"]
mod shadow;
#[path = "simulation/store.rs"]
mod store;
#[path = "simulation/walk.rs"]
mod walk;
#[path = "simulation/words.rs"]
mod words;

use std::cell::RefCell;
use std::collections::BTreeSet;

use proptest::test_runner::{Config, FileFailurePersistence, RngAlgorithm, TestRunner};

use walk::Walk;

const SCHEDULES: u32 = 3000;

/// Few ids, runs and ports, so that owners meet.
type Key = u8;

/// What the schedules must lead to: otherwise they check less than they seem to.
const MUST_BE_REACHED: [&str; 22] = [
    "Changed",
    "Joined",
    "Left as crashed",
    "Left as deregistered",
    "Left as expired",
    "Left as removed",
    "Left as replaced",
    "a cursor too old",
    "a dial accepted, and published",
    "a dial accepted, but refused: Gone",
    "a dial accepted, but refused: Superseded",
    "a dial accepted, but withdrawn",
    "a lease over before it was evicted",
    "a link opened: pending",
    "a notice of Asked",
    "a notice of Ended",
    "a suspect that a link held again",
    "a suspect that was outlived when a later run joined",
    "a suspect that was outlived when its link was lost",
    "a wish kept against its owner",
    "a wish kept over the end of its run",
    "a wish repeated by its owner",
];

#[test]
fn the_catalog_does_what_the_shadow_does() {
    let persistence = FileFailurePersistence::WithSource("regressions");
    let config = Config {
        cases: SCHEDULES,
        failure_persistence: Some(Box::new(persistence)),
        source_file: Some(file!()),
        // The default one takes two thirds of the time in a debug build.
        rng_algorithm: RngAlgorithm::XorShift,
        ..Config::default()
    };
    let reached = RefCell::new(BTreeSet::new());
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&acts::schedules(), |schedule| {
        let mut walk = Walk::default();
        schedule.iter().for_each(|act| walk.act(act));
        walk.finish();
        reached.borrow_mut().extend(walk.reached);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    let reached = reached.into_inner();
    let missed: Vec<_> = MUST_BE_REACHED.iter().filter(|what| !reached.contains(**what)).collect();
    assert!(missed.is_empty(), "no schedule reached {missed:?}");
}
