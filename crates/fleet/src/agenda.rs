//! What is due at endpoints, and what goes first where there are few slots for probes.

use std::collections::BTreeSet;
use std::time::Duration;

/// Slots for probes: each one that is under way has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// Those that no probe has.
    pub free: usize,
    /// How many there are in all.
    pub all: usize,
}

/// What is due; an earlier one goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// A time is over: no probe is sent.
    Limit,
    /// Requests may wait for what comes of it.
    Doubt,
    /// Its end is near, or something new is learned.
    Other,
    /// Whether one is there again that is out, and most likely silent.
    Return,
}

impl Rank {
    const ALL: [Self; 4] = [Rank::Limit, Rank::Doubt, Rank::Other, Rank::Return];
}

/// When something of each rank is due at an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dues([Option<Duration>; Rank::ALL.len()]);

impl Dues {
    /// Something is due then, if nothing of its rank is earlier.
    pub(crate) fn add(&mut self, rank: Rank, at: Duration) {
        let due = &mut self.0[rank as usize];
        *due = Some(due.map_or(at, |due| due.min(at)));
    }

    pub(crate) fn remove(&mut self, rank: Rank) {
        self.0[rank as usize] = None;
    }
}

impl Slots {
    /// Those that are left when so many more are taken.
    pub(crate) fn without(self, taken: usize) -> Self {
        Self { free: self.free.saturating_sub(taken), ..self }
    }

    /// Whether something of this rank may be begun. Silent endpoints keep a slot for long: there is to be room for what
    /// comes before them.
    fn admit(self, rank: Rank) -> bool {
        match rank {
            Rank::Limit => true,
            Rank::Doubt => self.free > 0,
            Rank::Other => self.free > self.all / 8,
            Rank::Return => self.free > self.all / 2,
        }
    }
}

/// What is due at all endpoints, by their keys.
#[derive(Debug, Default)]
pub(crate) struct Agenda([BTreeSet<(Duration, u64)>; Rank::ALL.len()]);

impl Agenda {
    /// At this endpoint something else is due than before.
    pub(crate) fn plan(&mut self, key: u64, before: Dues, next: Dues) {
        for ((agenda, before), next) in self.0.iter_mut().zip(before.0).zip(next.0) {
            if before != next {
                before.map(|at| agenda.remove(&(at, key)));
                agenda.extend(next.map(|at| (at, key)));
            }
        }
    }

    /// When the first is due for which there is a slot.
    pub(crate) fn next(&self, slots: Slots) -> Option<Duration> {
        let admitted = Rank::ALL.into_iter().zip(&self.0).filter(|(rank, _)| slots.admit(*rank));
        admitted.filter_map(|(_, agenda)| agenda.first()).map(|(at, _)| *at).min()
    }

    /// Takes out what goes first of all that is due now and for which there is a slot.
    pub(crate) fn pop(&mut self, now: Duration, slots: Slots) -> Option<(Rank, u64)> {
        let mut admitted = Rank::ALL.into_iter().zip(&mut self.0).filter(|(rank, _)| slots.admit(*rank));
        admitted.find_map(|(rank, agenda)| {
            let first = agenda.first().copied().filter(|(at, _)| *at <= now)?;
            agenda.remove(&first);
            Some((rank, first.1))
        })
    }
}
