use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::buckets::{LATENCY_BOUNDS_US, bucket_of};

/// A number with one writer: the worker. Anybody may read it.
#[derive(Debug, Default)]
pub(crate) struct Cell(AtomicU64);

impl Cell {
    /// Adds without the cost of an atomic addition, which one writer does not need.
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        self.set(self.value().wrapping_add(more));
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whose fault it was that an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The endpoint, or the way to it.
    Upstream,
    /// The client.
    Client,
    /// There was no endpoint that could have failed.
    Nobody,
}

/// A limit that a request has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetLimit {
    RateLimit,
    MaxRequests,
}

impl MetLimit {
    pub(crate) const ALL: [Self; 2] = [MetLimit::RateLimit, MetLimit::MaxRequests];

    /// The key that sets it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            MetLimit::RateLimit => "rate_limit",
            MetLimit::MaxRequests => "max_requests",
        }
    }
}

/// Why a request was sent again that may have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retried {
    /// The connection ended without an answer.
    Reset,
    /// The endpoint was given up.
    Silence,
    /// It did not answer in time.
    Timeout,
    /// Its answer had a status for which its route sends requests again.
    Status,
}

impl Retried {
    pub(crate) const ALL: [Self; 4] = [Retried::Reset, Retried::Silence, Retried::Timeout, Retried::Status];

    /// Its name in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Retried::Reset => "reset",
            Retried::Silence => "silence",
            Retried::Timeout => "timeout",
            Retried::Status => "status",
        }
    }
}

/// The counters of one worker.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Cells {
    /// Client connections accepted.
    pub(crate) connections: Cell,
    /// Of these, how many were one too many for their address.
    pub(crate) connections_limited: Cell,
    /// Client connections that ended.
    pub(crate) connections_ended: Cell,
    /// Answers by the first digit of their status; the first entry is for odd ones.
    pub(crate) answers: [Cell; 6],
    /// Connections that switched to another protocol.
    pub(crate) tunnels: Cell,
    /// Of these, how many have ended.
    pub(crate) tunnels_ended: Cell,
    /// Upstream connections that did not come about.
    pub(crate) connect_failed: Cell,
    /// Requests sent again to whoever came next.
    pub(crate) resent: Cell,
    /// Requests sent again that may have arrived, by why.
    retried: [Cell; Retried::ALL.len()],
    /// Requests that were not, as there had been too many of these.
    pub(crate) retries_refused: Cell,
    /// Requests that were one too many, by the limit.
    limited: [Cell; MetLimit::ALL.len()],
    /// Idle upstream connections that turned out closed.
    pub(crate) stale: Cell,
    /// Exchanges that failed on the upstream's side.
    pub(crate) upstream_failed: Cell,
    /// Exchanges that failed on the client's side.
    pub(crate) client_failed: Cell,
    /// Exchanges for which there was no endpoint.
    pub(crate) unserved: Cell,
    /// Exchanges by how long they took; the last entry is for all that took longer.
    pub(crate) latency: [Cell; LATENCY_BOUNDS_US.len() + 1],
    /// What all exchanges took together, in microseconds.
    pub(crate) latency_sum_us: Cell,
    /// The snapshot of the upstreams that the worker runs.
    pub(crate) generation: Cell,
}

impl Cells {
    /// Counts an answer.
    #[inline]
    pub(crate) fn answered(&self, status: u16) {
        let class = usize::from(status / 100);
        self.answers[if class < self.answers.len() { class } else { 0 }].add(1);
    }

    /// Counts a failed exchange on the side that failed.
    pub(crate) fn failed(&self, side: Side) {
        let cell = match side {
            Side::Upstream => &self.upstream_failed,
            Side::Client => &self.client_failed,
            Side::Nobody => &self.unserved,
        };
        cell.add(1);
    }

    /// Requests that have met this limit.
    pub(crate) fn limited(&self, limit: MetLimit) -> &Cell {
        &self.limited[limit as usize]
    }

    /// Requests sent again for this reason.
    pub(crate) fn retried(&self, why: Retried) -> &Cell {
        &self.retried[why as usize]
    }

    /// Notes how long an exchange took.
    #[inline]
    pub(crate) fn took(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.latency[bucket_of(us)].add(1);
        self.latency_sum_us.add(us);
    }
}
