//! Who is a member: what all sources say, united. Pure: the time is an argument.
//!
//! Listed by any source is present; an end that somebody intended, told by any source, is an end; draining in
//! any source wins. A source that falls silent changes nothing.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use berth_client::Update;
use berth_model::{Change, ChangeKind, Identity, Instance, InstanceId, Reason, Run, ServiceName, Snapshot};

/// After a registry's new epoch, absence means nothing for so long, or for the lease's length if that is longer:
/// whoever lives has then registered again.
const NEW_EPOCH_GRACE: Duration = Duration::from_secs(15);

/// How long an intended end is remembered: as long as registries tell of it.
const TOMBSTONE_LIFE: Duration = Duration::from_secs(600);

/// Which source: a number that no other source has or had. Later ones have higher numbers.
pub(crate) type SourceId = u64;

/// One member and what was said of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    /// As the source that was heard last describes it.
    pub(crate) instance: Instance,
    /// Whether any source says so.
    pub(crate) draining: bool,
    /// The sources that list it, if it is a server that is named; of what registries list it does not matter.
    pub(crate) sources: Vec<SourceId>,
}

/// Why a member is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// A registry said that the run ended.
    Ended(Reason),
    /// No registry lists it any more.
    Absent,
}

impl Gone {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Gone::Ended(reason) => reason.as_str(),
            Gone::Absent => "absent",
        }
    }
}

/// What all sources have said.
#[derive(Debug)]
pub(crate) struct Members {
    sources: BTreeMap<SourceId, Source>,
    /// The newest source that was dropped or is known: what a later one says is kept for when it is wanted.
    newest: SourceId,
    /// The last thing that was said of a run which is no longer listed.
    last_words: HashMap<RunKey, Gone>,
}

#[derive(Debug, Default)]
struct Source {
    epoch: Option<u64>,
    listed: HashMap<Identity, Instance>,
    /// Not listed since a new epoch began, and kept until then.
    held: HashMap<Identity, (Instance, Duration)>,
    /// Ends that were intended, and when they were told.
    ended: HashMap<RunKey, Duration>,
}

type RunKey = (ServiceName, InstanceId, Run);

fn run_key(instance: &Instance) -> RunKey {
    (instance.service.clone(), instance.id.clone(), instance.run)
}

impl Members {
    pub(crate) fn new(sources: impl IntoIterator<Item = SourceId>) -> Self {
        let mut members = Self { sources: BTreeMap::new(), newest: 0, last_words: HashMap::new() };
        members.keep(&sources.into_iter().collect());
        members
    }

    /// Forgets all other sources. What they still say is not heard.
    pub(crate) fn keep(&mut self, wanted: &BTreeSet<SourceId>) {
        self.sources.retain(|source, _| wanted.contains(source));
        for source in wanted {
            self.sources.entry(*source).or_default();
        }
        self.newest = self.newest.max(wanted.last().copied().unwrap_or_default());
    }

    /// Whether this source has said whom it lists.
    pub(crate) fn has_list(&self, source: SourceId) -> bool {
        self.sources.get(&source).is_some_and(|source| source.epoch.is_some())
    }

