//! Groups of endpoints: who is in them, how many of which class, and how many may be out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use berth_model::Identity;
use berth_pick::Endpoint;

use crate::agenda::Dues;
use crate::checked::{CheckId, Checked};
use crate::choice::{Class, Counts};
use crate::told::Turn;
use crate::tracked::Place;
use crate::{Check, Fleet};

/// A set of endpoints of which never more than half is ejected for failures: a backend, by its name.
pub type Group = Arc<str>;

/// An endpoint's being in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Which.
    pub group: Group,
    /// The check that decides there, if the operator has asked for one.
    pub check: Option<(CheckId, Check)>,
}

/// Who is in a group.
#[derive(Debug, Default)]
pub(crate) struct Members {
    keys: BTreeSet<u64>,
    pub(crate) counts: Counts,
    /// Those that are ejected for failures.
    failing: BTreeSet<u64>,
}

impl Members {
    /// How many could take requests.
    pub(crate) fn able(&self) -> usize {
        [Class::Confirmed, Class::Unconfirmed, Class::Ejected].map(|class| self.counts.of(class)).iter().sum()
    }
}

impl Fleet {
    /// Says in which groups an endpoint is chosen. Whoever has changed has to be placed, if only nowhere.
    pub fn place(
        &mut self,
        now: Duration,
        identity: &Identity,
        endpoint: &Arc<Endpoint>,
        memberships: Vec<Membership>,
    ) {
        let Some(tracked) = self.endpoints.get_mut(identity) else { return };
        let is_same =
            |place: &Place| place.endpoint.key() == endpoint.key() && place.memberships == memberships;
        if tracked.place.as_ref().is_some_and(is_same) {
            return;
        }
        let before = tracked.place.as_ref().map(|place| place.endpoint.key());
        match before.filter(|before| *before != endpoint.key()) {
            Some(before) => self.forget_key(identity, before),
            None if before.is_none() => {
                // Nobody has taken these while it was away, and whoever comes back begins anew.
                drop(endpoint.signals().take());
                endpoint.signals().give_up(false);
            }
            None => {}
        }
        let (left, mut known) = self.leave_groups(identity);
        if memberships.is_empty() {
            self.unplace(now, identity, before);
            return left.iter().for_each(|group| self.hold_to_half(now, group));
        }
        let mut checks = Vec::<Checked>::new();
        for (id, check) in memberships.iter().filter_map(|it| it.check) {
            if checks.iter().all(|it| it.id != id) {
                let is_it = |known: &Checked| known.id == id;
                let known = known.iter().position(is_it).map(|at| known.swap_remove(at));
                checks.push(known.unwrap_or_else(|| Checked::new(now, id, check, &mut self.chance)));
            }
        }
        let key = endpoint.key();
        for membership in &memberships {
            let group = self.groups.entry(Arc::clone(&membership.group)).or_default();
            group.keys.insert(key);
            group.counts.add(Class::Barred);
        }
        self.keys.insert(key, identity.clone());
        let classes = vec![Class::Barred; memberships.len()];
        if let Some(tracked) = self.endpoints.get_mut(identity) {
            tracked.place = Some(Place { endpoint: Arc::clone(endpoint), memberships, classes, checks });
        }
        self.settle(now, identity);
        left.iter().for_each(|group| self.hold_to_half(now, group));
    }

    /// Nobody wants this endpoint any more, which had this key.
    fn unplace(&mut self, now: Duration, identity: &Identity, key: Option<u64>) {
        key.into_iter().for_each(|key| self.forget_key(identity, key));
        self.settle(now, identity);
    }

    /// An endpoint is not known by this key any more.
    pub(crate) fn forget_key(&mut self, identity: &Identity, key: u64) {
        self.keys.remove(&key);
        self.watched.remove(&key);
        if let Some(tracked) = self.endpoints.get_mut(identity) {
            self.agenda.plan(key, std::mem::take(&mut tracked.due), Dues::default());
            tracked.forget_endpoint();
        }
    }

