//! What a worker knows when it asks for an endpoint.

use std::cell::{Cell, RefCell};

use berth_pick::{Ask, Chance};

/// A worker's clock for loads, and its chance.
#[derive(Debug)]
pub(crate) struct Asking {
    now_ms: Cell<u64>,
    chance: RefCell<Chance>,
}

impl Asking {
    pub(crate) fn new(seed: u64, now_ms: u64) -> Self {
        Self { now_ms: Cell::new(now_ms), chance: RefCell::new(Chance::new(seed)) }
    }

    /// The balancer's clock as of the last tick, by which loads are told.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// The balancer's clock has moved on.
    pub(crate) fn tick(&self, now_ms: u64) {
        self.now_ms.set(now_ms);
    }

    /// Chooses by what is known here and now.
    #[inline]
    pub(crate) fn ask<T>(&self, key: u64, tried: &[usize], choose: impl FnOnce(&mut Ask<'_>) -> T) -> T {
        let mut chance = self.chance.borrow_mut();
        choose(&mut Ask { now_ms: self.now_ms(), chance: &mut chance, key, tried })
    }
}
