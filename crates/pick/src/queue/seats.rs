use std::collections::HashMap;
use std::sync::Arc;

use crate::Endpoint;

/// Who has how many places at which endpoint.
#[derive(Debug)]
pub(super) struct Seats {
    /// Places at each endpoint.
    most: u32,
    /// By the endpoint's key: those who may be chosen, and those who may not but have somebody left.
    seats: HashMap<u64, Seat>,
    /// Those who may be chosen and have a free place.
    roomy: Vec<u64>,
    eligible: usize,
    taken: usize,
}

#[derive(Debug)]
struct Seat {
    endpoint: Arc<Endpoint>,
    is_eligible: bool,
    taken: u32,
    /// Its place among those with room.
    roomy_at: Option<usize>,
}

impl Seats {
    pub(super) fn new(most: Option<u32>) -> Self {
        let most = most.unwrap_or(u32::MAX);
        Self { most, seats: HashMap::new(), roomy: Vec::new(), eligible: 0, taken: 0 }
    }

    /// How many places are taken, over all endpoints.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// How many endpoints may be chosen.
    pub(super) fn eligible(&self) -> usize {
        self.eligible
    }

    pub(super) fn is_eligible(&self, key: u64) -> bool {
        self.seats.get(&key).is_some_and(|seat| seat.is_eligible)
    }

    pub(super) fn has_room(&self, key: u64) -> bool {
        self.seats.get(&key).is_some_and(|seat| seat.roomy_at.is_some())
    }

    pub(super) fn have_room(&self) -> bool {
        !self.roomy.is_empty()
    }

    /// One with room that is not among these, wherever the search for it begins.
    pub(super) fn any(&self, tried: &[u64], from: u64) -> Option<u64> {
        let len = self.roomy.len();
        let start = usize::try_from(from % len.max(1) as u64).unwrap_or_default();
        (0..len).map(|step| self.roomy[(start + step) % len]).find(|key| !tried.contains(key))
    }

    /// Whether all who may be chosen are among these.
    pub(super) fn are_all_in(&self, tried: &[u64]) -> bool {
        let eligible = self.seats.iter().filter(|(_, seat)| seat.is_eligible);
        eligible.map(|(key, _)| key).all(|key| tried.contains(key))
    }

    /// Takes a place at this endpoint, if there is one.
    pub(super) fn take(&mut self, key: u64) -> Option<Arc<Endpoint>> {
        let seat = self.seats.get_mut(&key).filter(|seat| seat.roomy_at.is_some())?;
        seat.taken += 1;
        self.taken += 1;
        let endpoint = Arc::clone(&seat.endpoint);
        self.mark(key);
        Some(endpoint)
    }

    /// A place that was taken is free again.
    pub(super) fn leave(&mut self, key: u64) {
        let Some(seat) = self.seats.get_mut(&key).filter(|seat| seat.taken > 0) else { return };
        seat.taken -= 1;
        self.taken -= 1;
        if seat.taken == 0 && !seat.is_eligible {
            self.seats.remove(&key);
            return;
        }
        self.mark(key);
    }

    pub(super) fn arrange(&mut self, most: Option<u32>, endpoints: &[Arc<Endpoint>]) {
        self.most = most.unwrap_or(u32::MAX);
        self.seats.values_mut().for_each(|seat| seat.is_eligible = false);
        for endpoint in endpoints {
            let seat =
                || Seat { endpoint: Arc::clone(endpoint), is_eligible: true, taken: 0, roomy_at: None };
            self.seats.entry(endpoint.key()).or_insert_with(seat).is_eligible = true;
        }
        self.seats.retain(|_, seat| seat.is_eligible || seat.taken > 0);
        self.eligible = self.seats.values().filter(|seat| seat.is_eligible).count();
        self.mark_all();
    }

    fn mark_all(&mut self) {
        self.roomy.clear();
        for (key, seat) in &mut self.seats {
            let is_roomy = seat.is_eligible && seat.taken < self.most;
            seat.roomy_at = is_roomy.then_some(self.roomy.len());
            self.roomy.extend(is_roomy.then_some(*key));
        }
    }

    /// Notes whether this one has room.
    fn mark(&mut self, key: u64) {
        let Some(seat) = self.seats.get_mut(&key) else { return };
        match (seat.is_eligible && seat.taken < self.most, seat.roomy_at) {
            (true, None) => {
                seat.roomy_at = Some(self.roomy.len());
                self.roomy.push(key);
            }
            (false, Some(at)) => {
                seat.roomy_at = None;
                self.roomy.swap_remove(at);
                if let Some(moved) = self.roomy.get(at).and_then(|moved| self.seats.get_mut(moved)) {
                    moved.roomy_at = Some(at);
                }
            }
            _ => {}
        }
    }
}
