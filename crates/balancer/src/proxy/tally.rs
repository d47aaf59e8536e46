//! What a worker counts for itself between two ticks.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::upstreams::Snapshot;

/// Requests by the places of their routes and backends, as one worker has seen them since it last settled. The totals
/// that all workers share are touched once a tick, so that no request waits for another core's cache line.
#[derive(Debug)]
pub(crate) struct Tally {
    routes: Box<[Cell<u64>]>,
    backends: Box<[Cell<u64>]>,
}

impl Tally {
    /// Room for all routes and backends of a snapshot.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let zeros = |count| (0..count).map(|_| Cell::new(0)).collect();
        Self { routes: zeros(snapshot.routes.len()), backends: zeros(snapshot.backends.len()) }
    }

    /// Counts a request. A backend that is nowhere is not counted.
    #[inline]
    pub(crate) fn count(&self, route: usize, backend: usize) {
        add(&self.routes, route);
        add(&self.backends, backend);
    }

    /// Adds all that was counted to the totals of the same snapshot, and begins anew.
    pub(crate) fn settle(&self, snapshot: &Snapshot) {
        settle(&self.routes, snapshot.routes.all().iter().map(|route| &*route.requests));
        settle(&self.backends, snapshot.backends.iter().map(|backend| &*backend.lasting.requests));
    }
}

#[inline]
fn add(counts: &[Cell<u64>], place: usize) {
    if let Some(count) = counts.get(place) {
        count.set(count.get() + 1);
    }
}

fn settle<'a>(counts: &[Cell<u64>], totals: impl Iterator<Item = &'a AtomicU64>) {
    for (count, total) in counts.iter().zip(totals).filter(|(count, _)| count.get() > 0) {
        total.fetch_add(count.take(), Ordering::Relaxed);
    }
}
