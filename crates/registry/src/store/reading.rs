use std::collections::BTreeMap;
use std::sync::Arc;

use berth_catalog::Event;
use berth_model::{ChangeKind, Ended, Instance, InstanceId, Reason, Revision, Run, ServiceName};

/// The state at one revision, of all services or of one.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) revision: Revision,
    pub(super) live: BTreeMap<(ServiceName, InstanceId), Arc<Instance>>,
    pub(super) ended: BTreeMap<(ServiceName, InstanceId, Run), Reason>,
}

impl Reading {
    /// The live instances, sorted by service and id.
    pub(crate) fn instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.live.values()
    }

    /// The runs that ended lately.
    pub(crate) fn ended(&self) -> impl Iterator<Item = Ended> + '_ {
        self.ended.iter().map(|((service, id, run), reason)| Ended {
            service: service.clone(),
            id: id.clone(),
            run: *run,
            reason: *reason,
        })
    }

    /// Takes over a change that came after the records were read, or while.
    pub(super) fn apply(&mut self, event: &Event) {
        let instance = &event.instance;
        let key = (instance.service.clone(), instance.id.clone());
        let stone = (key.0.clone(), key.1.clone(), instance.run);
        match (event.kind, event.reason) {
            (ChangeKind::Left, reason) => {
                self.live.remove(&key);
                self.ended.extend(reason.map(|reason| (stone, reason)));
            }
            (ChangeKind::Joined | ChangeKind::Changed, _) => {
                self.live.insert(key, Arc::clone(instance));
                self.ended.remove(&stone);
            }
        }
    }
}
