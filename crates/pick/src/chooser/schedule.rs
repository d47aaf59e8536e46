//! Weighted round robin: a schedule that is laid out off the path, and one step along it for each request.
//!
//! A cycle of the schedule lasts from 0 to 1. An endpoint with n turns in it takes them at equal distances, beginning at
//! a phase of its own; the schedule is everybody's turns in the order of their times. So each endpoint's turns are
//! spread evenly whoever else is there, and when others come or go it goes on where it was.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Ask, Eligible, Set};

/// The most turns of a cycle. With more endpoints and weights than it can hold exactly, shares are rounded to whole
/// turns, at least one.
const MOST_TURNS: u64 = 1 << 20;

/// Times are fractions of a cycle, in units of this: the bits of a phase.
const PHASE_BITS: u32 = 32;

/// An endpoint's turns in a cycle.
struct Turns {
    count: u64,
    phase: u64,
}

impl Turns {
    fn of(eligible: &[Eligible], phase: impl Fn(&Eligible) -> u64) -> Vec<Self> {
        let weight = |it: &Eligible| u64::from(it.weight.max(1));
        let divisor = eligible.iter().map(weight).fold(0, greatest_common_divisor).max(1);
        let sum = eligible.iter().map(weight).sum::<u64>() / divisor;
        let most = MOST_TURNS.max(eligible.len() as u64);
        let count = |it: &Eligible| {
            let exact = weight(it) / divisor;
            if sum <= most { exact } else { (exact * most / sum).max(1) }
        };
        eligible.iter().map(|it| Self { count: count(it), phase: phase(it) }).collect()
    }

    /// When it takes this one of its turns.
    fn time(&self, turn: u64) -> u64 {
        ((turn << PHASE_BITS) + self.phase) / self.count
    }

    /// How many turns it has taken at this time.
    fn before(&self, time: u64) -> u64 {
        (time * self.count).saturating_sub(self.phase).div_ceil(1 << PHASE_BITS).min(self.count)
    }
}

/// Where in its first distance an endpoint begins. Multiples of the golden ratio lie far from one another, however many
/// of them there are (Knuth, The Art of Computer Programming 3, §6.4).
fn phase_of(key: u64) -> u64 {
    key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - PHASE_BITS)
}

fn greatest_common_divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

pub(super) fn arrange(cursor: &AtomicU64, ramp_ms: u64, before: &Set, eligible: &[Eligible]) -> Set {
    let cursor = cursor.load(Ordering::Relaxed);
    let turns = Turns::of(eligible, |it| phase_of(it.endpoint.key()));
    let time = time_at(before, cursor);
    let passed: u64 = turns.iter().map(|turns| turns.before(time)).sum();
    Set {
        table: laid_out(&turns),
        laid_at: cursor.wrapping_sub(passed),
        ..Set::new(eligible.to_vec(), ramp_ms)
    }
}

/// For choosing by chance: the same schedule, without a turn.
pub(super) fn arrange_even(ramp_ms: u64, eligible: &[Eligible]) -> Set {
    let table = cycle(eligible, |it| phase_of(it.endpoint.key()) as u32);
    Set { table, ..Set::new(eligible.to_vec(), ramp_ms) }
}

/// A cycle in which everybody begins at a phase of the caller's choice.
pub(super) fn cycle(eligible: &[Eligible], phase: impl Fn(&Eligible) -> u32) -> Vec<u32> {
    laid_out(&Turns::of(eligible, |it| u64::from(phase(it))))
}

#[inline]
pub(super) fn choose(cursor: &AtomicU64, set: &Set, ask: &mut Ask<'_>) -> Option<usize> {
    set.first_of(ask, |_| at(set, place(cursor.fetch_add(1, Ordering::Relaxed), set)))
}

#[inline]
pub(super) fn choose_any(set: &Set, ask: &mut Ask<'_>) -> Option<usize> {
    set.first_of(ask, |ask| at(set, ask.chance.below(set.table.len())))
}

#[inline]
fn at(set: &Set, place: usize) -> usize {
    set.table[place] as usize
}

#[inline]
fn place(cursor: u64, set: &Set) -> usize {
    // Below `len`, which is a usize.
    (cursor.wrapping_sub(set.laid_at) % set.table.len() as u64) as usize
}

/// All turns in the order of their times.
fn laid_out(turns: &[Turns]) -> Vec<u32> {
    let mut all: Vec<(u64, u32)> = Vec::new();
    for (turns, index) in turns.iter().zip(0_u32..) {
        all.extend((0..turns.count).map(|turn| (turns.time(turn), index)));
    }
    all.sort_unstable();
    all.into_iter().map(|(_, index)| index).collect()
}

/// The time of the turn at which the cursor stands.
fn time_at(before: &Set, cursor: u64) -> u64 {
    if before.table.is_empty() {
        return 0;
    }
    let place = place(cursor, before);
    let index = before.table[place];
    let taken = |turns: &[u32]| turns.iter().filter(|turn| **turn == index).count() as u64;
    let phase = phase_of(before.endpoints()[index as usize].key());
    Turns { count: taken(&before.table), phase }.time(taken(&before.table[..place]))
}
