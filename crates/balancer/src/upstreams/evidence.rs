//! Counts of what was believed of endpoints and what their probes brought, for the metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use berth_fleet::{Probed, State, Turn};

/// What came of a probe, by its name in API and metrics.
pub(crate) fn outcome(probed: Probed) -> &'static str {
    match probed {
        Probed::Answered { is_expected: true, .. } => "answered",
        Probed::Answered { is_expected: false, .. } => "unexpected",
        Probed::Refused => "refused",
        Probed::Unanswered => "unanswered",
    }
}

/// Written by the `upstreams` task, read by a scrape.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// Endpoints that are in each state now.
    states: [AtomicU64; State::ALL.len()],
    /// How often endpoints came into a state, by it and by the reason; `gone` is one as well.
    turns: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    probes: Mutex<BTreeMap<&'static str, u64>>,
}

impl Evidence {
    pub(super) fn turned(&self, turn: &Turn) {
        if let Some(from) = turn.from {
            self.states[from as usize].fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(to) = turn.to {
            self.states[to as usize].fetch_add(1, Ordering::Relaxed);
        }
        let key = (turn.to.map_or("gone", State::as_str), turn.why.as_str());
        *self.turns.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;
    }

    pub(super) fn probed(&self, probed: Probed) {
        let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        *probes.entry(outcome(probed)).or_default() += 1;
    }

    /// Endpoints that are in each state.
    pub(crate) fn states(&self) -> impl Iterator<Item = (State, u64)> {
        State::ALL.into_iter().map(|state| (state, self.states[state as usize].load(Ordering::Relaxed)))
    }

    /// How often endpoints came into a state, for a reason.
    pub(crate) fn turns(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Probes that have ended, by what came of them.
    pub(crate) fn probes(&self) -> BTreeMap<&'static str, u64> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
