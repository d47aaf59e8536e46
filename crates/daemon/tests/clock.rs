//! The running clock's arithmetic.

use std::time::{Duration, Instant};

use berth_daemon::RunningTime;

const MS: Duration = Duration::from_millis(1);

#[test]
fn time_passes_between_ticks_and_over_them() {
    let start = Instant::now();
    let mut clock = RunningTime::start(start);
    assert_eq!(clock.at(start + 200 * MS), 200 * MS);
    assert_eq!(clock.tick(start + 250 * MS), Duration::ZERO);
    assert_eq!(clock.at(start + 300 * MS), 300 * MS);
}

#[test]
fn standing_still_ages_nobody() {
    let start = Instant::now();
    let mut clock = RunningTime::start(start);
    clock.tick(start + 250 * MS);
    // Read before the first tick after the stop, and after it: the same half second.
    let woken = start + 3_600_000 * MS;
    assert_eq!(clock.at(woken), 750 * MS);
    assert_eq!(clock.tick(woken), 3_600_000 * MS - 750 * MS);
    assert_eq!(clock.at(woken), 750 * MS);
    assert_eq!(clock.at(woken + 100 * MS), 850 * MS);
}

#[test]
fn it_never_goes_back() {
    let start = Instant::now();
    let mut clock = RunningTime::start(start + 100 * MS);
    assert_eq!(clock.at(start), Duration::ZERO);
    clock.tick(start + 200 * MS);
    assert_eq!(clock.at(start), 100 * MS);
}
