use berth_model::{MAX_BODY_BYTES, MAX_NAME_BYTES};
use berth_web::Token;

/// What a registry needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The token that callers must show; none lets everybody in.
    pub token: Option<Token>,
    /// What the registry may cost.
    pub limits: Limits,
}

impl Settings {
    /// Everybody may call, and the limits are the default ones.
    pub fn new() -> Self {
        Self { token: None, limits: Limits::default() }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

/// How much of everything a registry takes before it says no. Beyond one, a caller gets an error that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Instances in all, those that ended within the last 10 minutes included: 503.
    pub instances: usize,
    /// Instances of one service, in the same way: 429.
    pub per_service: usize,
    /// Instances at one host address, in the same way; all of loopback counts as one: 429.
    pub per_address: usize,
    /// What all instances hold in bytes, about: 503. A watcher must be able to take it in as one snapshot.
    pub bytes: usize,
    /// Watches and waiting queries: 503.
    pub watchers: usize,
    /// Links: 503.
    pub links: usize,
    /// Open connections: 503.
    pub connections: usize,
    /// A request body: 413.
    pub body_bytes: usize,
    /// A name or an id, at most 128: 400.
    pub name_bytes: usize,
    /// Changes that are kept for watchers that fall behind or come back. Past them they get a snapshot.
    pub log_entries: usize,
    /// The same in bytes of memory, about.
    pub log_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            instances: 1_000_000,
            per_service: 250_000,
            per_address: 100_000,
            bytes: 1024 * 1024 * 1024,
            watchers: 10_000,
            links: 50_000,
            connections: 65_536,
            body_bytes: MAX_BODY_BYTES,
            name_bytes: MAX_NAME_BYTES,
            log_entries: 32 * 1024,
            log_bytes: 64 * 1024 * 1024,
        }
    }
}
