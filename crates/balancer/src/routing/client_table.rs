//! What is remembered of clients for the rate limits: as much as fits into a table that never grows.

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// How many clients are remembered, over all limits: 2 MiB of slots.
const SLOTS: usize = 1 << 17;

/// In how many slots a client may be.
const WAYS: usize = 8;

/// When a client's next request would be due, had it kept to its limit's pace; in nanoseconds on the table's clock. A
/// slot whose time has passed says no more than an empty one.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    key: u64,
    /// 0 if the slot is empty.
    arrival_ns: u64,
}

type Set = Mutex<[Slot; WAYS]>;

/// The clients of all limits that go by clients. It is made when the first of them is asked for.
pub(super) struct ClientTable {
    /// Outsiders do not know its key, so nobody can aim at a set.
    hasher: RandomState,
    sets: OnceLock<Box<[Set]>>,
    numbers: AtomicU64,
}

impl Default for ClientTable {
    fn default() -> Self {
        Self { hasher: RandomState::new(), sets: OnceLock::new(), numbers: AtomicU64::new(0) }
    }
}

impl fmt::Debug for ClientTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTable").finish_non_exhaustive()
    }
}

impl ClientTable {
    /// A number that no other limit has.
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// What this client goes by at the limit of this number.
    pub(super) fn key(&self, number: u64, client: impl Hash) -> u64 {
        self.hasher.hash_one((number, client))
    }

    /// Shows what is remembered of a client, and remembers what is made of that. If its set is full, the client goes
    /// whose time is the next to pass: so nothing is lost as long as one of them has passed.
    pub(super) fn update<T, E>(
        &self,
        key: u64,
        decide: impl Fn(Option<u64>) -> Result<(T, u64), E>,
    ) -> Result<T, E> {
        let sets = self.sets.get_or_init(|| (0..SLOTS / WAYS).map(|_| Set::default()).collect());
        let set = &sets[key as usize % sets.len()];
        // What is in it holds, wherever somebody panicked.
        let mut slots = set.lock().unwrap_or_else(PoisonError::into_inner);
        let own = slots.iter().position(|slot| slot.arrival_ns > 0 && slot.key == key);
        let (made, arrival_ns) = decide(own.map(|place| slots[place].arrival_ns))?;
        let oldest = || (0..WAYS).min_by_key(|place| slots[*place].arrival_ns).unwrap_or_default();
        let place = own.unwrap_or_else(oldest);
        slots[place] = Slot { key, arrival_ns };
        Ok(made)
    }

    /// How many slots there are, and how many of them are taken.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        let sets = self.sets.get().map_or(&[][..], |sets| sets);
        let taken = |set: &Set| set.lock().unwrap().iter().filter(|slot| slot.arrival_ns > 0).count();
        (sets.len() * WAYS, sets.iter().map(taken).sum())
    }
}
