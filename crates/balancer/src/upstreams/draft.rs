//! How a backend becomes the next one: with other endpoints, or under another plan.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use berth_pick::{Eligible, Endpoint, Set};

use super::published::{About, Lasting, LiveBackend, LiveChooser};
use crate::routing::{Backend, Choosing, PublicUrl};

/// What a backend is going to have.
#[derive(Default)]
pub(super) struct Draft {
    endpoints: Vec<(Eligible, Option<PublicUrl>)>,
}

impl Draft {
    pub(super) fn add(&mut self, endpoint: &Arc<Endpoint>, weight: u16, public: Option<PublicUrl>) {
        self.endpoints.push((Eligible { endpoint: Arc::clone(endpoint), weight }, public));
    }

    /// The backend that follows this one; the same if nothing has changed.
    pub(super) fn follow(self, before: &Arc<LiveBackend>) -> Arc<LiveBackend> {
        let is_same = before.set.len() == self.endpoints.len() && {
            let before: HashMap<u64, (u16, Option<&PublicUrl>)> = before
                .set
                .endpoints()
                .iter()
                .enumerate()
                .map(|(index, endpoint)| {
                    (endpoint.key(), (before.set.weight(index), before.public_url(index)))
                })
                .collect();
            self.endpoints.iter().all(|(eligible, public)| {
                before.get(&eligible.endpoint.key()) == Some(&(eligible.weight, public.as_ref()))
            })
        };
        if is_same {
            return Arc::clone(before);
        }
        let eligible: Vec<Eligible> = self.endpoints.iter().map(|(eligible, _)| eligible.clone()).collect();
        let set = before.chooser.arrange(&before.set, &eligible);
        let mut urls: HashMap<u64, PublicUrl> = self
            .endpoints
            .into_iter()
            .filter_map(|(eligible, public)| Some((eligible.endpoint.key(), public?)))
            .collect();
        let public = if urls.is_empty() {
            Vec::new()
        } else {
            set.endpoints().iter().map(|endpoint| urls.remove(&endpoint.key())).collect()
        };
        Arc::new(before.with(set, public))
    }
}

/// A backend without endpoints.
pub(super) fn nobody(
    about: About,
    choosing: &Choosing,
    lasting: Arc<Lasting>,
    entropy: u64,
) -> Arc<LiveBackend> {
    let chooser = Arc::new(LiveChooser::new(choosing, entropy));
    let nobody = LiveBackend::nobody(about, chooser, lasting);
    // Whoever comes before the first endpoint goes by the limits too.
    nobody.admit();
    Arc::new(nobody)
}

/// What the operator says of it.
pub(super) fn about(backend: &Backend) -> About {
    About { subject: backend.subject.as_str().into(), capacity: backend.capacity }
}

/// A backend that goes on under another plan.
pub(super) fn follow(
    before: &Arc<LiveBackend>,
    backend: &Backend,
    lasting: &Arc<Lasting>,
    entropy: u64,
) -> Arc<LiveBackend> {
    let is_same = backend.choosing == before.chooser.choosing;
    let about = about(backend);
    if is_same && before.about == about && Arc::ptr_eq(&before.lasting, lasting) {
        return Arc::clone(before);
    }
    let (chooser, set) = if is_same {
        (Arc::clone(&before.chooser), &before.set)
    } else {
        (Arc::new(LiveChooser::new(&backend.choosing, entropy)), &Set::default())
    };
    let set = chooser.arrange(set, &before.eligible());
    // Public URLs are laid out with the endpoints, which follows.
    Arc::new(LiveBackend::nobody(about, chooser, Arc::clone(lasting)).with(set, Vec::new()))
}

/// Backends with limits that have the members of one which is gone, by their names: a backend that has only been renamed,
/// as it is when its route's path changes. Whoever waits for it goes on waiting.
pub(super) fn heirs<'n>(
    before: &'n [Backend],
    live: &'n [Arc<LiveBackend>],
    next: &'n [Backend],
) -> impl Iterator<Item = (&'n str, &'n Arc<LiveBackend>)> {
    let names = |backends: &'n [Backend]| -> HashSet<&'n str> {
        backends.iter().map(|backend| backend.name.as_str()).collect()
    };
    let (old_names, new_names) = (names(before), names(next));
    let is_own = |backend: &&Backend| backend.capacity.is_limited() && backend.shares_with.is_none();
    let mut gone: Vec<(&Backend, &Arc<LiveBackend>)> = before
        .iter()
        .zip(live)
        .filter(|(it, _)| is_own(it) && !new_names.contains(it.name.as_str()))
        .collect();
    let new = next.iter().filter(move |it| is_own(it) && !old_names.contains(it.name.as_str()));
    new.filter_map(move |new| {
        let is_it = |(old, _): &(&Backend, _)| old.servers == new.servers && old.instances == new.instances;
        let (_, heir) = gone.swap_remove(gone.iter().position(is_it)?);
        Some((new.name.as_str(), heir))
    })
}