    /// Forgets a registry in whose place others are followed, which have lists by now. If it is none of them, or
    /// one that has begun anew since, whom they do not list yet may be about to register with them.
    pub(crate) fn retire<'s>(
        &mut self,
        now: Duration,
        source: SourceId,
        heirs: impl Iterator<Item = &'s SourceId> + Clone,
    ) {
        let Some(old) = self.sources.remove(&source) else { return };
        let of = |heir: &SourceId| self.sources.get(heir);
        let is_same = heirs.clone().filter_map(of).any(|heir| heir.epoch == old.epoch);
        let Some(heir) = heirs.into_iter().next().and_then(|heir| self.sources.get_mut(heir)) else { return };
        if !is_same {
            heir.hold(now, old.listed);
        }
        for (identity, held) in old.held {
            if !heir.listed.contains_key(&identity) {
                heir.held.entry(identity).or_insert(held);
            }
        }
        for (key, told) in old.ended {
            heir.ended.entry(key).or_insert(told);
        }
    }

    /// Takes in what a source says. True if the list of members may have changed.
    pub(crate) fn apply(&mut self, now: Duration, source: SourceId, update: Update) -> bool {
        if !self.sources.contains_key(&source) && source <= self.newest {
            return false;
        }
        let source = self.sources.entry(source).or_default();
        match update {
            Update::Snapshot(snapshot) => source.replace(now, snapshot, &mut self.last_words),
            Update::Change(change) => source.change(now, change, &mut self.last_words),
            Update::Away { .. } => return false,
        }
        true
    }

    /// All members, by identity.
    pub(crate) fn list(&self) -> BTreeMap<Identity, Member> {
        let mut members: BTreeMap<Identity, Member> = BTreeMap::new();
        // Each upstream of the command line is a source, and none of them tells of ends.
        let ended: Vec<_> =
            self.sources.values().map(|source| &source.ended).filter(|it| !it.is_empty()).collect();
        for (id, source) in &self.sources {
            let held = source.held.iter().map(|(identity, (instance, _))| (identity, instance));
            for (identity, instance) in source.listed.iter().chain(held) {
                if !ended.is_empty() && ended.iter().any(|ended| ended.contains_key(&run_key(instance))) {
                    continue;
                }
                let member = members.entry(identity.clone()).or_insert_with(|| Member {
                    instance: instance.clone(),
                    draining: false,
                    sources: Vec::new(),
                });
                member.draining |= instance.draining;
                if instance.run == Run::STATIC {
                    member.sources.push(*id);
                }
            }
        }
        members
    }

    /// Why a run that was a member is gone, as far as it was told since the last [`Self::forget_last_words`].
    pub(crate) fn why_gone(&self, identity: &Identity) -> Gone {
        let key = (identity.service.clone(), identity.id.clone(), identity.run);
        self.last_words.get(&key).copied().unwrap_or(Gone::Absent)
    }

    /// The reasons have been told; they are not kept.
    pub(crate) fn forget_last_words(&mut self) {
        self.last_words.clear();
    }

    /// When something changes by itself, because a time is over.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let held = self.sources.values().flat_map(|source| source.held.values()).map(|(_, until)| *until);
        let ended =
            self.sources.values().flat_map(|source| source.ended.values()).map(|told| *told + TOMBSTONE_LIFE);
        held.chain(ended).min()
    }

    /// Lets go of what was held or remembered until `now`. True if the list of members may have changed.
    pub(crate) fn expire(&mut self, now: Duration) -> bool {
        let mut changed = false;
        for source in self.sources.values_mut() {
            let before = source.held.len() + source.ended.len();
            source.held.retain(|_, (_, until)| *until > now);
            source.ended.retain(|_, told| now.saturating_sub(*told) < TOMBSTONE_LIFE);
            changed |= source.held.len() + source.ended.len() != before;
        }
        changed
    }
}

impl Source {
    fn replace(&mut self, now: Duration, snapshot: Snapshot, last_words: &mut HashMap<RunKey, Gone>) {
        let new_epoch = self.epoch.is_some_and(|epoch| epoch != snapshot.revision.epoch);
        self.epoch = Some(snapshot.revision.epoch);
        let mut missing = std::mem::take(&mut self.listed);
        for instance in snapshot.instances {
            self.list(instance);
        }
        missing.retain(|identity, _| !self.listed.contains_key(identity));
        let mut ended: HashMap<RunKey, Reason> =
            snapshot.ended.into_iter().map(|end| ((end.service, end.id, end.run), end.reason)).collect();
        // A run that is listed all the same came back after its end.
        for instance in self.listed.values() {
            ended.remove(&run_key(instance));
        }
        missing.retain(|_, instance| !ended.contains_key(&run_key(instance)));
        self.held.retain(|_, (instance, _)| !ended.contains_key(&run_key(instance)));
        for (key, reason) in ended {
            self.note_end(now, key, reason, last_words);
        }
        if new_epoch {
            self.hold(now, missing);
        }
    }

    /// Keeps for a while whoever is not listed since a new epoch began.
    fn hold(&mut self, now: Duration, missing: HashMap<Identity, Instance>) {
        for (identity, instance) in missing {
            if !self.listed.contains_key(&identity) {
                let until = now + NEW_EPOCH_GRACE.max(instance.ttl_s.duration());
                self.held.entry(identity).or_insert((instance, until));
            }
        }
    }

    fn change(&mut self, now: Duration, change: Change, last_words: &mut HashMap<RunKey, Gone>) {
        match change.kind {
            ChangeKind::Joined | ChangeKind::Changed => self.list(change.instance),
            ChangeKind::Left => {
                let identity = change.instance.identity();
                self.listed.remove(&identity);
                self.held.remove(&identity);
                // Without a reason it did not end: it is not wanted any more.
                if let Some(reason) = change.reason {
                    self.note_end(now, run_key(&change.instance), reason, last_words);
                }
            }
        }
    }

    fn list(&mut self, instance: Instance) {
        let identity = instance.identity();
        self.held.remove(&identity);
        // The same registry lists the run again after it told of its end: the later word counts.
        self.ended.remove(&run_key(&instance));
        self.listed.insert(identity, instance);
    }

    fn note_end(
        &mut self,
        now: Duration,
        key: RunKey,
        reason: Reason,
        last_words: &mut HashMap<RunKey, Gone>,
    ) {
        last_words.insert(key.clone(), Gone::Ended(reason));
        if reason.is_intent() {
            self.ended.insert(key, now);
        }
    }
}
