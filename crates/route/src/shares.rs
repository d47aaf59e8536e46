use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

/// The most backends that share a route.
const MAX_SHARES: usize = 32;

/// The largest weight.
const MAX_WEIGHT: u32 = 1000;

/// How a route's traffic is spread over several backends.
///
/// Those who take turns do so by a schedule that is laid out beforehand and interleaved smoothly (5:1:1 is a a b a c a
/// a): one atomic step per request, and over each whole round everybody gets exactly its share, over all threads
/// together.
#[derive(Debug)]
pub struct Shares {
    weights: Vec<u32>,
    /// One round: as many steps as the weights' sum, divided by what divides them all.
    schedule: Vec<u8>,
    cursor: CachePadded<AtomicU64>,
}

impl Shares {
    /// Shares in proportion to these weights. None if there is no weight above 0, or one above 1000, or more than 32.
    ///
    /// `entropy` decides whose turn is first: balancers that start together should not all begin with the same backend.
    pub fn new(weights: &[u32], entropy: u64) -> Option<Self> {
        let is_known = weights.len() <= MAX_SHARES && weights.iter().all(|weight| *weight <= MAX_WEIGHT);
        if !is_known || weights.iter().all(|weight| *weight == 0) {
            return None;
        }
        let schedule = schedule(weights);
        // Far from the cursor's end, where a round would break off.
        let cursor = CachePadded::new(AtomicU64::new(entropy % schedule.len() as u64));
        Some(Self { weights: weights.to_vec(), schedule, cursor })
    }

    /// The weights.
    pub fn weights(&self) -> &[u32] {
        &self.weights
    }

    /// Whose turn it is; over time each gets exactly its share.
    pub fn next(&self) -> usize {
        let step = self.cursor.fetch_add(1, Ordering::Relaxed) % self.schedule.len() as u64;
        usize::from(self.schedule[step as usize])
    }

    /// Who serves the client with this key: always the same, in every process and every version.
    ///
    /// The key's hash is a point between 0 and the weights' sum, and the shares lie there one behind the other. So
    /// when the last share grows at the cost of the one before it, whoever is in the last one stays there.
    pub fn of(&self, key: &[u8]) -> usize {
        let total: u64 = self.weights.iter().map(|weight| u64::from(*weight)).sum();
        // Multiplied rather than divided: the high half of the product is even to one part in 2^64.
        let mut point = ((u128::from(hash(key)) * u128::from(total)) >> 64) as u64;
        let holds_point = |weight: &u32| {
            let weight = u64::from(*weight);
            let holds = point < weight;
            point = point.saturating_sub(weight);
            holds
        };
        // The point is below the sum, so somebody holds it.
        self.weights.iter().position(holds_point).unwrap_or_default()
    }
}

/// FNV-1a in 64 bits, and the finalizer of splitmix64, because FNV's high bits change little with the last bytes.
/// It must never change: clients would be moved to other backends by an update.
fn hash(key: &[u8]) -> u64 {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut hash = key.iter().fold(0xcbf2_9ce4_8422_2325, fnv);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// Smooth weighted round robin as nginx does it: everybody gains its weight with each step; whoever has gained most
/// takes the step and pays the sum. After one round all are where they began, and each has had its weight in steps.
fn schedule(weights: &[u32]) -> Vec<u8> {
    let divisor = weights.iter().copied().fold(0, common_divisor);
    let weights: Vec<i64> = weights.iter().map(|weight| i64::from(weight / divisor)).collect();
    let sum: i64 = weights.iter().sum();
    let mut gained = vec![0; weights.len()];
    let step = |_| {
        for (gained, weight) in gained.iter_mut().zip(&weights) {
            *gained += weight;
        }
        // The gains' sum is above 0 here, so it is never one that gains nothing. The first of equals.
        let most =
            (0..gained.len()).max_by_key(|index| (gained[*index], Reverse(*index))).unwrap_or_default();
        gained[most] -= sum;
        most as u8
    };
    (0..sum).map(step).collect()
}

fn common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}
