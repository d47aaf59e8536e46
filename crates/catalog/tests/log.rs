//! The change log: a cursor reads all that came after it, or learns that it cannot.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use berth_catalog::{ChangeLog, Gap};
use proptest::prelude::*;

fn log_of(appended: u64, capacity: usize) -> ChangeLog<u64> {
    let mut log = ChangeLog::new(capacity, usize::MAX);
    for _ in 0..appended {
        log.append(1, |sequence| sequence);
    }
    log
}

/// How many of the last entries fit, asked of each number of them anew.
fn most_kept(sizes: &[usize], most_entries: usize, most_bytes: usize) -> usize {
    let fits = |kept: &usize| {
        let last = &sizes[sizes.len() - kept..];
        *kept <= most_entries && last.iter().sum::<usize>() <= most_bytes
    };
    (0..=sizes.len()).filter(fits).max().unwrap()
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

#[test]
fn an_entry_that_alone_is_too_large_leaves_an_empty_log() {
    let mut log = ChangeLog::new(4, 10);
    log.append(3, |sequence| sequence);
    log.append(11, |sequence| sequence);
    assert_eq!(since(&log, 1), Err(Gap::TooOld));
    assert_eq!(since(&log, 2), Ok(vec![]));
    log.append(10, |sequence| sequence);
    assert_eq!(since(&log, 2), Ok(vec![3]), "what was dropped takes no room");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

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
    fn as_many_are_kept_as_fit_into_the_entries_and_into_the_bytes(
        sizes in prop::collection::vec(0usize..9, 0..40),
        most_entries in 0usize..20,
        most_bytes in 0usize..50,
    ) {
        let mut log = ChangeLog::new(most_entries, most_bytes);
        for (index, size) in sizes.iter().enumerate() {
            log.append(*size, |sequence| sequence);
            let appended = index + 1;
            let kept = most_kept(&sizes[..appended], most_entries, most_bytes);
            for cursor in 0..=appended {
                let told = since(&log, cursor as u64);
                if appended - cursor > kept {
                    prop_assert_eq!(told, Err(Gap::TooOld));
                } else {
                    prop_assert_eq!(told, Ok((cursor as u64 + 1..=appended as u64).collect()));
                }
            }
        }
    }

    #[test]
    fn a_cursor_from_nowhere_never_panics(appended in 0u64..50, cursor: u64) {
        let _ = since(&log_of(appended, 8), cursor);
    }
}
