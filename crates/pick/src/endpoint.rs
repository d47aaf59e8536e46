use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

use berth_model::Identity;
use crossbeam_utils::CachePadded;

use crate::latency::Latency;
use crate::report::Report;
use crate::signals::Signals;
use crate::trouble::Trouble;

/// A run as the balancer sees it: its address and its live load, shared by all workers.
#[derive(Debug)]
pub struct Endpoint {
    key: u64,
    identity: Identity,
    authority: Option<Box<str>>,
    address: SocketAddr,
    /// When it joined those who were there, on the balancer's clock.
    joined_ms: Option<u64>,
    load: CachePadded<Load>,
}

/// What is known of an endpoint's load. The first two counters only grow, so that each request costs one addition at
/// its start and one at its end, and the total for the metrics comes for free.
#[derive(Debug, Default)]
struct Load {
    started: AtomicU64,
    finished: AtomicU64,
    trouble: Trouble,
    signals: Signals,
    latency: Latency,
    report: Report,
}

impl Endpoint {
    pub(crate) fn new(key: u64, identity: Identity, authority: Option<&str>, joined_ms: Option<u64>) -> Self {
        let address = identity.address();
        let authority = authority.map(Box::from);
        Self { key, identity, authority, address, joined_ms, load: CachePadded::default() }
    }

    /// A number that no other endpoint of this process has or had: what workers keep their connections under.
    pub fn key(&self) -> u64 {
        self.key
    }

    /// Which run it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The host, and the port if it is not the scheme's own, that it is asked for as; none if it is asked for whatever
    /// the client asks for.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// When it joined those who were there, in milliseconds on the balancer's clock; none if it is one of those.
    pub fn joined_ms(&self) -> Option<u64> {
        self.joined_ms
    }

    /// Requests that are with it now, over all workers.
    #[inline]
    pub fn in_flight(&self) -> u64 {
        // `finished` first: a request that ends between the two reads then counts as in flight, and the
        // difference never goes below zero.
        let finished = self.load.finished.load(Ordering::Acquire);
        self.load.started.load(Ordering::Acquire).saturating_sub(finished)
    }

    /// Requests that were ever given to it.
    pub fn requests(&self) -> u64 {
        self.load.started.load(Ordering::Relaxed)
    }

    /// Its failures of late.
    #[inline]
    pub fn trouble(&self) -> &Trouble {
        &self.load.trouble
    }

    /// What makes one doubt it.
    #[inline]
    pub fn signals(&self) -> &Signals {
        &self.load.signals
    }

    /// How long its answers take.
    #[inline]
    pub fn latency(&self) -> &Latency {
        &self.load.latency
    }

    /// What it says of its load.
    #[inline]
    pub fn report(&self) -> &Report {
        &self.load.report
    }
}

/// One request that is with an endpoint, from the choice to the last byte of the answer. It counts itself in
/// when it is made and out when it is dropped.
///
/// `H` is whatever keeps the endpoint alive: an `Arc`, or a worker's handle that costs no shared count.
#[derive(Debug)]
pub struct InFlight<H: Deref<Target = Endpoint>> {
    endpoint: H,
}

impl<H: Deref<Target = Endpoint>> InFlight<H> {
    /// Counts a request in.
    pub fn begin(endpoint: H) -> Self {
        endpoint.load.started.fetch_add(1, Ordering::Release);
        Self { endpoint }
    }

    /// What keeps the endpoint alive.
    pub fn handle(&self) -> &H {
        &self.endpoint
    }

    /// What keeps the endpoint alive. It must go on to be the same endpoint.
    pub fn handle_mut(&mut self) -> &mut H {
        &mut self.endpoint
    }
}

impl<H: Deref<Target = Endpoint>> Deref for InFlight<H> {
    type Target = Endpoint;
    fn deref(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl<H: Deref<Target = Endpoint>> Drop for InFlight<H> {
    fn drop(&mut self) {
        self.endpoint.load.finished.fetch_add(1, Ordering::Release);
    }
}
