use std::time::Duration;

use berth_model::{Reason, Run};

use crate::asked::Asked;

/// How long the end of a run is remembered.
pub const TOMBSTONE_LIFE: Duration = Duration::from_secs(600);

/// The most tombstones of one id. An owner that restarts in a loop leaves one each time; one that is forgotten
/// early costs its run a 404 instead of a 410, and the live run still refuses it.
const MOST_PER_ID: usize = 64;

/// The ended runs of one id, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tombstones {
    // Allocated with the first end: most records have none.
    stones: Vec<Tombstone>,
}

#[derive(Clone, Debug)]
struct Tombstone {
    run: Run,
    reason: Reason,
    until: Duration,
    // A run that expired may come back, and what was asked of it still holds then.
    asked: Asked,
}

impl Tombstones {
    pub(crate) fn add(&mut self, run: Run, reason: Reason, asked: Asked, now: Duration) {
        self.forget(run);
        // Only what nobody wanted to end comes back as the same run.
        let asked = if reason.is_intent() { Asked::default() } else { asked };
        if self.stones.len() == MOST_PER_ID {
            self.stones.remove(0);
        }
        self.stones.push(Tombstone { run, reason, until: now + TOMBSTONE_LIFE, asked });
    }

    /// The run lives again. Returns what was asked of it before its end.
    pub(crate) fn forget(&mut self, run: Run) -> Option<Asked> {
        let place = self.stones.iter().position(|stone| stone.run == run)?;
        Some(self.stones.remove(place).asked)
    }

    pub(crate) fn purge(&mut self, now: Duration) {
        self.stones.retain(|stone| now < stone.until);
    }

    pub(crate) fn iter(&self, now: Duration) -> impl Iterator<Item = (Run, Reason)> + '_ {
        self.stones.iter().filter(move |stone| now < stone.until).map(|stone| (stone.run, stone.reason))
    }

    pub(crate) fn reason_of(&self, run: Run, now: Duration) -> Option<Reason> {
        self.iter(now).find(|(ended, _)| *ended == run).map(|(_, reason)| reason)
    }

    /// When the first of them is to be purged: they are in order of age, because `now` never goes back.
    pub(crate) fn next_purge(&self) -> Option<Duration> {
        self.stones.first().map(|stone| stone.until)
    }
}
