use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use berth_catalog::{Accepted, Deadlines, Event, LinkId, Offer, Record, Refusal, Step, Suspect, Ticket};
use berth_daemon::RunningClock;
use berth_model::{
    ChangeKind, Instance, InstanceId, Patch, Reason, Revision, Run, RunName, ServiceName, Ttl,
};
use dashmap::DashMap;
use thiserror::Error;
use tokio::sync::mpsc;

use super::Journal;
use super::links::{Links, Mailbox, Told};
use super::places::{Host, Places};
use super::size::{meta_bytes, offered_bytes, size_bytes};
use crate::Limits;
use crate::telemetry::Telemetry;

/// So many leases are ended before others get a turn.
const EVICTION_BATCH: usize = 256;

/// What tells one record from all others.
pub type Key = (ServiceName, InstanceId);

/// The records in memory.
///
/// No guard of the map leaves a method of this type; none of them is async.
#[derive(Debug)]
pub struct Memory {
    // By service, so that a query looks at its own service only.
    pub(super) services: DashMap<ServiceName, HashMap<InstanceId, Box<Slot>>>,
    deadlines: Mutex<Deadlines<Key>>,
    places: Places,
    links: Links,
    pub(crate) journal: Journal,
    pub(super) clock: RunningClock,
    telemetry: Telemetry,
    records: AtomicUsize,
    // What the live instances hold, about.
    size_bytes: AtomicUsize,
    limits: Limits,
    // For tickets and links.
    numbers: AtomicU64,
    suspects: mpsc::UnboundedSender<(Key, Suspect)>,
}

/// A record, and the host for which it counts: that of its last life.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) record: Record,
    host: Host,
    size_bytes: usize,
}

/// What a registration needs: a place at its host, and memory.
struct Room {
    host: Host,
    offered_bytes: usize,
}

impl Room {
    fn of(offer: &Offer) -> Self {
        Self { host: offer.host.into(), offered_bytes: offered_bytes(&offer.registration) }
    }
}

/// Runs whose links broke, to be dialled back.
pub(crate) type Suspects = mpsc::UnboundedReceiver<(Key, Suspect)>;

/// Why a call changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Denied {
    /// The record does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// As many instances are known as may be.
    #[error("the registry is full")]
    Full,
    /// The instances hold as much as they may.
    #[error("the registry's memory is full")]
    BytesFull,
    /// As many instances of the service are known as may be.
    #[error("the service is full")]
    ServiceFull,
    /// As many instances at the address are known as may be.
    #[error("the address has too many instances")]
    AddressFull,
}

/// What came of a registration.
#[derive(Debug)]
pub enum Registering {
    /// It is done, at this revision or an earlier one.
    Done(Accepted, Revision),
    /// The address must be dialled first.
    Dial(Pending),
}

/// A registration that waits for its dial. Dropped, it is forgotten.
#[derive(Debug)]
pub struct Pending {
    store: Arc<Memory>,
    key: Key,
    ticket: Ticket,
    offer: Box<Offer>,
}

impl Memory {
    pub(crate) fn new(limits: Limits, clock: RunningClock, telemetry: Telemetry) -> (Arc<Self>, Suspects) {
        let (suspects, receiver) = mpsc::unbounded_channel();
        let store = Self {
            services: DashMap::new(),
            deadlines: Mutex::default(),
            places: Places::default(),
            links: Links::default(),
            journal: Journal::new(fastrand::u64(..), limits.log_entries, limits.log_bytes),
            clock,
            telemetry,
            records: AtomicUsize::new(0),
            size_bytes: AtomicUsize::new(0),
            limits,
            numbers: AtomicU64::new(1),
            suspects,
        };
        (Arc::new(store), receiver)
    }

    /// A store without a registry around it: leases run out only in its clock's readings, and nobody dials back.
    pub fn alone(limits: Limits) -> Arc<Self> {
        Self::new(limits, RunningClock::start(), Telemetry::default()).0
    }

    /// Registers, renews or replaces; or says that the address must be dialled first.
    ///
    /// # Errors
    /// The record refuses, or there is no room.
    pub fn register(self: &Arc<Self>, offer: Offer) -> Result<Registering, Denied> {
        let key = (offer.service.clone(), offer.id.clone());
        let ticket = Ticket(self.number());
        let step = self.update(&key, Some(Room::of(&offer)), |record, now, events| {
            let step = record.register(offer, ticket, now)?;
            if let Step::Accepted(accepted) = &step {
                events.extend_from_slice(&accepted.events);
            }
            Ok(step)
        })?;
        Ok(match step {
            Step::Accepted(accepted) => Registering::Done(accepted, self.journal.head()),
            Step::Dial(offer) => Registering::Dial(Pending { store: Arc::clone(self), key, ticket, offer }),
        })
    }

    /// Makes the lease of a run live its whole TTL from now on; returns the TTL.
    ///
    /// # Errors
    /// No such run lives.
    pub fn renew(&self, key: &Key, run: Run) -> Result<Ttl, Denied> {
        let ttl = self.update(key, None, |record, now, _| Ok(record.renew(run, now)?.ttl_s))?;
        self.telemetry.renewals.inc();
        Ok(ttl)
    }

