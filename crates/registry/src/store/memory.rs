use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use berth_catalog::{Accepted, Deadlines, Event, Offer, Record, Refusal};
use berth_daemon::RunningClock;
use berth_model::{Instance, InstanceId, Patch, Revision, Run, ServiceName, Services, Ttl};
use dashmap::DashMap;
use thiserror::Error;

use super::{Journal, Reading};
use crate::Settings;
use crate::telemetry::Telemetry;

type Key = (ServiceName, InstanceId);

/// The records in memory.
///
/// No guard of the map leaves a method of this type; none of them is async.
#[derive(Debug)]
pub(crate) struct Memory {
    // By service, so that a query looks at its own service only.
    services: DashMap<ServiceName, HashMap<InstanceId, Record>>,
    deadlines: Mutex<Deadlines<Key>>,
    pub(crate) journal: Journal,
    clock: RunningClock,
    telemetry: Telemetry,
    records: AtomicUsize,
    max_records: usize,
}

/// Why a call changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Denied {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the registry is full")]
    Full,
}

impl Memory {
    pub(crate) fn new(settings: &Settings, clock: RunningClock, telemetry: Telemetry) -> Self {
        Self {
            services: DashMap::new(),
            deadlines: Mutex::default(),
            journal: Journal::new(fastrand::u64(..), settings.log_entries),
            clock,
            telemetry,
            records: AtomicUsize::new(0),
            max_records: settings.max_instances,
        }
    }

    pub(crate) fn register(&self, offer: Offer) -> Result<(Accepted, Revision), Denied> {
        let key = (offer.service.clone(), offer.id.clone());
        let accepted = self.update(&key, true, |record, now, events| {
            let accepted = record.register(offer, now)?;
            events.extend_from_slice(&accepted.events);
            Ok(accepted)
        })?;
        Ok((accepted, self.journal.head()))
    }

    /// The lease's TTL.
    pub(crate) fn renew(&self, key: &Key, run: Run) -> Result<Ttl, Denied> {
        let ttl = self.update(key, false, |record, now, _| Ok(record.renew(run, now)?.ttl_s))?;
        self.telemetry.renewals.inc();
        Ok(ttl)
    }

    pub(crate) fn patch(&self, key: &Key, patch: &Patch) -> Result<Arc<Instance>, Denied> {
        self.update(key, false, |record, now, events| {
            let (instance, event) = record.patch(patch, now)?;
            events.extend(event);
            Ok(instance)
        })
    }

    pub(crate) fn end(&self, key: &Key, run: Option<Run>) -> Result<Revision, Denied> {
        self.update(key, false, |record, now, events| {
            events.push(record.end(run, now)?);
            Ok(())
        })?;
        Ok(self.journal.head())
    }

    /// Ends every lease that is over; called by the clock.
    pub(crate) fn evict(&self) {
        // Read once: a record's own reading comes later, so that what is due here is over there.
        let now = self.clock.now();
        loop {
            let due = self.deadlines().pop_due(now);
            let Some((at, key)) = due else { return };
            // A record that went meanwhile has nothing to end.
            let _ = self.update(&key, false, |record, now, events| {
                record.dequeued(at);
                events.extend(record.expire(now));
                Ok(())
            });
        }
    }

    /// The state at one revision: the module's head tells why it is exact.
    pub(crate) fn read(&self, service: Option<&ServiceName>) -> Reading {
        loop {
            let mut reading = self.read_records(service);
            // It fails when the log was overrun while the map was read.
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
            let live = entry.values().filter(|record| record.live().is_some()).count();
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
        let mut read = |service: &ServiceName, records: &HashMap<InstanceId, Record>| {
            for (id, record) in records {
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

    /// The one way to change a record. What `act` reports is logged while the shard is locked.
    fn update<T>(
        &self,
        key: &Key,
        create: bool,
        act: impl FnOnce(&mut Record, Duration, &mut Vec<Event>) -> Result<T, Refusal>,
    ) -> Result<T, Denied> {
        let mut records = if create {
            self.services.entry(key.0.clone()).or_default()
        } else {
            self.services.get_mut(&key.0).ok_or(Refusal::Unknown)?
        };
        let mut events = Vec::new();
        let outcome = self.update_locked(&mut records, key, create, &mut events, act);
        let abandoned = records.is_empty();
        drop(records);
        if abandoned {
            self.services.remove_if(&key.0, |_, records| records.is_empty());
        }
        if !events.is_empty() {
            self.journal.ring();
            events.iter().for_each(|event| self.telemetry.changed(event));
        }
        outcome
    }

    fn update_locked<T>(
        &self,
        records: &mut HashMap<InstanceId, Record>,
        key: &Key,
        create: bool,
        events: &mut Vec<Event>,
        act: impl FnOnce(&mut Record, Duration, &mut Vec<Event>) -> Result<T, Refusal>,
    ) -> Result<T, Denied> {
        let id = &key.1;
        if create && !records.contains_key(id) {
            self.reserve()?;
            records.insert(id.clone(), Record::default());
        }
        let record = records.get_mut(id).ok_or(Refusal::Unknown)?;
        // The time is read under the lock, so that it never goes back for a record.
        let outcome = act(record, self.clock.now(), events);
        if let Some(recheck) = record.recheck() {
            self.deadlines().queue(key, recheck);
        }
        if !events.is_empty() {
            self.journal.append(events);
        }
        if record.is_empty() {
            records.remove(id);
            self.records.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(outcome?)
    }

    fn reserve(&self) -> Result<(), Denied> {
        let reserve = |records| (records < self.max_records).then_some(records + 1);
        self.records
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve)
            .map(drop)
            .map_err(|_| Denied::Full)
    }

    fn deadlines(&self) -> MutexGuard<'_, Deadlines<Key>> {
        self.deadlines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
