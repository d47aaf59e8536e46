//! Choices between a few who are drawn by chance.

use super::least::busy;
use crate::{Ask, Set};

/// How long an answer is expected to take of somebody who has a request and has never answered one, in microseconds: so
/// long that nobody gets a second one before.
const UNHEARD_OF: f32 = 1e9;

/// So often somebody is drawn until one takes the request by its room.
const MOST_DRAWS: usize = 8;

/// The less busy of two (Mitzenmacher 2001).
#[inline]
pub(super) fn less_busy_of_two(set: &Set, ask: &mut Ask<'_>) -> Option<usize> {
    better_of_two(set, ask, |index, now_ms| busy(set, index, now_ms, set.share(index)))
}

/// The one of two with less latency times load, as in Finagle's `P2CPeakEwma`.
#[inline]
pub(super) fn sooner_of_two(set: &Set, ask: &mut Ask<'_>) -> Option<usize> {
    better_of_two(set, ask, |index, now_ms| {
        let endpoint = &set.endpoints()[index];
        let busy = busy(set, index, now_ms, set.share(index));
        let expected = endpoint.latency().expected(now_ms).unwrap_or_else(|| {
            let is_fresh = endpoint.in_flight() == 0 && endpoint.trouble().factor(now_ms) <= 1.0;
            if is_fresh { 0.0 } else { UNHEARD_OF }
        });
        busy * expected
    })
}

#[inline]
fn better_of_two(set: &Set, ask: &mut Ask<'_>, cost: impl Fn(usize, u64) -> f32) -> Option<usize> {
    let len = set.len();
    if len == 1 {
        return set.any(ask);
    }
    let one = ask.chance.below(len);
    // Any but the first.
    let other = (one + 1 + ask.chance.below(len - 1)) % len;
    match (set.takes(one, ask), set.takes(other, ask)) {
        (true, true) if cost(one, ask.now_ms) <= cost(other, ask.now_ms) => Some(one),
        (_, true) => Some(other),
        (true, false) => Some(one),
        (false, false) => set.any(ask),
    }
}

/// Each with a chance by the room it says it has left.
#[inline]
pub(super) fn by_room(set: &Set, ask: &mut Ask<'_>) -> Option<usize> {
    let mut most: Option<(f32, usize)> = None;
    for _ in 0..MOST_DRAWS {
        let index = ask.chance.below(set.len());
        if ask.tried.contains(&index) {
            continue;
        }
        let endpoint = &set.endpoints()[index];
        let room = endpoint.report().room(ask.now_ms) / endpoint.trouble().factor(ask.now_ms)
            * set.share(index)
            * set.ramp(index, ask.now_ms);
        if ask.chance.fraction() < room {
            return Some(index);
        }
        if most.is_none_or(|(most, _)| room > most) {
            most = Some((room, index));
        }
    }
    match most {
        Some((_, index)) => Some(index),
        None => set.any(ask),
    }
}
