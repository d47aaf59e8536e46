//! What each source says, and what that comes to.
//!
//! Listed by any source is listed; an end that somebody intended, told by any source, is an end; draining in any source
//! wins. A source that falls silent changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use berth_model::{Change, Identity, Instance, Reason, Snapshot};

use crate::source::{Gone, Source, of_the_same_run, run_key};

/// How long an intended end is remembered: as long as registries tell of it.
const TOMBSTONE_LIFE: Duration = Duration::from_secs(600);

/// Ends that are over are looked for so often, and forgotten so late at most.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Which source: a number that no other source has or had. Later ones have higher numbers.
pub type SourceId = u64;

/// What a source says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// Everything that it lists.
    Snapshot(Snapshot),
    /// What has changed.
    Change(Change),
    /// Nothing: it cannot be reached.
    Away,
}

/// What the sources come to about one identity.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Word {
    Listed {
        instance: Arc<Instance>,
        /// Whether any source says so.
        draining: bool,
        /// Only what was remembered from before the start says so.
        is_remembered: bool,
        /// A source that can be reached says so.
        is_current: bool,
        /// What was said last, where another has listed it.
        gone: Gone,
    },
    Gone(Gone),
}

/// What all sources have said.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    sources: BTreeMap<SourceId, Source>,
    /// Who lists whom. Each server that is named is a source of its own: there may be thousands.
    listing: BTreeMap<Identity, BTreeSet<SourceId>>,
    /// Those that tell of ends.
    telling_ends: BTreeSet<SourceId>,
    /// The newest source that was dropped or is known: what a later one says is kept for when it is wanted.
    newest: SourceId,
    /// The last thing that was said of identities which are not listed, until it was taken in.
    last_words: HashMap<Identity, Gone>,
    /// When ends are looked through.
    sweep_at: Option<Duration>,
    /// Not later than when the first is let go that is held.
    held_until: Option<Duration>,
}

impl Sources {
    /// Forgets all other sources. What they still say is not heard. What only they listed is touched.
    pub(crate) fn keep(&mut self, wanted: &BTreeSet<SourceId>, touched: &mut BTreeSet<Identity>) {
        let dropped = self.sources.keys().filter(|source| !wanted.contains(source)).copied();
        for source in dropped.collect::<Vec<_>>() {
            self.drop_source(source, touched);
        }
        for source in wanted {
            self.sources.entry(*source).or_default();
        }
        self.newest = self.newest.max(wanted.last().copied().unwrap_or_default());
    }

    fn drop_source(&mut self, source: SourceId, touched: &mut BTreeSet<Identity>) -> Option<Source> {
        let dropped = self.sources.remove(&source)?;
        let identities: BTreeSet<Identity> = dropped.identities().cloned().collect();
        self.last_words.extend(identities.iter().map(|identity| (identity.clone(), Gone::Withdrawn)));
        self.note(source, &identities);
        touched.extend(identities);
        Some(dropped)
    }

    /// Notes which of these a source lists now, and what else is looked for.
    fn note(&mut self, id: SourceId, identities: &BTreeSet<Identity>) {
        let source = self.sources.get(&id);
        for identity in identities {
            if source.is_some_and(|source| source.lists(identity).is_some()) {
                self.listing.entry(identity.clone()).or_default().insert(id);
            } else if let Some(listing) = self.listing.get_mut(identity) {
                listing.remove(&id);
                if listing.is_empty() {
                    self.listing.remove(identity);
                }
            }
        }
        if source.is_some_and(Source::tells_of_ends) {
            self.telling_ends.insert(id);
        } else {
            self.telling_ends.remove(&id);
        }
    }

    /// Plans when to look at what is held, of which this source may have more than before.
    fn plan_holding(&mut self, id: SourceId) {
        let held_until = self.sources.get(&id).and_then(Source::held_until);
        self.held_until = self.held_until.into_iter().chain(held_until).min();
    }

    /// Plans when to look at ends.
    fn plan_sweep(&mut self, now: Duration) {
        if !self.telling_ends.is_empty() {
            self.sweep_at.get_or_insert(now + SWEEP_EVERY);
        }
    }