    /// Takes an endpoint out of its groups, of which the rest is to be held to half. Returns what its checks have come
    /// to.
    pub(crate) fn leave_groups(&mut self, identity: &Identity) -> (Vec<Group>, Vec<Checked>) {
        let place = self.endpoints.get_mut(identity).and_then(|tracked| tracked.place.take());
        let Some(place) = place else { return (Vec::new(), Vec::new()) };
        let key = place.endpoint.key();
        for (membership, class) in place.memberships.iter().zip(&place.classes) {
            if let Some(group) = self.groups.get_mut(&membership.group) {
                group.keys.remove(&key);
                group.failing.remove(&key);
                group.counts.take(*class);
                if group.keys.is_empty() {
                    self.groups.remove(&membership.group);
                }
            }
        }
        let groups = place.memberships.into_iter().map(|membership| membership.group);
        (groups.collect(), place.checks)
    }

    /// Goes by what an endpoint is now: plans what is due there, counts it in its groups, and tells of what has changed.
    pub(crate) fn settle(&mut self, now: Duration, identity: &Identity) {
        let Some(tracked) = self.endpoints.get_mut(identity) else { return };
        tracked.plan(now, &mut self.chance);
        if let Some((from, to, why)) = tracked.turn(now) {
            self.turns.push(Turn { identity: identity.clone(), from, to: Some(to), why });
            self.changed.insert(identity.clone());
        }
        let next = tracked.next(now);
        let Some(key) = tracked.key() else { return };
        let before = std::mem::replace(&mut tracked.due, next);
        self.agenda.plan(key, before, next);
        self.count(now, identity, key);
    }

    /// Counts an endpoint in its groups by what it is now.
    fn count(&mut self, now: Duration, identity: &Identity, key: u64) {
        let Some(tracked) = self.endpoints.get_mut(identity) else { return };
        let is_failing = tracked.ejection.is_some_and(|ejection| ejection.is_for_failures());
        let memberships = tracked.place.iter().flat_map(|place| &place.memberships);
        let classes: Vec<Class> = memberships.map(|it| tracked.class(it.check.map(|(id, _)| id))).collect();
        let Some(place) = &mut tracked.place else { return };
        let before = std::mem::replace(&mut place.classes, classes);
        let mut shrunk = Vec::new();
        for ((membership, before), class) in place.memberships.iter().zip(before).zip(&place.classes) {
            let Some(group) = self.groups.get_mut(&membership.group) else { continue };
            if before != *class {
                group.counts.take(before);
                group.counts.add(*class);
                self.changed.insert(identity.clone());
            }
            if is_failing && *class != Class::Barred {
                group.failing.insert(key);
            } else {
                group.failing.remove(&key);
            }
            if 2 * group.failing.len() > group.able() {
                shrunk.push(Arc::clone(&membership.group));
            }
        }
        shrunk.iter().for_each(|group| self.hold_to_half(now, group));
    }

    /// Brings back who is out for failures, where others have left and they would be more than half.
    pub(crate) fn hold_to_half(&mut self, now: Duration, group: &Group) {
        let Some(members) = self.groups.get(group).filter(|it| 2 * it.failing.len() > it.able()) else {
            return;
        };
        let out = |key: &u64| {
            let identity = self.keys.get(key)?;
            Some((self.endpoints.get(identity)?.ejection?.since(), identity.clone()))
        };
        let Some((_, longest)) = members.failing.iter().filter_map(out).min() else { return };
        if let Some(tracked) = self.endpoints.get_mut(&longest) {
            tracked.ejection = None;
        }
        self.settle(now, &longest);
    }

    /// Whether a group would be without anybody who is confirmed.
    pub(crate) fn is_needed(&self, identity: &Identity) -> bool {
        let place = self.endpoints.get(identity).and_then(|tracked| tracked.place.as_ref());
        let alone = |group: &Members| group.counts.of(Class::Confirmed) == 0;
        place.is_some_and(|place| {
            let groups = place.memberships.iter().zip(&place.classes);
            let mut may_be_chosen = groups.filter(|(_, class)| **class != Class::Barred);
            may_be_chosen.any(|(it, _)| self.groups.get(&it.group).is_some_and(alone))
        })
    }
}
