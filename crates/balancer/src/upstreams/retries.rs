use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use berth_fleet::RetryBudget;

use super::published::LiveBackend;

/// How many retries the requests of a backend have between them. Backends of the same endpoints share it.
#[derive(Debug)]
pub(crate) struct Retries {
    /// Requests that went first to any of these backends, over all workers; each adds its own at its ticks.
    begun: AtomicU64,
    /// The second in which the budget last heard of them.
    noted_s: AtomicU64,
    // Taken once a second, and for retries.
    budget: Mutex<RetryBudget>,
}

impl Default for Retries {
    fn default() -> Self {
        // No second yet, also not the first.
        Self { begun: AtomicU64::new(0), noted_s: AtomicU64::new(u64::MAX), budget: Mutex::default() }
    }
}

impl Retries {
    /// So many more requests have begun.
    pub(crate) fn begin(&self, more: u64, backend: &LiveBackend, now_ms: u64) {
        let begun = self.begun.fetch_add(more, Ordering::Relaxed) + more;
        if self.noted_s.swap(now_ms / 1_000, Ordering::Relaxed) != now_ms / 1_000 {
            self.budget().note(now_ms, begun, || in_flight(backend));
        }
    }

    /// Takes a retry, if there is one to be had.
    #[cold]
    pub(crate) fn take(&self, backend: &LiveBackend, now_ms: u64) -> bool {
        let begun = self.begun.load(Ordering::Relaxed);
        self.budget().grant(now_ms, begun, || in_flight(backend))
    }

    fn budget(&self) -> MutexGuard<'_, RetryBudget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_flight(backend: &LiveBackend) -> u64 {
    backend.set.endpoints().iter().chain(&backend.reserve).map(|endpoint| endpoint.in_flight()).sum()
}
