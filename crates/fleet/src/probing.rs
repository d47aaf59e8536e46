//! When an endpoint is probed.

use std::time::Duration;

use berth_pick::Chance;

use crate::Probed;

/// Endpoints that are out, or have yet to show that they live, are asked soon at first and then less often.
const FIRST_GAP: Duration = Duration::from_millis(250);
const LONGEST_GAP: Duration = Duration::from_secs(2);

/// After the first answer the next one is asked for so soon: the second brings an endpoint back.
const SECOND_GAP: Duration = Duration::from_millis(500);

/// However many doubts there are, an endpoint that answers is asked so often.
const DOUBT_GAP: Duration = Duration::from_secs(1);

/// A probe of which nothing was heard for so long is forgotten.
const LOST_AFTER: Duration = Duration::from_secs(10);

/// So much earlier or later than planned, at most, each probe is sent: a tenth of the gap.
const JITTER: f64 = 0.1;

/// How urgent it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Now, to settle a doubt.
    Doubt,
    /// Now, and again and again until it answers.
    Return,
    /// Every two seconds.
    Steady,
}

/// The probes of one endpoint, by which it is known to live.
#[derive(Debug, Default)]
pub(crate) struct Probing {
    pub(crate) due: Option<Duration>,
    /// When the one that is under way began.
    pub(crate) under_way: Option<Duration>,
    last_began: Option<Duration>,
    /// When the last one ended, and how.
    pub(crate) last: Option<(Duration, Probed)>,
    /// Answered ones in a row.
    pub(crate) good: u32,
    /// Those since the pace has changed.
    sent: u32,
    pace: Option<Pace>,
}

impl Probing {
    /// Plans the next one.
    pub(crate) fn plan(&mut self, now: Duration, pace: Option<Pace>, chance: &mut Chance) {
        if self.pace == pace && (self.due.is_some() || self.under_way.is_some()) {
            return;
        }
        if self.pace != pace {
            (self.pace, self.sent) = (pace, 0);
        }
        let Some(pace) = pace else {
            self.due = None;
            return;
        };
        let gap = match pace {
            Pace::Doubt => DOUBT_GAP,
            Pace::Return if self.good == 1 => SECOND_GAP,
            // It answers, and has a penalty to serve.
            Pace::Return if self.good > 1 => LONGEST_GAP,
            Pace::Return => LONGEST_GAP.min(FIRST_GAP * (1 << self.sent.min(10))),
            Pace::Steady => LONGEST_GAP,
        };
        // What was heard long ago does not make it less urgent.
        let due = self.last_began.map_or(now, |began| jittered(began, gap, chance).max(now));
        self.due = Some(due);
    }

    /// Begins one if it is time.
    pub(crate) fn begin_due(&mut self, now: Duration) -> bool {
        if self.under_way.is_some() || self.due.is_none_or(|due| due > now) {
            return false;
        }
        (self.under_way, self.last_began, self.due) = (Some(now), Some(now), None);
        self.sent += 1;
        true
    }

    /// One that began then has ended. False: it was given up before.
    pub(crate) fn end(&mut self, now: Duration, began: Duration, probed: Probed) -> bool {
        if self.under_way != Some(began) {
            return false;
        }
        self.under_way = None;
        self.note(now, probed);
        true
    }

    /// One that began then was not sent after all.
    pub(crate) fn forget(&mut self, began: Duration) {
        if self.under_way == Some(began) {
            self.under_way = None;
        }
    }

    /// What came of a probe that was sent for something else.
    pub(crate) fn note(&mut self, now: Duration, probed: Probed) {
        self.last = Some((now, probed));
        self.good = if matches!(probed, Probed::Answered { .. }) { self.good.saturating_add(1) } else { 0 };
    }

    /// Whether the last one was answered.
    pub(crate) fn answers(&self) -> bool {
        matches!(self.last, Some((_, Probed::Answered { .. })))
    }

    /// When the one that is under way is forgotten.
    pub(crate) fn lost_at(&self) -> Option<Duration> {
        self.under_way.map(|began| began + LOST_AFTER)
    }

    /// When the next one is to begin; none while one is under way.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.due.filter(|_| self.under_way.is_none())
    }

    /// Whether it is to settle a doubt.
    pub(crate) fn is_for_doubt(&self) -> bool {
        self.pace == Some(Pace::Doubt)
    }

    /// Whether none has been sent at this pace.
    pub(crate) fn is_first(&self) -> bool {
        self.sent == 0
    }

    /// Forgets one that is under way for too long.
    pub(crate) fn expire(&mut self, now: Duration) {
        if self.under_way.is_some_and(|began| began + LOST_AFTER <= now) {
            self.under_way = None;
        }
    }
}

/// About so long after that.
pub(crate) fn jittered(from: Duration, gap: Duration, chance: &mut Chance) -> Duration {
    let part = 1.0 + JITTER * (2.0 * f64::from(chance.fraction()) - 1.0);
    from + gap.mul_f64(part)
}
