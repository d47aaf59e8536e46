use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

use berth_model::Identity;
use crossbeam_utils::CachePadded;

/// A run as the balancer sees it: its address and its live load, shared by all workers.
#[derive(Debug)]
pub struct Endpoint {
    key: u64,
    identity: Identity,
    authority: Option<Box<str>>,
    address: SocketAddr,
    load: CachePadded<Load>,
}

/// Two counters that only grow, so that each request costs one addition at its start and one at its end, and
/// the total for the metrics comes for free.
#[derive(Debug, Default)]
struct Load {
    started: AtomicU64,
    finished: AtomicU64,
}

impl Endpoint {
    pub(crate) fn new(key: u64, identity: Identity, authority: Option<&str>) -> Self {
        let address = identity.address();
        let authority = authority.map(Box::from);
        Self { key, identity, authority, address, load: CachePadded::default() }
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

    /// Requests that are with it now, over all workers.
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
