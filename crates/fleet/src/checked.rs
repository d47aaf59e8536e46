//! Checks that the operator has asked for, at one endpoint.

use std::time::Duration;

use berth_pick::Chance;

use crate::agenda::Rank;
use crate::probing::jittered;
use crate::{Check, Probed};

/// Which check: a number that stands for what is asked, and how often. Backends with the same share its results.
pub type CheckId = u64;

/// One check at one endpoint.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) id: CheckId,
    check: Check,
    due: Duration,
    pub(crate) under_way: Option<Duration>,
    good: u32,
    bad: u32,
    /// Since when it is out for that, and after how many bad answers.
    pub(crate) down: Option<(Duration, u32)>,
}

impl Checked {
    /// The first one is sent at any time within the first interval, so that not all are sent at once.
    pub(crate) fn new(now: Duration, id: CheckId, check: Check, chance: &mut Chance) -> Self {
        let due = now + check.interval.mul_f32(chance.fraction());
        Self { id, check, due, under_way: None, good: 0, bad: 0, down: None }
    }

    /// When something is to be done.
    pub(crate) fn next(&self) -> Duration {
        // One of which nothing is heard is forgotten.
        self.under_way.map_or(self.due, |began| began + self.check.interval.max(self.check.timeout) * 10)
    }

    /// How urgent it is, where the endpoint is ejected or not.
    pub(crate) fn rank(&self, is_ejected: bool) -> Rank {
        if is_ejected || self.down.is_some() { Rank::Return } else { Rank::Other }
    }

    /// Begins one if it is time. What is late is not made up for.
    pub(crate) fn begin(&mut self, now: Duration, chance: &mut Chance) -> bool {
        if self.next() > now {
            return false;
        }
        self.under_way = Some(now);
        self.due = jittered(now, self.check.interval, chance);
        true
    }

    /// One that began then was not sent after all.
    pub(crate) fn forget(&mut self, began: Duration) {
        if self.under_way == Some(began) {
            self.under_way = None;
        }
    }

    /// One that began then has ended. False: it was given up before.
    pub(crate) fn end(&mut self, now: Duration, began: Duration, probed: Probed) -> bool {
        if self.under_way != Some(began) {
            return false;
        }
        self.under_way = None;
        if matches!(probed, Probed::Answered { is_expected: true, .. }) {
            (self.good, self.bad) = (self.good.saturating_add(1), 0);
            if self.good >= self.check.rise {
                self.down = None;
            }
        } else {
            (self.good, self.bad) = (0, self.bad.saturating_add(1));
            if self.bad >= self.check.fall && self.down.is_none() {
                self.down = Some((now, self.bad));
            }
        }
        true
    }
}
