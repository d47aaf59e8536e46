use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use crate::{Endpoint, Set, Strategy};

/// Everybody in turn, exactly: over any stretch in which the set stays the same, the shares of two endpoints
/// differ by one request at most, over all workers together.
///
/// The turn goes on over changes of the set: whoever was next is next, and newcomers come in before the one that
/// was served last. A cursor that began anew, or that was taken modulo the new length, would favour some endpoint
/// at every change.
#[derive(Debug, Default)]
pub struct RoundRobin {
    cursor: CachePadded<AtomicU64>,
}

impl RoundRobin {
    /// A round robin whose first turn begins at a place that `entropy` decides: balancers that start together
    /// should not all begin with the same endpoint.
    pub fn starting_at(entropy: u64) -> Self {
        Self { cursor: CachePadded::new(AtomicU64::new(entropy)) }
    }

    fn step(&self, set: &Set) -> usize {
        index_of(self.cursor.fetch_add(1, Ordering::Relaxed), set)
    }
}

fn index_of(cursor: u64, set: &Set) -> usize {
    // Below `len`, which is a usize.
    (cursor.wrapping_sub(set.laid_at) % set.len() as u64) as usize
}

/// Whose turn it was last when the cursor stood here, as far as anybody was ever served.
fn served_last(before: &Set, cursor: u64) -> Option<u64> {
    if before.is_empty() || cursor == before.laid_at {
        return before.served_last;
    }
    Some(before.endpoints()[index_of(cursor.wrapping_sub(1), before)].key())
}

impl Strategy for RoundRobin {
    fn arrange(&self, before: &Set, eligible: &[Arc<Endpoint>]) -> Set {
        // Workers go on choosing from `before` while this runs. Each choice they make moves them one step along
        // an order that the new set begins with, so the turn is theirs as well.
        let cursor = self.cursor.load(Ordering::Relaxed);
        let served_last = served_last(before, cursor);
        let next = if before.is_empty() { 0 } else { index_of(cursor, before) };
        let (served, waiting) = before.endpoints().split_at(next);
        let mut joining: HashMap<u64, Arc<Endpoint>> =
            eligible.iter().map(|endpoint| (endpoint.key(), Arc::clone(endpoint))).collect();
        let last = served_last.and_then(|key| joining.remove(&key));
        let turn = waiting.iter().chain(served);
        let mut order: Vec<_> = turn.filter_map(|endpoint| joining.remove(&endpoint.key())).collect();
        // What is left joins now, in the order that it was named in.
        order.extend(eligible.iter().filter_map(|endpoint| joining.remove(&endpoint.key())));
        order.extend(last);
        Set::new(order, cursor, served_last)
    }

    fn choose(&self, set: &Set, tried: &[usize]) -> Option<usize> {
        if set.is_empty() {
            return None;
        }
        let first = self.step(set);
        if !tried.contains(&first) {
            return Some(first);
        }
        // A second try takes a turn of its own, so that the neighbour of a dead endpoint does not get all its
        // load. Other workers move the cursor too: after a round of bad luck, any untried one will do.
        let again = (1..set.len()).map(|_| self.step(set)).find(|index| !tried.contains(index));
        again.or_else(|| (0..set.len()).find(|index| !tried.contains(index)))
    }
}
