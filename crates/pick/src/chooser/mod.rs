//! The strategies: how each lays out a set, and how it chooses from it.

mod chance;
mod hashed;
mod least;
mod schedule;
mod turns;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::{Ask, Eligible, Set, Strategy};

/// One backend's way of choosing, with the turn that it has come to. It is shared by all workers and lives as long as
/// the backend; the sets come and go.
#[derive(Debug)]
pub struct Chooser {
    strategy: Strategy,
    ramp_ms: u64,
    cursor: CachePadded<AtomicU64>,
}

impl Chooser {
    /// Chooses in this way; endpoints that join have this long to reach their full share. The first turn begins where
    /// `entropy` decides: balancers that start together should not all begin with the same endpoint.
    pub fn new(strategy: Strategy, ramp: Duration, entropy: u64) -> Self {
        let ramp_ms = u64::try_from(ramp.as_millis()).unwrap_or(u64::MAX);
        Self { strategy, ramp_ms, cursor: CachePadded::new(AtomicU64::new(entropy)) }
    }

    /// Its way.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// Lays out the set that follows `before`, off the request path. `eligible` has no endpoint twice.
    pub fn arrange(&self, before: &Set, eligible: &[Eligible]) -> Set {
        match self.strategy {
            Strategy::RoundRobin => turns::arrange(&self.cursor, self.ramp_ms, before, eligible),
            Strategy::WeightedRoundRobin => schedule::arrange(&self.cursor, self.ramp_ms, before, eligible),
            Strategy::Random => schedule::arrange_even(self.ramp_ms, eligible),
            Strategy::Hash { .. } => hashed::arrange(self.ramp_ms, eligible),
            _ => Set::new(eligible.to_vec(), self.ramp_ms),
        }
    }

    /// The index of the endpoint that takes the next request, none when all were tried.
    ///
    /// Without failures the time it takes does not grow with the set.
    #[inline]
    pub fn choose(&self, set: &Set, ask: &mut Ask<'_>) -> Option<usize> {
        if set.is_empty() {
            return None;
        }
        match self.strategy {
            Strategy::RoundRobin => turns::choose(&self.cursor, set, ask),
            Strategy::WeightedRoundRobin => schedule::choose(&self.cursor, set, ask),
            Strategy::LeastConnections => least::choose_unweighted(&self.cursor, set, ask),
            Strategy::WeightedLeastConnections => least::choose(&self.cursor, set, ask),
            Strategy::Random => schedule::choose_any(set, ask),
            Strategy::P2c => chance::less_busy_of_two(set, ask),
            Strategy::PeakEwma => chance::sooner_of_two(set, ask),
            Strategy::Hash { bounded_load } => hashed::choose(bounded_load, set, ask),
            Strategy::Load => chance::by_room(set, ask),
        }
    }
}
