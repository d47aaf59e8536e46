//! Round robin.
//!
//! The turn goes on over changes of the set: whoever was next is next, and newcomers come in before the one that was
//! served last. A cursor that began anew, or that was taken modulo the new length, would favour some endpoint at every
//! change.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Ask, Eligible, Set};

pub(super) fn arrange(cursor: &AtomicU64, ramp_ms: u64, before: &Set, eligible: &[Eligible]) -> Set {
    // Workers go on choosing from `before` while this runs. Each choice they make moves them one step along
    // an order that the new set begins with, so the turn is theirs as well.
    let cursor = cursor.load(Ordering::Relaxed);
    let served_last = served_last(before, cursor);
    let next = if before.is_empty() { 0 } else { index_of(cursor, before) };
    let (served, waiting) = before.endpoints().split_at(next);
    let mut joining: HashMap<u64, Eligible> =
        eligible.iter().map(|it| (it.endpoint.key(), it.clone())).collect();
    let last = served_last.and_then(|key| joining.remove(&key));
    let turn = waiting.iter().chain(served);
    let mut order: Vec<_> = turn.filter_map(|endpoint| joining.remove(&endpoint.key())).collect();
    // What is left joins now, in the order that it was named in.
    order.extend(eligible.iter().filter_map(|it| joining.remove(&it.endpoint.key())));
    order.extend(last);
    Set { laid_at: cursor, served_last, ..Set::new(order, ramp_ms) }
}

#[inline]
pub(super) fn choose(cursor: &AtomicU64, set: &Set, ask: &mut Ask<'_>) -> Option<usize> {
    // Each try takes a turn of its own, so that the neighbour of a dead endpoint does not get all its load.
    set.first_of(ask, |_| index_of(cursor.fetch_add(1, Ordering::Relaxed), set))
}

#[inline]
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
