use std::sync::Arc;

use crate::{Ask, Endpoint};

/// The share that an endpoint begins with when it joins: with less, nothing would be learned of it.
const LEAST_RAMP: f32 = 0.1;

/// How often a coin is tossed, or a turn is taken, for somebody who may serve before any of them will do.
const MOST_TOSSES: usize = 8;

/// An endpoint that may be chosen, and its share relative to the others, from 1 up.
#[derive(Clone, Debug)]
pub struct Eligible {
    /// Who.
    pub endpoint: Arc<Endpoint>,
    /// How much.
    pub weight: u16,
}

/// The endpoints that may be chosen, laid out off the request path and never changed after.
///
/// Only eligible endpoints are in it: one that drains is left out when the set is made, so no choice can meet it.
#[derive(Debug, Default)]
pub struct Set {
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    pub(crate) weights: Vec<u16>,
    /// The share of each, 1 for the largest; empty if all are alike.
    pub(crate) shares: Vec<f32>,
    /// Indexes, for strategies that lay out more than an order.
    pub(crate) table: Vec<u32>,
    /// Where the cursor stood when the set was laid out: there its first turn begins.
    pub(crate) laid_at: u64,
    /// The key of the endpoint that was served last before that, whether or not it is still here.
    pub(crate) served_last: Option<u64>,
    /// How long those who join have to reach their full share.
    pub(crate) ramp_ms: u64,
    /// When all have reached it.
    pub(crate) ramped_ms: u64,
    /// When the first of them joined, if nobody was there before.
    pub(crate) first_ms: Option<u64>,
}

impl Set {
    pub(crate) fn new(eligible: Vec<Eligible>, ramp_ms: u64) -> Self {
        let joined_ms = eligible.iter().filter_map(|it| it.endpoint.joined_ms()).max();
        // None, who has been there all along, is less than any time.
        let first_ms = eligible.iter().map(|it| it.endpoint.joined_ms()).min().flatten();
        let most = eligible.iter().map(|it| it.weight).max().unwrap_or(1).max(1);
        let is_even = eligible.iter().all(|it| it.weight == most);
        let share = |it: &Eligible| f32::from(it.weight.max(1)) / f32::from(most);
        Self {
            shares: if is_even { Vec::new() } else { eligible.iter().map(share).collect() },
            weights: eligible.iter().map(|it| it.weight).collect(),
            endpoints: eligible.into_iter().map(|it| it.endpoint).collect(),
            ramp_ms,
            first_ms,
            ramped_ms: joined_ms.filter(|_| ramp_ms > 0).map_or(0, |joined_ms| joined_ms + ramp_ms),
            ..Self::default()
        }
    }

    /// The endpoints, in the order that the strategy has laid out.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// The weight of the endpoint at this place.
    pub fn weight(&self, index: usize) -> u16 {
        self.weights[index]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// Whether there is nothing to choose from.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    /// The share of an endpoint by its weight, 1 for the largest.
    #[inline]
    pub(crate) fn share(&self, index: usize) -> f32 {
        self.shares.get(index).copied().unwrap_or(1.0)
    }

    /// How far an endpoint that joined has come on its way to its full share, up to 1. It is the share of those who are
    /// there longest: where all have come together, nobody has to wait.
    #[inline]
    pub(crate) fn ramp(&self, index: usize, now_ms: u64) -> f32 {
        if now_ms >= self.ramped_ms {
            return 1.0;
        }
        let Some(joined_ms) = self.endpoints[index].joined_ms() else { return 1.0 };
        let since = |from_ms: u64| now_ms.saturating_sub(from_ms).min(self.ramp_ms);
        let (there_ms, longest_ms) = (since(joined_ms), self.first_ms.map_or(self.ramp_ms, since));
        if there_ms >= longest_ms {
            return 1.0;
        }
        (there_ms as f32 / longest_ms as f32).max(LEAST_RAMP)
    }

    /// Whether an endpoint takes this request, by what it has tried and by a coin for those who have just joined.
    #[inline]
    pub(crate) fn takes(&self, index: usize, ask: &mut Ask<'_>) -> bool {
        self.takes_part(index, ask, 1.0)
    }

    /// The same, with a coin that is so many times as favourable.
    #[inline]
    pub(crate) fn takes_part(&self, index: usize, ask: &mut Ask<'_>, favour: f32) -> bool {
        !ask.tried.contains(&index) && (ask.now_ms >= self.ramped_ms || self.is_ramped(index, ask, favour))
    }

    #[cold]
    fn is_ramped(&self, index: usize, ask: &mut Ask<'_>, favour: f32) -> bool {
        let ramp = self.ramp(index, ask.now_ms);
        ramp >= 1.0 || ask.chance.fraction() < ramp * favour
    }

    /// The first that takes this request of those that `next` names; then any that was not tried.
    #[inline]
    pub(crate) fn first_of(
        &self,
        ask: &mut Ask<'_>,
        mut next: impl FnMut(&mut Ask<'_>) -> usize,
    ) -> Option<usize> {
        let first = next(ask);
        if self.takes(first, ask) {
            return Some(first);
        }
        for _ in 0..MOST_TOSSES {
            let index = next(ask);
            if self.takes(index, ask) {
                return Some(index);
            }
        }
        self.any(ask)
    }

    /// Any that was not tried, wherever the search for it begins.
    #[cold]
    pub(crate) fn any(&self, ask: &mut Ask<'_>) -> Option<usize> {
        let (len, from) = (self.len(), ask.chance.below(self.len().max(1)));
        (0..len).map(|step| (from + step) % len).find(|index| !ask.tried.contains(index))
    }
}
