//! What is remembered of clients for one rate limit: as much as fits into a table that never grows.

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, OnceLock, PoisonError};

#[cfg(test)]
mod tests;

/// How many clients are remembered at most: 1 MiB of slots.
const SLOTS: usize = 1 << 16;

/// In how many slots a client may be.
const WAYS: usize = 8;

/// A part is made with the first client that belongs to it: one request never waits for all of them, and a limit that
/// nobody asks takes no room.
const PARTS: usize = 64;
const SETS_PER_PART: usize = SLOTS / WAYS / PARTS;

/// When a client's next request would be due, had it kept to its limit's pace; in nanoseconds on the limit's clock. A
/// slot whose time has passed says no more than an empty one.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    key: u64,
    /// 0 if the slot is empty.
    arrival_ns: u64,
}

type Set = Mutex<[Slot; WAYS]>;

/// The clients of one limit. Limits with different paces would push out each other's worst offenders, so none of them
/// share a table.
pub(super) struct ClientTable {
    /// Outsiders do not know its key, so nobody can aim at a set.
    hasher: RandomState,
    parts: Box<[OnceLock<Box<[Set]>>]>,
}

impl Default for ClientTable {
    fn default() -> Self {
        Self { hasher: RandomState::new(), parts: (0..PARTS).map(|_| OnceLock::new()).collect() }
    }
}

impl fmt::Debug for ClientTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTable").finish_non_exhaustive()
    }
}

impl ClientTable {
    /// What this client goes by.
    pub(super) fn key(&self, client: impl Hash) -> u64 {
        self.hasher.hash_one(client)
    }

    /// Shows what is remembered of a client, and remembers what is made of that, if anything. If its set is full, the
    /// client goes whose time is the next to pass: so nothing is lost as long as one of them has passed.
    pub(super) fn update<T, E>(
        &self,
        key: u64,
        decide: impl Fn(Option<u64>) -> Result<(T, Option<u64>), E>,
    ) -> Result<T, E> {
        // What is in it holds, wherever somebody panicked.
        let mut slots = self.set(key).lock().unwrap_or_else(PoisonError::into_inner);
        let own = slots.iter().position(|slot| slot.arrival_ns > 0 && slot.key == key);
        let (made, arrival_ns) = decide(own.map(|place| slots[place].arrival_ns))?;
        if let Some(arrival_ns) = arrival_ns {
            let oldest = || (0..WAYS).min_by_key(|place| slots[*place].arrival_ns).unwrap_or_default();
            let place = own.unwrap_or_else(oldest);
            slots[place] = Slot { key, arrival_ns };
        }
        Ok(made)
    }

    fn set(&self, key: u64) -> &Set {
        let key = key as usize;
        let part = &self.parts[key % PARTS];
        let sets = part.get_or_init(|| (0..SETS_PER_PART).map(|_| Set::default()).collect());
        &sets[key / PARTS % SETS_PER_PART]
    }

    /// How many slots there are room for now, and how many of them are taken.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        let sets = || self.parts.iter().filter_map(OnceLock::get).flat_map(|sets| sets.iter());
        let taken = |set: &Set| set.lock().unwrap().iter().filter(|slot| slot.arrival_ns > 0).count();
        (sets().count() * WAYS, sets().map(taken).sum())
    }
}
