//! What workers know of the upstreams: an unchanging snapshot, swapped whole.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use berth_pick::{Endpoint, RoundRobin, Set};

use crate::routing::{ProxySettings, PublicUrl, Routes, StepTimeouts};

/// Routes, backends and all that workers go by at one moment, as the `upstreams` task published it.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Grows with each snapshot.
    pub(crate) generation: u64,
    pub(crate) routes: Arc<Routes>,
    /// The operator's backends, then those of advertised routes.
    pub(crate) backends: Vec<Arc<LiveBackend>>,
    pub(crate) general: Arc<ProxySettings>,
    /// The general deadlines of a request's steps.
    pub(crate) timeouts: StepTimeouts,
}

/// One backend at one moment.
#[derive(Debug)]
pub(crate) struct LiveBackend {
    /// Whom to choose from.
    pub(crate) set: Set,
    /// How to choose; the same in every snapshot.
    pub(crate) strategy: Arc<RoundRobin>,
    /// Whom clients are told about when there is nobody: `service web@1.x`.
    pub(crate) subject: Arc<str>,
    /// Where clients reach each endpoint of the set without us; empty if none has such a place.
    public: Vec<Option<PublicUrl>>,
}

impl LiveBackend {
    pub(crate) fn new(
        set: Set,
        strategy: Arc<RoundRobin>,
        subject: Arc<str>,
        public: Vec<Option<PublicUrl>>,
    ) -> Self {
        Self { set, strategy, subject, public }
    }

    /// Where clients reach this endpoint of the set without us.
    pub(crate) fn public_url(&self, index: usize) -> Option<&PublicUrl> {
        self.public.get(index)?.as_ref()
    }
}

impl Snapshot {
    /// All endpoints, each once.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        let mut seen = HashSet::new();
        let all = self.backends.iter().flat_map(|backend| backend.set.endpoints());
        all.filter(move |endpoint| seen.insert(endpoint.key()))
    }
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

    /// Replaces the snapshot for all workers; each takes it up with its next request or tick.
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
