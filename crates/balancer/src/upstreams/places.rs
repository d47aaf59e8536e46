//! What a backend with limits keeps over all snapshots: its queue, and how long requests waited in it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use berth_pick::Endpoint;
use berth_pick::queue::{Gate, Limits};

use super::retries::Retries;
use crate::buckets::Histogram;

/// Nobody is kept waiting.
const UNLIMITED: Limits = Limits { in_flight: None, connections: None, length: 0, holds_when_empty: false };

/// The places of a backend's endpoints. Backends of the same endpoints share them.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) gate: Arc<Gate>,
    is_limited: AtomicBool,
    is_closed: AtomicBool,
    /// Requests that wait for an upstream connection to come about.
    pending: AtomicU64,
    /// What its requests have of retries.
    pub(crate) retries: Retries,
    /// How long those waited that got a place.
    pub(crate) waits: Histogram,
    /// Requests that were turned away, by why.
    pub(crate) turned_away: [AtomicU64; TurnedAway::ALL.len()],
}

/// Why a request was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TurnedAway {
    /// The queue was full.
    QueueFull,
    /// It waited for too long.
    QueueTimeout,
    /// All connections were in use.
    Connections,
    /// Too many waited for a connection to come about.
    Pending,
}

impl TurnedAway {
    pub(crate) const ALL: [Self; 4] = [Self::QueueFull, Self::QueueTimeout, Self::Connections, Self::Pending];

    /// Its name in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::Connections => "max_connections",
            Self::Pending => "max_pending",
        }
    }
}

impl fmt::Display for TurnedAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueueFull => "the queue is full",
            Self::QueueTimeout => "no place became free in time",
            Self::Connections => "all connections are in use",
            Self::Pending => "too many wait for a connection",
        })
    }
}

/// A request that waits for an upstream connection to come about.
#[derive(Debug)]
pub(crate) struct Pending<'a>(&'a AtomicU64);

impl Default for Places {
    fn default() -> Self {
        Self {
            gate: Arc::new(Gate::new(UNLIMITED)),
            is_limited: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            pending: AtomicU64::new(0),
            retries: Retries::default(),
            waits: Histogram::default(),
            turned_away: Default::default(),
        }
    }
}

impl Places {
    /// These limits hold, if any, and these endpoints may be chosen from now on.
    pub(super) fn arrange(&self, limits: Option<Limits>, endpoints: &[Arc<Endpoint>]) {
        let was_limited = self.is_limited.swap(limits.is_some(), Ordering::Relaxed);
        // Without limits nobody enters; whoever still waits goes through.
        if was_limited || limits.is_some() {
            self.gate.arrange(limits.unwrap_or(UNLIMITED), endpoints);
        }
    }

    /// The backend is gone. Whoever waits is told that nobody serves; whoever has been served and comes again is not
    /// kept waiting.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.gate.arrange(UNLIMITED, &[]);
    }

    /// Whether the backend is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Counts a request that waits for a connection; none if so many do already.
    pub(crate) fn pending(&self, most: u64) -> Option<Pending<'_>> {
        let pending = Pending(&self.pending);
        (self.pending.fetch_add(1, Ordering::Relaxed) < most).then_some(pending)
    }

    /// Counts a request that was turned away.
    #[cold]
    pub(crate) fn turn_away(&self, why: TurnedAway) {
        self.turned_away[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that has got a place after so long.
    #[cold]
    pub(crate) fn waited(&self, time: Duration) {
        self.waits.note(time);
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
