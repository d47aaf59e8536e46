//! The same endpoint for the same key, in every balancer that knows the same endpoints: a Maglev table (Eisenbud and
//! others, Maglev: A Fast and Reliable Software Network Load Balancer, NSDI 2016, §3.4), by weight.

use super::schedule;
use crate::{Ask, Eligible, Set, hash};

/// Sizes of tables: primes, so that every step leads over all places. With a hundred places for each endpoint, shares
/// differ by a few per cent.
const SIZES: [usize; 5] = [65_537, 655_373, 1_000_003, 5_000_011, 50_000_017];
const PLACES_EACH: usize = 100;

/// So many endpoints are all counted for the mean of requests under way; of more, so many by chance.
const COUNTED: usize = 32;
const SAMPLED: usize = 16;

/// How often the key leads on to another endpoint before any will do.
const MOST_STEPS: u64 = 16;

pub(super) fn arrange(ramp_ms: u64, eligible: &[Eligible]) -> Set {
    // The order decides who takes a place first, so it must be the same everywhere.
    let mut sorted: Vec<(u64, &Eligible)> = eligible.iter().map(|it| (name_of(it), it)).collect();
    sorted.sort_by_key(|(name, it)| (*name, it.endpoint.address()));
    let names: Vec<u64> = sorted.iter().map(|(name, _)| *name).collect();
    let eligible: Vec<Eligible> = sorted.into_iter().map(|(_, it)| it.clone()).collect();
    let turns = schedule::cycle(&eligible, |it| (name_of(it) >> 32) as u32);
    Set { table: laid_out(&names, &turns), ..Set::new(eligible, ramp_ms) }
}

/// What an endpoint is known by everywhere and over restarts: its service and its id.
fn name_of(eligible: &Eligible) -> u64 {
    let identity = eligible.endpoint.identity();
    let service = hash(0, identity.service.as_str().as_bytes());
    hash(service, identity.id.as_str().as_bytes())
}

/// Fills the table: whoever's turn it is takes the next free place of an order of its own.
fn laid_out(names: &[u64], turns: &[u32]) -> Vec<u32> {
    const FREE: u32 = u32::MAX;
    if names.is_empty() {
        return Vec::new();
    }
    let wanted = names.len().saturating_mul(PLACES_EACH);
    let size = SIZES.into_iter().find(|size| *size >= wanted).unwrap_or(SIZES[SIZES.len() - 1]);
    let places = size as u64;
    let mut table = vec![FREE; size];
    // Where each looks next, and how far it steps.
    let mut orders: Vec<(u64, u64)> = names
        .iter()
        .map(|name| (hash(*name, b"offset") % places, hash(*name, b"step") % (places - 1) + 1))
        .collect();
    for index in turns.iter().cycle().take(size) {
        let (place, step) = &mut orders[*index as usize];
        while table[*place as usize] != FREE {
            *place = (*place + *step) % places;
        }
        table[*place as usize] = *index;
    }
    table
}

#[inline]
pub(super) fn choose(bounded_load: Option<f32>, set: &Set, ask: &mut Ask<'_>) -> Option<usize> {
    let most = bounded_load.map_or(u64::MAX, |factor| most_in_flight(factor, set, ask));
    let mut fallback = None;
    for step in 0..MOST_STEPS {
        // The same steps for the same key: it moves on to the same endpoint as well.
        let key = if step == 0 { ask.key } else { hash(ask.key, &step.to_le_bytes()) };
        let index = set.table[(key % set.table.len() as u64) as usize] as usize;
        if ask.tried.contains(&index) || !is_ramped(set, index, key, ask.now_ms) {
            continue;
        }
        if set.endpoints()[index].in_flight() < most {
            return Some(index);
        }
        fallback.get_or_insert(index);
    }
    fallback.or_else(|| set.any(ask))
}

/// Whether a key may already lead to an endpoint that has joined: the same keys first each time.
#[inline]
fn is_ramped(set: &Set, index: usize, key: u64, now_ms: u64) -> bool {
    let ramp = set.ramp(index, now_ms);
    ramp >= 1.0 || (hash(key, b"ramp") >> 40) as f32 / (1_u64 << 24) as f32 <= ramp
}

/// Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, SODA 2018).
fn most_in_flight(factor: f32, set: &Set, ask: &mut Ask<'_>) -> u64 {
    let endpoints = set.endpoints();
    let (sum, counted): (u64, usize) = if endpoints.len() <= COUNTED {
        (endpoints.iter().map(|endpoint| endpoint.in_flight()).sum(), endpoints.len())
    } else {
        let drawn = (0..SAMPLED).map(|_| endpoints[ask.chance.below(endpoints.len())].in_flight());
        (drawn.sum(), SAMPLED)
    };
    // This request is one of them.
    let mean = (sum + 1) as f32 / counted as f32;
    (mean * factor).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::SIZES;

    #[test]
    fn every_step_leads_over_all_places() {
        for size in SIZES {
            let divides = |divisor: usize| size.is_multiple_of(divisor);
            assert!(
                !(2..).take_while(|divisor| divisor * divisor <= size).any(divides),
                "{size} is no prime"
            );
        }
    }
}
