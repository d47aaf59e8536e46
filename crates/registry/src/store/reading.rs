use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use berth_catalog::Event;
use berth_model::{ChangeKind, Ended, Instance, InstanceId, Reason, Revision, Run, ServiceName, Services};

use super::memory::{Memory, Slot};

/// The state at one revision, of all services or of one.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) revision: Revision,
    live: BTreeMap<(ServiceName, InstanceId), Arc<Instance>>,
    ended: BTreeMap<(ServiceName, InstanceId, Run), Reason>,
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
    fn apply(&mut self, event: &Event) {
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

impl Memory {
    /// The state at one revision: the module's head tells why it is exact.
    pub(crate) fn read(&self, service: Option<&ServiceName>) -> Reading {
        let _being_read = self.journal.being_read();
        loop {
            let mut reading = self.read_records(service);
            // It fails when even the longer log was overrun while the map was read.
            let Ok(entries) = self.journal.since(reading.revision.sequence, usize::MAX) else { continue };
            for entry in entries {
                reading.revision = entry.revision;
                if service.is_none_or(|service| *service == entry.event.instance.service) {
                    reading.apply(&entry.event);
                }
            }
            return reading;
        }
    }

    /// How many instances of each service are live.
    pub(crate) fn services(&self) -> Services {
        let revision = self.journal.head();
        let mut services = BTreeMap::new();
        for entry in &self.services {
            let live = entry.values().filter(|slot| slot.record.live().is_some()).count();
            if live > 0 {
                services.insert(entry.key().clone(), live);
            }
        }
        Services { revision, services }
    }

    fn read_records(&self, service: Option<&ServiceName>) -> Reading {
        let revision = self.journal.head();
        let now = self.clock.now();
        let (mut live, mut ended) = (Vec::new(), Vec::new());
        let mut read = |service: &ServiceName, slots: &HashMap<InstanceId, Box<Slot>>| {
            for (id, slot) in slots {
                let record = &slot.record;
                live.extend(
                    record.live().map(|instance| ((service.clone(), id.clone()), Arc::clone(instance))),
                );
                let stones = record.ended(now);
                ended.extend(stones.map(|(run, reason)| ((service.clone(), id.clone(), run), reason)));
            }
        };
        match service {
            Some(service) => {
                self.services.view(service, &mut read);
            }
            None => self.services.iter().for_each(|entry| read(entry.key(), &entry)),
        }
        Reading { revision, live: live.into_iter().collect(), ended: ended.into_iter().collect() }
    }
}
