//! A search that finds an order for everything would find no fault.

use berth_model::Reason;

use super::super::model::{Call, Outcome, Seen};
use super::{Operation, is_linearizable};

const FIVE: Seen = Seen { run: 5, port: 80, weight: 1, draining: false };
const SIX: Seen = Seen { run: 6, ..FIVE };

fn put(seen: Seen) -> Call {
    Call::Put { run: Some(seen.run), port: seen.port, weight: seen.weight, draining: seen.draining }
}

/// Operations from `(invoked, answered, call, outcome)`.
fn history(operations: Vec<(u64, u64, Call, Outcome)>) -> Vec<Operation> {
    let operation = |(invoked, answered, call, outcome)| Operation { call, outcome, invoked, answered };
    operations.into_iter().map(operation).collect()
}

#[test]
fn a_reader_may_see_a_write_that_is_under_way_or_not() {
    for found in [None, Some(FIVE)] {
        let joined = (0, 3, put(FIVE), Outcome::Joined(FIVE));
        assert!(is_linearizable(&history(vec![joined, (1, 2, Call::Get, Outcome::Found(found))])));
    }
}

#[test]
fn a_stale_answer_is_rejected() {
    let joined = (0, 1, put(FIVE), Outcome::Joined(FIVE));
    assert!(!is_linearizable(&history(vec![joined.clone(), (2, 3, Call::Get, Outcome::Found(None))])));
    let replaced = (2, 3, put(SIX), Outcome::Joined(SIX));
    let stale = (4, 5, Call::Get, Outcome::Found(Some(FIVE)));
    assert!(!is_linearizable(&history(vec![joined, replaced, stale])));
}

#[test]
fn two_readers_see_one_order() {
    let writes = [(0, 9, put(FIVE), Outcome::Joined(FIVE)), (0, 9, put(SIX), Outcome::Joined(SIX))];
    let find = |at: u64, seen| (at, at + 1, Call::Get, Outcome::Found(Some(seen)));
    let with = |reads: [_; 2]| history(writes.iter().cloned().chain(reads).collect());
    assert!(is_linearizable(&with([find(1, FIVE), find(3, SIX)])));
    assert!(!is_linearizable(&with([find(1, SIX), find(3, FIVE)])));
}

#[test]
fn a_lost_update_is_rejected() {
    let patch = Call::Patch { weight: Some(2), draining: None };
    let heavier = Seen { weight: 2, ..FIVE };
    let mut calls = vec![
        (0, 1, put(FIVE), Outcome::Joined(FIVE)),
        (2, 3, patch, Outcome::Kept(heavier)),
        (4, 5, put(FIVE), Outcome::Kept(FIVE)),
    ];
    assert!(!is_linearizable(&history(calls.clone())));
    calls[2].3 = Outcome::Kept(heavier);
    assert!(is_linearizable(&history(calls)));
}

#[test]
fn a_run_that_was_ended_is_refused_with_its_own_reason() {
    let with = |outcome| {
        history(vec![
            (0, 1, put(FIVE), Outcome::Joined(FIVE)),
            (2, 3, put(SIX), Outcome::Joined(SIX)),
            (4, 5, Call::End { run: Some(5) }, outcome),
        ])
    };
    assert!(is_linearizable(&with(Outcome::Gone(Reason::Replaced))));
    for wrong in [Outcome::Gone(Reason::Removed), Outcome::Done, Outcome::Unknown] {
        assert!(!is_linearizable(&with(wrong)));
    }
}
