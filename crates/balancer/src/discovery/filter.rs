use std::collections::HashSet;

use berth_client::RegistryAddress;
use berth_model::{Change, ChangeKind, Instance, Query, ServiceName};
use tracing::{info, warn};

/// Which of a registry's instances the balancer serves.
#[derive(Debug)]
pub(super) struct Filter {
    query: Option<Query>,
    registry: String,
    registry_is_here: bool,
    /// What was said already: each thing once.
    told: HashSet<&'static str>,
}

impl Filter {
    pub(super) fn new(query: Option<Query>, registry: &RegistryAddress) -> Self {
        Self { query, registry: registry.to_string(), registry_is_here: false, told: HashSet::new() }
    }

    /// Says whether the registry's loopback is this machine's.
    pub(super) fn set_registry_is_here(&mut self, is_here: bool) {
        self.registry_is_here = is_here;
    }

    /// A change as it concerns us. An end always does: what was served may have changed so that it is not wanted
    /// any more. And such a change is an end.
    pub(super) fn pass(&mut self, mut change: Change) -> Change {
        if change.kind != ChangeKind::Left && !self.admits(&change.instance) {
            (change.kind, change.reason) = (ChangeKind::Left, None);
        }
        change
    }

    /// The one service that is asked for, if it is one.
    pub(super) fn service(&self) -> Option<ServiceName> {
        self.query.as_ref().map(|query| query.service.clone())
    }

    /// Whether to serve it.
    pub(super) fn admits(&mut self, instance: &Instance) -> bool {
        let wanted = match &self.query {
            Some(query) => query.matches(instance),
            None => !instance.service.is_internal(),
        };
        wanted && !self.is_out_of_reach(instance)
    }

    fn is_out_of_reach(&mut self, instance: &Instance) -> bool {
        let name = instance.identity();
        if instance.host.is_loopback() && !self.registry_is_here {
            if self.told.insert("loopback") {
                let registry = &self.registry;
                warn!(%name, registry, "ignoring loopback addresses: they mean the registry's machine, not this one");
            }
            return true;
        }
        if !instance.routes.is_empty() && self.query.is_none() {
            if self.told.insert("routes") {
                info!(%name, "an instance that names routes serves only those, and gets none of the other requests");
            }
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests;