    /// Changes the live run, as an operator does.
    ///
    /// # Errors
    /// None lives.
    pub fn patch(&self, key: &Key, patch: &Patch) -> Result<Arc<Instance>, Denied> {
        if let Some(meta) = &patch.meta {
            let size = meta_bytes(meta.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            let grows = |live: &Arc<Instance>| size > meta_bytes(live.meta.iter());
            let grows = self.update(key, None, |record, _, _| Ok(record.live().is_some_and(grows)))?;
            if grows && self.size_bytes.load(Ordering::Relaxed) >= self.limits.bytes {
                return Err(Denied::BytesFull);
            }
        }
        self.update(key, None, |record, now, events| {
            let (instance, event, notice) = record.patch(patch, now)?;
            events.extend(event);
            if let Some(notice) = notice {
                self.links.tell(&notice, &instance);
            }
            Ok(instance)
        })
    }

    /// Ends a run as its owner does, or whatever run is there as an operator does.
    ///
    /// # Errors
    /// No such run lives.
    pub fn end(&self, key: &Key, run: Option<Run>) -> Result<Revision, Denied> {
        self.update(key, None, |record, now, events| {
            events.extend(record.end(run, now)?);
            Ok(())
        })?;
        Ok(self.journal.head())
    }

    /// Ends some of the leases that are over. False when there are no more.
    pub(crate) fn evict(&self) -> bool {
        // Read once: a record's own reading comes later, so that what is due here is over there.
        let now = self.clock.now();
        for _ in 0..EVICTION_BATCH {
            let due = self.deadlines().pop_due(now);
            let Some((at, key)) = due else { return false };
            // A record that went meanwhile has nothing to end.
            let _ = self.update(&key, None, |record, now, events| {
                record.dequeued(at);
                events.extend(record.expire(now));
                Ok(())
            });
        }
        true
    }

    pub(super) fn open_mailbox(&self) -> (LinkId, Arc<Mailbox>) {
        let link = LinkId(self.number());
        (link, self.links.open(link))
    }

    /// Names a run by a link, and puts what its owner has yet to hear into the mailbox, before any later word can
    /// come. Or says why the run ended, as far as that is known.
    pub(super) fn hold(&self, run: &RunName, link: LinkId, mailbox: &Mailbox) -> Result<(), Option<Reason>> {
        let key = (run.service.clone(), run.id.clone());
        let mut reason = None;
        let held = self.update(&key, None, |record, now, _| {
            reason = record.reason_of(run.run, now);
            if let Some(asked) = record.hold(run.run, link, now)? {
                mailbox.put(Told::Asked(run.clone(), asked));
            }
            Ok(())
        });
        held.map_err(|_| reason)
    }

    /// A link broke: its runs are suspects now, unless it is clear already that they crashed.
    pub(super) fn lose(&self, link: LinkId, keys: &[Key]) {
        self.links.close(link);
        for key in keys {
            let lost = self.update(key, None, |record, _, _| Ok(record.lose(link)));
            let Ok(Some(suspect)) = lost else { continue };
            if !self.is_outlived(key, suspect) && suspect.dialled {
                // Without a receiver the registry is ending.
                let _ = self.suspects.send((key.clone(), suspect));
            }
        }
    }

    /// Whether it is still worth a dial.
    pub(crate) fn is_suspect(&self, key: &Key, suspect: Suspect) -> bool {
        self.update(key, None, |record, _, _| Ok(record.suspect() == Some(suspect))).unwrap_or(false)
    }

    /// The address of a suspect refused the dial-back.
    pub(crate) fn refused(&self, key: &Key, suspect: Suspect) {
        // A record that went meanwhile has nothing to end.
        let _ = self.update(key, None, |record, now, events| {
            events.extend(record.refused(suspect, now));
            Ok(())
        });
    }

    fn is_outlived(&self, key: &Key, suspect: Suspect) -> bool {
        let runs = self.places.others(suspect.address, key).into_iter().filter_map(|other| {
            self.update(&other, None, |record, _, _| Ok(record.live().map(|live| live.run))).ok().flatten()
        });
        let Some(latest) = runs.max() else { return false };
        self.outlive(key, latest, suspect.address)
    }

    fn outlive(&self, key: &Key, later: Run, address: std::net::SocketAddr) -> bool {
        let outlived = self.update(key, None, |record, now, events| {
            let event = record.outlived(later, address, now);
            events.extend(event.clone());
            Ok(event.is_some())
        });
        outlived.unwrap_or(false)
    }

    /// The one way to look at a record and to change it. What `act` reports is logged while the shard is locked.
    fn update<T>(
        &self,
        key: &Key,
        create: Option<Room>,
        act: impl FnOnce(&mut Record, Duration, &mut Vec<Event>) -> Result<T, Refusal>,
    ) -> Result<T, Denied> {
        let mut slots = match &create {
            Some(_) => self.services.entry(key.0.clone()).or_default(),
            None => self.services.get_mut(&key.0).ok_or(Refusal::Unknown)?,
        };
        let mut events = Vec::new();
        let outcome = self.update_locked(&mut slots, key, create, &mut events, act);
        let abandoned = slots.is_empty();
        drop(slots);
        if abandoned {
            self.services.remove_if(&key.0, |_, slots| slots.is_empty());
        }
        if !events.is_empty() {
            self.journal.ring();
            events.iter().for_each(|event| self.follow_up(key, event));
        }
        outcome
    }

    fn update_locked<T>(
        &self,
        slots: &mut HashMap<InstanceId, Box<Slot>>,
        key: &Key,
        create: Option<Room>,
        events: &mut Vec<Event>,
        act: impl FnOnce(&mut Record, Duration, &mut Vec<Event>) -> Result<T, Refusal>,
    ) -> Result<T, Denied> {
        let id = &key.1;
        if let Some(room) = create {
            self.make_room(slots, id, room)?;
        }
        let slot = slots.get_mut(id).ok_or(Refusal::Unknown)?;
        // The time is read under the lock, so that it never goes back for a record.
        let outcome = act(&mut slot.record, self.clock.now(), events);
        if let Some(recheck) = slot.record.recheck() {
            self.deadlines().queue(key, recheck);
        }
        if !events.is_empty() {
            self.journal.append(events);
            events.iter().for_each(|event| self.note(key, slot, event));
        }
        if slot.record.is_empty() {
            self.places.uncount(slot.host);
            slots.remove(id);
            self.records.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(outcome?)
    }

    /// Sees to it that there is a record for an instance at this host, if there may be.
    fn make_room(
        &self,
        slots: &mut HashMap<InstanceId, Box<Slot>>,
        id: &InstanceId,
        Room { host, offered_bytes }: Room,
    ) -> Result<(), Denied> {
        let known = slots.get(id);
        // Whoever is there may stay as it is.
        let grows = offered_bytes > known.map_or(0, |slot| slot.size_bytes);
        if grows && self.size_bytes.load(Ordering::Relaxed) >= self.limits.bytes {
            return Err(Denied::BytesFull);
        }
        if known.is_none_or(|slot| slot.host != host) && self.places.records(host) >= self.limits.per_address
        {
            return Err(Denied::AddressFull);
        }
        if known.is_some() {
            return Ok(());
        }
        if slots.len() >= self.limits.per_service {
            return Err(Denied::ServiceFull);
        }
        let reserve = |records| (records < self.limits.instances).then_some(records + 1);
        self.records.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve).map_err(|_| Denied::Full)?;
        self.places.count(host);
        slots.insert(id.clone(), Box::new(Slot { record: Record::default(), host, size_bytes: 0 }));
        Ok(())
    }

    /// What must be known of a change before anybody else sees the record again.
    fn note(&self, key: &Key, slot: &mut Slot, event: &Event) {
        let size = if event.kind == ChangeKind::Left { 0 } else { size_bytes(&event.instance) };
        let before = std::mem::replace(&mut slot.size_bytes, size);
        self.size_bytes.fetch_add(size, Ordering::Relaxed);
        self.size_bytes.fetch_sub(before, Ordering::Relaxed);
        let address = event.instance.address();
        match event.kind {
            ChangeKind::Joined => {
                let host = Host::from(address.ip());
                if slot.host != host {
                    self.places.uncount(slot.host);
                    self.places.count(host);
                    slot.host = host;
                }
                self.places.join(address, key);
            }
            ChangeKind::Left => self.places.leave(address, key),
            ChangeKind::Changed => {}
        }
        if let Some(notice) = &event.notice {
            self.links.tell(notice, &event.instance);
        }
    }

    /// What a change means for others, when no lock is held any more.
    fn follow_up(&self, key: &Key, event: &Event) {
        self.telemetry.changed(event);
        if event.kind == ChangeKind::Joined {
            let address = event.instance.address();
            for other in self.places.others(address, key) {
                self.outlive(&other, event.instance.run, address);
            }
        }
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn deadlines(&self) -> MutexGuard<'_, Deadlines<Key>> {
        self.deadlines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// Where to dial.
    pub fn address(&self) -> std::net::SocketAddr {
        self.offer.address()
    }

    /// Publishes it: its address accepted the dial.
    ///
    /// # Errors
    /// The record refuses by now, or there is no room any more.
    pub fn verified(self) -> Result<(Accepted, Revision), Denied> {
        let (offer, ticket) = (Offer::clone(&self.offer), self.ticket);
        let accepted = self.store.update(&self.key, Some(Room::of(&offer)), |record, now, events| {
            let accepted = record.verified(offer, ticket, now)?;
            events.extend_from_slice(&accepted.events);
            Ok(accepted)
        })?;
        Ok((accepted, self.store.journal.head()))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // After `verified` there is nothing left to forget.
        let _ = self.store.update(&self.key, None, |record, _, _| Ok(record.abandon(self.ticket)));
    }
}
