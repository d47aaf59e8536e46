//! What each source says, and what that comes to.
//!
//! Listed by any source is listed; an end that somebody intended, told by any source, is an end; draining in any source
//! wins. A source that falls silent changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use berth_model::{Change, Identity, Instance, Snapshot};

use crate::source::{Gone, Source, run_key};

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
    },
    Gone(Gone),
}

/// What all sources have said.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    sources: BTreeMap<SourceId, Source>,
    /// The newest source that was dropped or is known: what a later one says is kept for when it is wanted.
    newest: SourceId,
    /// The last thing that was said of identities which are not listed, until it was taken in.
    last_words: HashMap<Identity, Gone>,
    /// When ends are looked through.
    sweep_at: Option<Duration>,
}

impl Sources {
    /// Forgets all other sources. What they still say is not heard. What only they listed is touched.
    pub(crate) fn keep(&mut self, wanted: &BTreeSet<SourceId>, touched: &mut BTreeSet<Identity>) {
        for (_, dropped) in self.sources.extract_if(.., |source, _| !wanted.contains(source)) {
            for identity in dropped.identities() {
                self.last_words.insert(identity.clone(), Gone::Withdrawn);
                touched.insert(identity.clone());
            }
        }
        for source in wanted {
            self.sources.entry(*source).or_default();
        }
        self.newest = self.newest.max(wanted.last().copied().unwrap_or_default());
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

    /// Takes in what a source listed before the start, unless it has said something since.
    pub(crate) fn remember(&mut self, source: SourceId, epoch: Option<u64>, instances: Vec<Instance>) {
        let Some(source) = self.sources.get_mut(&source).filter(|source| source.epoch.is_none()) else {
            return;
        };
        source.remembered_epoch = epoch;
        source.remembered.extend(instances.into_iter().map(|it| (it.identity(), Arc::new(it))));
    }

    /// What a registry lists, with its epoch, to be remembered.
    pub(crate) fn list_of(&self, source: SourceId) -> Option<(Option<u64>, Vec<Arc<Instance>>)> {
        let source = self.sources.get(&source)?;
        let listed = if source.epoch.is_some() { &source.listed } else { &source.remembered };
        let held = source.held.values().map(|held| &held.instance);
        Some((source.epoch.or(source.remembered_epoch), listed.values().chain(held).cloned().collect()))
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
        let Some(old) = self.sources.remove(&source) else { return };
        let of = |heir: &SourceId| self.sources.get(heir);
        let is_same = heirs.clone().filter_map(of).any(|heir| heir.epoch == old.epoch);
        touched.extend(old.identities().cloned());
        // What the same registry does not list for us any more is not wanted any more.
        let withdrawn = old.identities().map(|identity| (identity.clone(), Gone::Withdrawn));
        self.last_words.extend(withdrawn);
        let Some(heir) = heirs.into_iter().next().and_then(|heir| self.sources.get_mut(heir)) else { return };
        if !is_same {
            heir.hold(now, old.listed, false);
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

    /// Takes in what a source says. `touched` gets those of whom it says anything.
    pub(crate) fn apply(
        &mut self,
        now: Duration,
        source: SourceId,
        said: Said,
        touched: &mut BTreeSet<Identity>,
    ) {
        if !self.sources.contains_key(&source) && source <= self.newest {
            return;
        }
        let source = self.sources.entry(source).or_default();
        match said {
            Said::Snapshot(snapshot) => source.replace(now, snapshot, &mut self.last_words, touched),
            Said::Change(change) => source.change(now, change, &mut self.last_words, touched),
            Said::Away => source.is_away = true,
        }
        if !source.ended.is_empty() {
            self.sweep_at.get_or_insert(now + SWEEP_EVERY);
        }
    }

    /// What all sources come to about an identity.
    pub(crate) fn word_on(&self, identity: &Identity) -> Word {
        let gone = || Word::Gone(self.last_words.get(identity).copied().unwrap_or(Gone::Absent));
        // Each upstream of the command line is a source, and none of them tells of ends.
        let mut tells_of_ends = self.sources.values().filter(|source| !source.ended.is_empty()).peekable();
        if tells_of_ends.peek().is_some() {
            let key = run_key(identity);
            if let Some((reason, _)) = tells_of_ends.find_map(|source| source.ended.get(&key)) {
                return Word::Gone(Gone::Ended(*reason));
            }
        }
        let mut word: Option<Word> = None;
        for source in self.sources.values() {
            let Some((listed, remembered)) = source.lists(identity) else { continue };
            let current = !source.is_away && source.listed.contains_key(identity);
            match &mut word {
                None => {
                    word = Some(Word::Listed {
                        instance: Arc::clone(listed),
                        draining: listed.draining,
                        is_remembered: remembered,
                        is_current: current,
                    });
                }
                Some(Word::Listed { draining, is_remembered, is_current, .. }) => {
                    *draining |= listed.draining;
                    *is_remembered &= remembered;
                    *is_current |= current;
                }
                Some(Word::Gone(_)) => {}
            }
        }
        word.unwrap_or_else(gone)
    }

    /// The sources that list an identity.
    pub(crate) fn listing<'s>(&'s self, identity: &'s Identity) -> impl Iterator<Item = SourceId> + 's {
        let lists = |source: &Source| source.lists(identity).is_some();
        self.sources.iter().filter(move |(_, source)| lists(source)).map(|(id, _)| *id)
    }

    /// What was said has been taken in.
    pub(crate) fn forget_last_words(&mut self) {
        self.last_words.clear();
    }

    /// When something changes by itself, because a time is over.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let held = self.sources.values().flat_map(|source| source.held.values()).map(|held| held.until);
        held.chain(self.sweep_at).min()
    }

    /// Lets go of what was held or remembered until `now`. `touched` gets those that were held. True if ends were
    /// forgotten, so that anybody may be listed again.
    pub(crate) fn expire(&mut self, now: Duration, touched: &mut BTreeSet<Identity>) -> bool {
        for source in self.sources.values_mut() {
            touched.extend(source.held.extract_if(|_, held| held.until <= now).map(|(identity, _)| identity));
        }
        if self.sweep_at.is_none_or(|at| at > now) {
            return false;
        }
        let ends = |sources: &BTreeMap<_, Source>| sources.values().map(|it| it.ended.len()).sum::<usize>();
        let before = ends(&self.sources);
        for source in self.sources.values_mut() {
            source.ended.retain(|_, (_, told)| now.saturating_sub(*told) < TOMBSTONE_LIFE);
        }
        let left = ends(&self.sources);
        self.sweep_at = (left > 0).then_some(now + SWEEP_EVERY);
        left < before
    }
}
