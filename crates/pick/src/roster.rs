use std::collections::HashMap;
use std::sync::Arc;

use berth_model::Identity;

use crate::Endpoint;

/// All endpoints of a balancer by identity: the one place that makes and forgets them.
#[derive(Debug, Default)]
pub struct Roster {
    endpoints: HashMap<Identity, Arc<Endpoint>>,
    made: u64,
}

impl Roster {
    /// The endpoint of this identity: the known one with its load, else a new one that goes by this authority and joins
    /// those who are there at this time, if it does.
    pub fn endpoint(
        &mut self,
        identity: &Identity,
        authority: Option<&str>,
        joined_ms: Option<u64>,
    ) -> Arc<Endpoint> {
        if let Some(known) = self.endpoints.get(identity) {
            return Arc::clone(known);
        }
        self.made += 1;
        let made = Arc::new(Endpoint::new(self.made, identity.clone(), authority, joined_ms));
        self.endpoints.insert(identity.clone(), Arc::clone(&made));
        made
    }

    /// Forgets every endpoint that `keep` does not name and that serves nothing any more. One that still has
    /// requests under way stays known, so that its load is true if it is listed again.
    pub fn retain(&mut self, mut keep: impl FnMut(&Identity) -> bool) {
        self.endpoints.retain(|identity, endpoint| keep(identity) || endpoint.in_flight() > 0);
    }

    /// The endpoint of this identity, if it is known.
    pub fn known(&self, identity: &Identity) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(identity)
    }

    /// Forgets an endpoint that serves nothing any more. False: it does, and stays known, so that its load is true if it
    /// is listed again.
    pub fn forget(&mut self, identity: &Identity) -> bool {
        let is_free = self.endpoints.get(identity).is_none_or(|endpoint| endpoint.in_flight() == 0);
        if is_free {
            self.endpoints.remove(identity);
        }
        is_free
    }
}