    /// Whether this source has said whom it lists.
    pub(crate) fn has_list(&self, source: SourceId) -> bool {
        self.sources.get(&source).is_some_and(|source| source.epoch.is_some())
    }

    /// Whether none of these can be reached.
    pub(crate) fn are_away(&self, sources: &BTreeSet<SourceId>) -> bool {
        let here = |id: &SourceId| self.sources.get(id).is_some_and(|it| it.epoch.is_some() && !it.is_away);
        !sources.iter().any(here)
    }

    /// Whether any source tells of an end of this run, or of its leaving this place, that was intended.
    pub(crate) fn has_ended(&self, identity: &Identity) -> bool {
        let mut tellers = self.telling_ends.iter().filter_map(|id| self.sources.get(id));
        tellers.any(|source| source.end_of(identity).is_some())
    }

    /// Takes in what a source listed before the start, unless it has said something since.
    pub(crate) fn remember(
        &mut self,
        source: SourceId,
        epoch: Option<u64>,
        instances: Vec<Instance>,
    ) -> BTreeSet<Identity> {
        let touched = instances.iter().map(Instance::identity).collect();
        let known = self.sources.get_mut(&source).filter(|source| source.epoch.is_none());
        if let Some(known) = known {
            known.remembered_epoch = epoch;
            known.remembered.extend(instances.into_iter().map(|it| (it.identity(), Arc::new(it))));
            self.note(source, &touched);
        }
        touched
    }

    /// What a registry lists, with its epoch, to be remembered.
    pub(crate) fn list_of(&self, source: SourceId) -> Option<(u64, Vec<Arc<Instance>>)> {
        let source = self.sources.get(&source)?;
        let held = source.held.values().map(|held| &held.instance);
        Some((source.epoch?, source.listed.values().chain(held).cloned().collect()))
    }

