use berth_catalog::Event;
use berth_model::ChangeKind;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tracing::info;

/// What the registry counts; clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Telemetry {
    pub(crate) renewals: Counter,
    instances: Gauge,
    watchers: Gauge,
    links: Gauge,
    dials: Family<Dial, Counter>,
    changes: Family<Change, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Change {
    kind: &'static str,
    // Empty, which is to Prometheus the same as absent, for changes that have none.
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Dial {
    outcome: &'static str,
}

impl Telemetry {
    /// Counts and logs a change. This is the one place where the log tells who joined or left, and why.
    pub(crate) fn changed(&self, event: &Event) {
        let instance = &event.instance;
        let (service, id, run, address) = (&instance.service, &instance.id, instance.run, instance.address());
        let reason = event.reason.map_or("", |reason| reason.as_str());
        match event.kind {
            ChangeKind::Joined => {
                self.instances.inc();
                info!(%service, %id, %run, %address, "instance joined");
            }
            ChangeKind::Changed => {
                let (weight, draining) = (instance.weight, instance.draining);
                info!(%service, %id, %run, %address, weight, draining, "instance changed");
            }
            ChangeKind::Left => {
                self.instances.dec();
                info!(%service, %id, %run, %address, reason, "instance left");
            }
        }
        self.changes.get_or_create(&Change { kind: event.kind.as_str(), reason }).inc();
    }

    /// Counts a watcher until the guard is dropped.
    pub(crate) fn watcher(&self) -> Counted {
        Counted::in_gauge(&self.watchers)
    }

    /// Counts a link until the guard is dropped.
    pub(crate) fn link(&self) -> Counted {
        Counted::in_gauge(&self.links)
    }

    /// Counts a dial by what came of it.
    pub(crate) fn dialled(&self, outcome: &'static str) {
        self.dials.get_or_create(&Dial { outcome }).inc();
    }

    pub(crate) fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("registry");
        registry.register("instances", "Instances that are live", self.instances.clone());
        registry.register("watchers", "Watches that are open", self.watchers.clone());
        registry.register("links", "Links that processes hold open", self.links.clone());
        registry.register("dials", "Connections tried to instances, by outcome", self.dials.clone());
        registry.register("changes", "Changes by kind and reason", self.changes.clone());
        registry.register("renewals", "Leases that were renewed by a heartbeat", self.renewals.clone());
        registry
    }
}

/// One thing that is counted for as long as it is there.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Counted {
    fn in_gauge(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
