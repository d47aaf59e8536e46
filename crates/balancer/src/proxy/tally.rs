//! What a worker counts for itself between two ticks.

use std::cell::Cell;
use std::sync::atomic::Ordering;

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

    /// Adds all that was counted to the totals of the same snapshot, at this time of the balancer's clock, and begins anew.
    pub(crate) fn settle(&self, snapshot: &Snapshot, now_ms: u64) {
        for (route, more) in counted(&self.routes) {
            snapshot.routes.get(route).requests.fetch_add(more, Ordering::Relaxed);
        }
        for (backend, more) in counted(&self.backends) {
            let backend = &snapshot.backends[backend];
            backend.lasting.requests.fetch_add(more, Ordering::Relaxed);
            backend.lasting.places.retries.begin(more, backend, now_ms);
        }
    }
}

#[inline]
fn add(counts: &[Cell<u64>], place: usize) {
    if let Some(count) = counts.get(place) {
        count.set(count.get() + 1);
    }
}

/// What was counted at each place, which begins anew.
fn counted(counts: &[Cell<u64>]) -> impl Iterator<Item = (usize, u64)> {
    let counts = counts.iter().enumerate().filter(|(_, count)| count.get() > 0);
    counts.map(|(place, count)| (place, count.take()))
}
