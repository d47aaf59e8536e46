use berth_client::RegistryAddress;
use berth_model::{Change, ChangeKind, Instance, ServiceName};
use tracing::warn;

/// Which of a registry's instances can be reached from here.
#[derive(Debug)]
pub(super) struct Filter {
    service: Option<ServiceName>,
    registry: String,
    registry_is_here: bool,
    told: bool,
}

impl Filter {
    /// For a registry that is asked for one service, or for all.
    pub(super) fn new(service: Option<ServiceName>, registry: &RegistryAddress) -> Self {
        Self { service, registry: registry.to_string(), registry_is_here: false, told: false }
    }

    /// Says whether the registry's loopback is this machine's.
    pub(super) fn set_registry_is_here(&mut self, is_here: bool) {
        self.registry_is_here = is_here;
    }

    /// A change as it concerns us. An end always does: what was served may have changed so that it cannot be reached
    /// any more. And such a change is an end.
    pub(super) fn pass(&mut self, mut change: Change) -> Change {
        if change.kind != ChangeKind::Left && !self.admits(&change.instance) {
            (change.kind, change.reason) = (ChangeKind::Left, None);
        }
        change
    }

    /// The one service that is asked for, if it is one.
    pub(super) fn service(&self) -> Option<ServiceName> {
        self.service.clone()
    }

    /// Whether it can be served.
    pub(super) fn admits(&mut self, instance: &Instance) -> bool {
        let out_of_reach = instance.host.is_loopback() && !self.registry_is_here;
        if out_of_reach && !std::mem::replace(&mut self.told, true) {
            let (name, registry) = (instance.identity(), &self.registry);
            warn!(%name, registry, "ignoring loopback addresses: they mean the registry's machine, not this one");
        }
        !out_of_reach
    }
}

#[cfg(test)]
mod tests;
