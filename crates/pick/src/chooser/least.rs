//! The fewest requests under way.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Ask, Set};

/// So many endpoints are all looked at.
const LOOKED_AT: usize = 32;

/// Beyond that, the best of so many by chance: it is rarely one of the busier half, and the choice costs the same with
/// 100 endpoints as with 10,000 (Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001).
const SAMPLES: usize = 8;

/// Those who join are looked at for so many times their fair share of requests, times how far they have come: idle as
/// they are, they get most of these, at first one and a half times their fair share.
const JOINING: f32 = 15.0;

/// How busy an endpoint seems: requests under way with this one, for its share, and more if it fails.
#[inline]
pub(super) fn busy(set: &Set, index: usize, now_ms: u64, share: f32) -> f32 {
    let endpoint = &set.endpoints()[index];
    let requests = (endpoint.in_flight() + 1) as f32;
    requests * endpoint.trouble().factor(now_ms) / share
}

#[inline]
pub(super) fn choose_unweighted(cursor: &AtomicU64, set: &Set, ask: &mut Ask<'_>) -> Option<usize> {
    least(cursor, set, ask, |index, now_ms| busy(set, index, now_ms, 1.0))
}

#[inline]
pub(super) fn choose(cursor: &AtomicU64, set: &Set, ask: &mut Ask<'_>) -> Option<usize> {
    least(cursor, set, ask, |index, now_ms| busy(set, index, now_ms, set.share(index)))
}

#[inline]
fn least(
    cursor: &AtomicU64,
    set: &Set,
    ask: &mut Ask<'_>,
    cost: impl Fn(usize, u64) -> f32,
) -> Option<usize> {
    let len = set.len();
    let mut best: Option<(f32, usize)> = None;
    // Of more than are looked at, being drawn is as rare as it should be.
    let joining = if len <= LOOKED_AT { JOINING / len as f32 } else { 1.0 };
    let mut look = |index: usize, ask: &mut Ask<'_>| {
        if !set.takes_part(index, ask, joining) {
            return;
        }
        let cost = cost(index, ask.now_ms);
        if best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, index));
        }
    };
    if len <= LOOKED_AT {
        // The first of those that are equally busy is another one each time.
        let first = (cursor.fetch_add(1, Ordering::Relaxed) % len as u64) as usize;
        (first..len).chain(0..first).for_each(|index| look(index, ask));
    } else {
        for _ in 0..SAMPLES {
            let index = ask.chance.below(len);
            look(index, ask);
        }
    }
    match best {
        Some((_, index)) => Some(index),
        None => set.any(ask),
    }
}
