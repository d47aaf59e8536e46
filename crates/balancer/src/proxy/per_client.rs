//! What each client has at once: connections, and requests under way.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::routing::client_of;

#[cfg(test)]
mod tests;

/// Few of the workers want the same part of the table at the same moment.
const SHARDS: usize = 64;

/// All clients that have connections which are counted: there are never more entries than connections.
#[derive(Debug)]
pub(crate) struct Clients {
    hasher: RandomState,
    shards: [Shard; SHARDS],
}

type Shard = Mutex<HashMap<IpAddr, Entry>>;

#[derive(Debug, Default)]
struct Entry {
    /// 1 and more.
    connections: u32,
    /// Those under way on all of them.
    requests: Arc<AtomicU32>,
}

impl Default for Clients {
    fn default() -> Self {
        Self { hasher: RandomState::new(), shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Clients {
    /// Counts a connection in, unless its client has `most` already.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr, most: Option<u32>) -> Option<Counted> {
        let client = client_of(address);
        let mut entries = self.shard(client).lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.entry(client).or_default();
        // Whoever has none yet may have one: no limit is less.
        if most.is_some_and(|most| entry.connections >= most) {
            return None;
        }
        entry.connections += 1;
        let requests = Arc::clone(&entry.requests);
        Some(Counted { clients: Arc::clone(self), client, requests })
    }

    fn shard(&self, client: IpAddr) -> &Shard {
        &self.shards[self.hasher.hash_one(client) as usize % SHARDS]
    }

    fn leave(&self, client: IpAddr) {
        let mut entries = self.shard(client).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(&client) {
            entry.connections -= 1;
            if entry.connections == 0 {
                entries.remove(&client);
            }
        }
    }
}

/// A connection that counts for its client, until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    clients: Arc<Clients>,
    client: IpAddr,
    requests: Arc<AtomicU32>,
}

impl Counted {
    /// Counts a request in, unless its client has `most` under way already.
    pub(crate) fn begin(&self, most: u32) -> Option<UnderWay> {
        let one_more = |under_way| (under_way < most).then(|| under_way + 1);
        let begun = self.requests.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        begun.is_ok().then(|| UnderWay(Arc::clone(&self.requests)))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.clients.leave(self.client);
    }
}

/// A request that counts for its client, until this is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<AtomicU32>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
