//! What workers know of the upstreams: an unchanging snapshot, swapped whole.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use berth_pick::{RoundRobin, Set};

/// The upstreams at one moment, as the `upstreams` task published them.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Grows with each snapshot.
    pub(crate) generation: u64,
    /// Whom to choose from.
    pub(crate) set: Set,
    /// How to choose; the same in every snapshot.
    pub(crate) strategy: Arc<RoundRobin>,
    /// Whom clients are told about when there is nobody: `service web@1.x`.
    pub(crate) subject: Arc<str>,
}

/// The newest snapshot: written by the `upstreams` task, read by all workers.
#[derive(Debug)]
pub(crate) struct Published {
    generation: AtomicU64,
    // Taken by a worker only when the generation has changed.
    current: Mutex<Arc<Snapshot>>,
}

impl Published {
    pub(crate) fn new(first: Snapshot) -> Self {
        Self { generation: AtomicU64::new(first.generation), current: Mutex::new(Arc::new(first)) }
    }

    /// Replaces the snapshot for all workers; each takes it up with its next request.
    pub(crate) fn publish(&self, next: Snapshot) {
        let generation = next.generation;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        self.generation.store(generation, Ordering::Release);
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
