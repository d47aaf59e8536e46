//! The change log: a cursor reads all that came after it, or learns that it cannot.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use berth_catalog::{ChangeLog, Gap};
use proptest::prelude::*;

fn log_of(appended: u64, capacity: usize) -> ChangeLog<u64> {
    let mut log = ChangeLog::new(capacity);
    for _ in 0..appended {
        log.append(|sequence| sequence);
    }
    log
}

fn since(log: &ChangeLog<u64>, cursor: u64) -> Result<Vec<u64>, Gap> {
    log.since(cursor).map(|entries| entries.copied().collect())
}

#[test]
fn an_empty_log_knows_its_beginning() {
    let log = log_of(0, 4);
    assert_eq!(since(&log, 0), Ok(vec![]));
    assert_eq!(since(&log, 1), Err(Gap::Ahead));
}

#[test]
fn a_log_without_room_knows_only_its_head() {
    let log = log_of(3, 0);
    assert_eq!(since(&log, 3), Ok(vec![]));
    assert_eq!(since(&log, 2), Err(Gap::TooOld));
}

proptest! {
    #[test]
    fn every_cursor_gets_all_that_follows_or_a_gap(appended in 0u64..50, capacity in 0usize..20, cursor in 0u64..60) {
        let log = log_of(appended, capacity);
        prop_assert_eq!(log.head(), appended);
        let expected = if cursor > appended {
            Err(Gap::Ahead)
        } else if appended - cursor > capacity as u64 {
            Err(Gap::TooOld)
        } else {
            Ok((cursor + 1..=appended).collect())
        };
        prop_assert_eq!(since(&log, cursor), expected);
    }

    #[test]
    fn a_cursor_from_nowhere_never_panics(appended in 0u64..50, cursor: u64) {
        let _ = since(&log_of(appended, 8), cursor);
    }
}
