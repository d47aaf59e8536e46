//! The endpoints of one backend, and the backend laid out anew with them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use berth_fleet::{Class, Tier};
use berth_model::{Identity, ServiceName};
use berth_pick::{Eligible, Endpoint};

use super::published::LiveBackend;
use crate::routing::PublicUrl;

/// Everybody whom a backend wants, in the order of their identities.
#[derive(Debug, Default)]
pub(super) struct Entries(BTreeMap<Identity, Entry>);

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) weight: u16,
    /// Where clients reach it without us.
    pub(super) public: Option<PublicUrl>,
    pub(super) class: Class,
}

impl Entry {
    fn is_same(&self, other: &Self) -> bool {
        self.endpoint.key() == other.endpoint.key()
            && (self.weight, &self.public, self.class) == (other.weight, &other.public, other.class)
    }
}

impl Entries {
    /// Puts one in. False: it is there already, and the same.
    pub(super) fn put(&mut self, identity: &Identity, entry: Entry) -> bool {
        if self.0.get(identity).is_some_and(|known| known.is_same(&entry)) {
            return false;
        }
        self.0.insert(identity.clone(), entry);
        true
    }

    /// Says what one may do now. False: it is what it was.
    pub(super) fn classify(&mut self, identity: &Identity, class: Class) -> bool {
        let entry = self.0.get_mut(identity);
        entry.is_some_and(|entry| std::mem::replace(&mut entry.class, class) != class)
    }

    pub(super) fn remove(&mut self, identity: &Identity) {
        self.0.remove(identity);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The services that they are of.
    pub(super) fn services(&self) -> BTreeSet<&ServiceName> {
        self.0.keys().map(|identity| &identity.service).collect()
    }

    /// The backend that follows this one, with whom may be chosen now. Where all were taken in anew it may be the same:
    /// then it is.
    pub(super) fn lay_out(
        &self,
        tier: Tier,
        before: &Arc<LiveBackend>,
        may_be_same: bool,
    ) -> Arc<LiveBackend> {
        let chosen = || self.0.values().filter(|entry| tier.takes(entry.class));
        let reserve: Vec<Arc<Endpoint>> = self
            .0
            .values()
            .filter(|entry| tier.spares(entry.class))
            .map(|entry| Arc::clone(&entry.endpoint))
            .collect();
        if may_be_same && is_same(before, chosen(), &reserve) {
            return Arc::clone(before);
        }
        let eligible: Vec<Eligible> = chosen()
            .map(|entry| Eligible { endpoint: Arc::clone(&entry.endpoint), weight: entry.weight })
            .collect();
        let set = before.chooser.arrange(&before.set, &eligible);
        let urls: HashMap<u64, &PublicUrl> =
            chosen().filter_map(|entry| Some((entry.endpoint.key(), entry.public.as_ref()?))).collect();
        let public = if urls.is_empty() {
            Vec::new()
        } else {
            set.endpoints().iter().map(|endpoint| urls.get(&endpoint.key()).copied().cloned()).collect()
        };
        Arc::new(before.with(set, public, reserve))
    }
}

fn is_same<'e>(
    before: &LiveBackend,
    chosen: impl Iterator<Item = &'e Entry> + Clone,
    reserve: &[Arc<Endpoint>],
) -> bool {
    let keys = |endpoints: &[Arc<Endpoint>]| -> Vec<u64> { endpoints.iter().map(|it| it.key()).collect() };
    if chosen.clone().count() != before.set.len() || keys(&before.reserve) != keys(reserve) {
        return false;
    }
    let known: HashMap<u64, usize> = before.set.endpoints().iter().map(|it| it.key()).zip(0..).collect();
    chosen.into_iter().all(|entry| {
        known.get(&entry.endpoint.key()).is_some_and(|at| {
            before.set.weight(*at) == entry.weight && before.public_url(*at) == entry.public.as_ref()
        })
    })
}
