//! Failures of one endpoint of late, and what they cost it.

use std::collections::VecDeque;
use std::time::Duration;

/// How long failures are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// How often they are looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(250);

/// With fewer nothing is decided.
const FEWEST: u64 = 5;

/// The first penalty, and the longest.
const PENALTY: Duration = Duration::from_secs(5);
const LONGEST_PENALTY: Duration = Duration::from_secs(120);

/// After so long without one, a penalty is forgotten.
const FORGIVE_AFTER: Duration = Duration::from_secs(60);

/// The failures of one endpoint while they are watched: from the first until there was none for a while.
#[derive(Debug)]
pub(crate) struct Watched {
    /// When, and how many requests and failures there had ever been.
    samples: VecDeque<(Duration, u64, u64)>,
    failed_at: Duration,
}

impl Watched {
    pub(crate) fn begin(now: Duration, requests: u64, failures: u64) -> Self {
        Self { samples: VecDeque::from([(now, requests, failures)]), failed_at: now }
    }

    /// Counts on. False: it has been well for long enough.
    pub(crate) fn count(&mut self, now: Duration, requests: u64, failures: u64) -> bool {
        let last = self.samples.back().map_or(0, |(.., failures)| *failures);
        if failures > last {
            self.failed_at = now;
        }
        self.samples.push_back((now, requests, failures));
        // One from before the window stays: it is where the window begins.
        while self.samples.get(1).is_some_and(|(at, ..)| *at + WINDOW <= now) {
            self.samples.pop_front();
        }
        now.saturating_sub(self.failed_at) < WINDOW
    }

    /// Failures, and all requests among which they were.
    pub(crate) fn of_late(&self) -> (u64, u64) {
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else { return (0, 0) };
        let failed = last.2.saturating_sub(first.2);
        // Those that had begun before may fail as well.
        (failed, last.1.saturating_sub(first.1).max(failed))
    }

    /// Which part of its requests failed, from 0 to 1.
    pub(crate) fn rate(&self) -> f64 {
        let (failed, of) = self.of_late();
        if of == 0 { 0.0 } else { failed as f64 / of as f64 }
    }

    /// Whether it fails half of its requests, and clearly more than the others of a backend, which fail this part.
    pub(crate) fn stands_out(&self, others: f64) -> bool {
        let rate = self.rate();
        self.of_late().0 >= FEWEST && rate >= 0.5 && rate >= 2.0 * others
    }
}

/// How long an endpoint stays out that fails again and again: longer each time, and forgotten in time.
#[derive(Debug, Default)]
pub(crate) struct Penalties {
    count: u32,
    ended: Duration,
}

impl Penalties {
    /// Another one begins now. Returns its end.
    pub(crate) fn next(&mut self, now: Duration) -> Duration {
        let forgiven = now.saturating_sub(self.ended).as_secs() / FORGIVE_AFTER.as_secs();
        self.count = self.count.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
        let penalty = PENALTY.saturating_mul(1 << self.count.min(10)).min(LONGEST_PENALTY);
        self.count += 1;
        self.ended = now + penalty;
        self.ended
    }
}