    /// Forgets a registry in whose place others are followed, which have lists by now. If it is none of them, or
    /// one that has begun anew since, whom they do not list yet may be about to register with them.
    pub(crate) fn retire<'s>(
        &mut self,
        now: Duration,
        source: SourceId,
        heirs: impl Iterator<Item = &'s SourceId> + Clone,
        touched: &mut BTreeSet<Identity>,
    ) {
        // What the same registry does not list for us any more is not wanted any more.
        let Some(old) = self.drop_source(source, touched) else { return };
        let of = |heir: &SourceId| self.sources.get(heir);
        let is_of =
            |epoch| heirs.clone().filter_map(of).any(|heir| heir.epoch.is_some() && heir.epoch == epoch);
        let (is_same, was_same) = (is_of(old.epoch), is_of(old.remembered_epoch));
        let Some(id) = heirs.into_iter().next() else { return };
        let Some(heir) = self.sources.get_mut(id) else { return };
        if !is_same {
            heir.hold(now, old.listed, false);
        }
        if !is_same && !was_same {
            heir.hold(now, old.remembered, true);
        }
        for (identity, held) in old.held {
            if !heir.listed.contains_key(&identity) {
                heir.held.entry(identity).or_insert(held);
            }
        }
        for (key, told) in old.ended {
            heir.ended.entry(key).or_insert(told);
        }
        for (identity, told) in old.left {
            heir.left.entry(identity).or_insert(told);
        }
        self.note(*id, touched);
        self.plan_holding(*id);
        self.plan_sweep(now);
    }

    /// Takes in what a source says. `touched` gets those of whom it says anything.
    pub(crate) fn apply(
        &mut self,
        now: Duration,
        id: SourceId,
        said: Said,
        touched: &mut BTreeSet<Identity>,
    ) {
        if !self.sources.contains_key(&id) && id <= self.newest {
            return;
        }
        let source = self.sources.entry(id).or_default();
        let reopened = source.reopened_by(&said);
        let may_hold_more = matches!(said, Said::Snapshot(_));
        match said {
            Said::Snapshot(snapshot) => source.replace(now, snapshot, &mut self.last_words, touched),
            Said::Change(change) => source.change(now, change, &mut self.last_words, touched),
            Said::Away => source.is_away = true,
        }
        self.leave_others(now, id, reopened);
        self.note(id, touched);
        if may_hold_more {
            self.plan_holding(id);
        }
        self.plan_sweep(now);
    }

    /// These runs are there again, where this source says: what others list elsewhere is older news.
    fn leave_others(&mut self, now: Duration, id: SourceId, reopened: Vec<(Identity, Reason)>) {
        let Some(source) = self.sources.get_mut(&id) else { return };
        for (identity, reason) in reopened {
            let there = |it: &&Identity| !source.listed.contains_key(*it);
            let others: Vec<Identity> =
                of_the_same_run(&self.listing, &identity).filter(there).cloned().collect();
            source.left.extend(others.into_iter().map(|other| (other, (reason, now))));
        }
    }

    /// What all sources come to about an identity.
    pub(crate) fn word_on(&self, identity: &Identity) -> Word {
        let gone = self.last_words.get(identity).copied().unwrap_or(Gone::Absent);
        let mut tellers = self.telling_ends.iter().filter_map(|id| self.sources.get(id));
        if let Some(reason) = tellers.find_map(|source| source.end_of(identity)) {
            return Word::Gone(Gone::Ended(reason));
        }
        let mut word: Option<Word> = None;
        for source in self.listing(identity).filter_map(|id| self.sources.get(&id)) {
            let Some((listed, remembered)) = source.lists(identity) else { continue };
            let current = !source.is_away && source.listed.contains_key(identity);
            match &mut word {
                None => {
                    word = Some(Word::Listed {
                        instance: Arc::clone(listed),
                        draining: listed.draining,
                        is_remembered: remembered,
                        is_current: current,
                        gone,
                    });
                }
                Some(Word::Listed { instance, draining, is_remembered, is_current, .. }) => {
                    // Of those that can be heard the first describes it.
                    if current && !*is_current {
                        *instance = Arc::clone(listed);
                    }
                    *draining |= listed.draining;
                    *is_remembered &= remembered;
                    *is_current |= current;
                }
                Some(Word::Gone(_)) => {}
            }
        }
        word.unwrap_or(Word::Gone(gone))
    }

    /// The sources that list an identity.
    pub(crate) fn listing(&self, identity: &Identity) -> impl Iterator<Item = SourceId> {
        self.listing.get(identity).into_iter().flatten().copied()
    }

    /// What was said has been taken in.
    pub(crate) fn forget_last_words(&mut self) {
        self.last_words.clear();
    }

    /// When something changes by itself, because a time is over.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.held_until.into_iter().chain(self.sweep_at).min()
    }

    /// Lets go of what was held or remembered until `now`. `touched` gets those that were held, and those whose end was
    /// remembered, so that they may be listed again.
    pub(crate) fn expire(&mut self, now: Duration, touched: &mut BTreeSet<Identity>) {
        if self.held_until.is_some_and(|at| at <= now) {
            let mut let_go = Vec::new();
            for (id, source) in self.sources.iter_mut().filter(|(_, source)| !source.held.is_empty()) {
                let over = source.held.extract_if(.., |_, held| held.until <= now);
                let_go.push((*id, over.map(|(identity, _)| identity).collect::<BTreeSet<_>>()));
            }
            self.held_until = self.sources.values().filter_map(Source::held_until).min();
            for (id, identities) in let_go {
                self.note(id, &identities);
                touched.extend(identities);
            }
        }
        if self.sweep_at.is_some_and(|at| at <= now) {
            self.sweep(now, touched);
        }
    }

    /// Forgets ends that were told long ago.
    fn sweep(&mut self, now: Duration, touched: &mut BTreeSet<Identity>) {
        let mut runs = HashSet::new();
        for id in self.telling_ends.iter().copied().collect::<Vec<_>>() {
            if let Some(source) = self.sources.get_mut(&id) {
                source.forget_ends(now.saturating_sub(TOMBSTONE_LIFE), &mut runs);
            }
            self.note(id, &BTreeSet::new());
        }
        if !runs.is_empty() {
            touched.extend(self.listing.keys().filter(|it| runs.contains(&run_key(it))).cloned());
        }
        self.sweep_at = (!self.telling_ends.is_empty()).then_some(now + SWEEP_EVERY);
    }
}
