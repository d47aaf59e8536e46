//! How many requests a backend takes, and what happens to those beyond.

use std::time::Duration;

use berth_pick::queue::Limits;

/// How many requests a backend takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Requests at each endpoint at once; more wait.
    pub most_in_flight: Option<u32>,
    /// Upstream connections in use at once, over all endpoints; whoever would need another is turned away.
    pub most_connections: Option<u32>,
    /// Requests that wait at once for an upstream connection to come about; whoever would be another is turned away.
    /// The general limit where nothing is said.
    pub most_pending: Option<u32>,
    /// How requests wait.
    pub queue: QueueSettings,
}

/// How requests wait for a place at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// How many may wait.
    pub length: u32,
    /// How long each may.
    pub timeout: Duration,
    /// Whether they wait as well while there is no endpoint.
    pub hold_when_empty: bool,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { length: 1000, timeout: Duration::from_secs(10), hold_when_empty: false }
    }
}

impl Capacity {
    /// Whether requests need a place.
    pub(crate) fn counts(&self) -> bool {
        self.most_in_flight.is_some() || self.most_connections.is_some()
    }

    /// Whether requests may have to wait or be turned away.
    pub(crate) fn is_limited(&self) -> bool {
        self.counts() || self.queue.hold_when_empty
    }

    /// What the queue goes by.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            in_flight: self.most_in_flight,
            connections: self.most_connections,
            length: self.queue.length as usize,
            holds_when_empty: self.queue.hold_when_empty,
        }
    }
}
