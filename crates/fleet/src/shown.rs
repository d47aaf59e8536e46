//! What is asked of a fleet.

use std::collections::BTreeSet;
use std::sync::Arc;

use berth_model::{Identity, Instance};

use crate::choice::{Class, Tier};
use crate::sources::SourceId;
use crate::told::{Turn, View};
use crate::{Counts, Fleet};

/// One that some source lists, or that is believed to live all the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Member<'f> {
    /// As the source that was heard last describes it.
    pub instance: &'f Arc<Instance>,
    /// Whether any source says that it drains.
    pub is_draining: bool,
}

impl Fleet {
    /// Everybody, by identity.
    pub fn identities(&self) -> impl Iterator<Item = &Identity> {
        self.endpoints.keys()
    }

    /// One of them; none if it is gone.
    pub fn member(&self, identity: &Identity) -> Option<Member<'_>> {
        let tracked = self.endpoints.get(identity)?;
        Some(Member { instance: &tracked.instance, is_draining: tracked.is_draining() })
    }

    /// Whether one of them has a place and its endpoint this key.
    pub fn has(&self, key: u64) -> bool {
        self.keys.contains_key(&key)
    }

    /// Whether no registry can be reached.
    pub fn are_registries_away(&self) -> bool {
        self.sources.are_away(&self.registries)
    }

    /// Whether this source can be reached and has said whom it lists.
    pub fn is_heard(&self, source: SourceId) -> bool {
        !self.sources.are_away(&BTreeSet::from([source]))
    }

    /// The sources that list it.
    pub fn listing(&self, identity: &Identity) -> impl Iterator<Item = SourceId> {
        self.sources.listing(identity)
    }

    /// What it is in each of the groups that it was placed in, in their order.
    pub fn classes(&self, identity: &Identity) -> &[Class] {
        let place = self.endpoints.get(identity).and_then(|tracked| tracked.place.as_ref());
        place.map_or(&[], |place| &place.classes)
    }

    /// Who takes the requests of a group.
    pub fn tier(&self, group: &str) -> Tier {
        self.groups.get(group).map_or(Counts::default().tier(), |members| members.counts.tier())
    }

    /// What is to be shown of an endpoint.
    pub fn view(&self, identity: &Identity) -> Option<View> {
        self.endpoints.get(identity).map(|tracked| tracked.view())
    }

    /// Those of whom something has changed since the last time: what is said of them, what they may do, or that they are
    /// there.
    pub fn take_changed(&mut self) -> BTreeSet<Identity> {
        std::mem::take(&mut self.changed)
    }

    /// What has become of endpoints since the last time, in order.
    pub fn take_turns(&mut self) -> Vec<Turn> {
        std::mem::take(&mut self.turns)
    }

    /// Whether an endpoint was given up since the last time: whoever waits for its answer had better look.
    pub fn take_given_up(&mut self) -> bool {
        std::mem::take(&mut self.has_given_up)
    }
}
