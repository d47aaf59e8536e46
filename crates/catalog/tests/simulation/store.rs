//! A catalog as the registry's store composes one: a map of records, their deadlines, the log, and who is where.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use berth_catalog::{Deadlines, Event, LinkId, Offer, Record, Refusal, Step, Suspect, Ticket};
use berth_model::{ChangeKind, Patch, Run};

use super::Key;
use super::history::History;
use super::seen::{Put, Told};

#[derive(Default)]
pub(crate) struct Store {
    pub(crate) records: BTreeMap<Key, Record>,
    pub(crate) history: History,
    /// What happened since it was last taken.
    pub(crate) told: Vec<Told>,
    pub(crate) dials: Vec<(Ticket, Key, Offer)>,
    pub(crate) dial_backs: Vec<(Key, Suspect)>,
    pub(crate) links: Vec<(LinkId, BTreeSet<Key>)>,
    pub(crate) deadlines: Deadlines<Key>,
    addresses: BTreeMap<SocketAddr, BTreeSet<Key>>,
}

impl Store {
    pub(crate) fn put(
        &mut self,
        id: Key,
        offer: Offer,
        ticket: Ticket,
        now: Duration,
    ) -> Result<Put, Refusal> {
        let step = self.update(id, now, |record, events| {
            let step = record.register(offer, ticket, now)?;
            if let Step::Accepted(accepted) = &step {
                events.extend_from_slice(&accepted.events);
            }
            Ok(step)
        })?;
        Ok(match step {
            Step::Accepted(accepted) => {
                Put::Published { run: accepted.instance.run, joined: accepted.joined }
            }
            Step::Dial(offer) => {
                self.dials.push((ticket, id, *offer));
                Put::Dialled
            }
        })
    }

    pub(crate) fn verified(
        &mut self,
        id: Key,
        offer: Offer,
        ticket: Ticket,
        now: Duration,
    ) -> Result<Put, Refusal> {
        self.update(id, now, |record, events| {
            let accepted = record.verified(offer, ticket, now)?;
            events.extend(accepted.events);
            Ok(Put::Published { run: accepted.instance.run, joined: accepted.joined })
        })
    }

    pub(crate) fn abandon(&mut self, id: Key, ticket: Ticket, now: Duration) -> bool {
        self.update(id, now, |record, _| record.abandon(ticket))
    }

    pub(crate) fn renew(&mut self, id: Key, run: Run, now: Duration) -> Result<(), Refusal> {
        self.update(id, now, |record, _| record.renew(run, now).map(drop))
    }

    pub(crate) fn patch(&mut self, id: Key, patch: &Patch, now: Duration) -> Result<(), Refusal> {
        self.update(id, now, |record, events| {
            let (instance, event, _) = record.patch(patch, now)?;
            assert_eq!(record.live(), Some(&instance));
            events.extend(event);
            Ok(())
        })
    }

    pub(crate) fn end(&mut self, id: Key, run: Option<Run>, now: Duration) -> Result<(), Refusal> {
        self.update(id, now, |record, events| {
            events.extend(record.end(run, now)?);
            Ok(())
        })
    }

    /// The owner's link names this run; what is pending is the first thing that it hears.
    pub(crate) fn hold(&mut self, id: Key, run: Run, link: LinkId, now: Duration) -> Result<Patch, Refusal> {
        let pending = self.update(id, now, |record, _| record.hold(run, link, now))?;
        let held = self.links.iter_mut().find(|(open, _)| *open == link).unwrap();
        held.1.insert(id);
        Ok(pending.unwrap_or_default())
    }

    /// A record of a link that broke. A later run at its address tells at once; otherwise it is dialled back.
    pub(crate) fn lose(&mut self, id: Key, link: LinkId, now: Duration) -> Option<Suspect> {
        let suspect = self.update(id, now, |record, _| record.lose(link))?;
        let others = self.addresses[&suspect.address].iter().filter(|other| **other != id);
        let latest = others.map(|other| self.records[other].live().unwrap().run).max();
        let is_outlived = latest.is_some_and(|later| {
            self.update(id, now, |record, events| {
                events.extend(record.outlived(later, suspect.address, now));
                !events.is_empty()
            })
        });
        if !is_outlived {
            self.dial_backs.push((id, suspect));
        }
        Some(suspect)
    }

    pub(crate) fn refused(&mut self, id: Key, suspect: Suspect, now: Duration) {
        self.update(id, now, |record, events| events.extend(record.refused(suspect, now)));
    }

    pub(crate) fn evict(&mut self, now: Duration) {
        let mut looked_at = BTreeSet::new();
        while let Some((at, id)) = self.deadlines.pop_due(now) {
            assert!(self.records.contains_key(&id), "a deadline of a record that went");
            assert!(looked_at.insert(id), "looked at {id} for ever");
            self.update(id, now, |record, events| {
                record.dequeued(at);
                events.extend(record.expire(now));
            });
        }
    }

    /// The one way to change a record: its events are logged, it is queued, and dropped when it is empty.
    fn update<T>(
        &mut self,
        id: Key,
        now: Duration,
        act: impl FnOnce(&mut Record, &mut Vec<Event>) -> T,
    ) -> T {
        let mut events = Vec::new();
        let record = self.records.entry(id).or_default();
        let outcome = act(record, &mut events);
        if let Some(recheck) = record.recheck() {
            self.deadlines.queue(&id, recheck);
        }
        if record.is_empty() {
            self.records.remove(&id);
        }
        for event in events {
            self.note(id, event, now);
        }
        outcome
    }

    fn note(&mut self, id: Key, event: Event, now: Duration) {
        self.told.push(Told::of(id, &event));
        let (run, address) = (event.instance.run, event.instance.address());
        let kind = event.kind;
        self.history.append(event);
        match kind {
            ChangeKind::Joined => {
                let here = self.addresses.entry(address).or_default();
                let others: Vec<Key> = here.iter().copied().collect();
                assert!(here.insert(id));
                for other in others {
                    self.update(other, now, |record, events| {
                        events.extend(record.outlived(run, address, now));
                    });
                }
            }
            ChangeKind::Left => assert!(self.addresses.get_mut(&address).unwrap().remove(&id)),
            ChangeKind::Changed => {}
        }
    }
}
