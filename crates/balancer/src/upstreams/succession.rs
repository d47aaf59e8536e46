//! How a backend becomes the next one under another plan.

use std::collections::HashSet;
use std::sync::Arc;

use berth_pick::Set;

use super::published::{About, Lasting, LiveBackend, LiveChooser};
use crate::routing::{Backend, Choosing};

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
    Arc::new(LiveBackend::nobody(about, chooser, Arc::clone(lasting)).with(
        set,
        Vec::new(),
        before.reserve.clone(),
    ))
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
