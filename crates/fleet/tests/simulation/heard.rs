//! What the balancer has heard, read simply: DESIGN's paragraph on several registries, and that on a new epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use berth_fleet::{Said, SourceId};
use berth_model::{ChangeKind, Identity, Instance, Reason, Run};

/// Why a source does not list somebody any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    Crashed,
    Expired,
    Absent,
    Withdrawn,
    Intended,
}

#[derive(Clone, Debug)]
struct Entry {
    instance: Instance,
    /// None if it is listed; else it is not since a new epoch began, and this is over then.
    until: Option<Duration>,
    is_remembered: bool,
}

#[derive(Debug, Default)]
struct Source {
    epoch: Option<u64>,
    remembered_epoch: Option<u64>,
    is_away: bool,
    entries: BTreeMap<Identity, Entry>,
    ended_runs: BTreeSet<(String, Run)>,
    left_places: BTreeSet<Identity>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Intended,
    Listed {
        is_draining: bool,
    },
    /// Only in the state file.
    Remembered {
        is_draining: bool,
    },
    Unlisted,
}

#[derive(Debug, Default)]
pub(crate) struct Heard {
    sources: BTreeMap<SourceId, Source>,
}

fn run_of(identity: &Identity) -> (String, Run) {
    (format!("{}/{}", identity.service, identity.id), identity.run)
}

fn dropped(reason: Reason) -> Dropped {
    match reason {
        Reason::Crashed => Dropped::Crashed,
        Reason::Expired => Dropped::Expired,
        _ => Dropped::Intended,
    }
}

impl Heard {
    pub(crate) fn keep(&mut self, wanted: &BTreeSet<SourceId>) -> Vec<(Identity, Dropped)> {
        let mut gone = Vec::new();
        self.sources.retain(|id, source| {
            let is_wanted = wanted.contains(id);
            if !is_wanted {
                gone.extend(source.entries.keys().map(|it| (it.clone(), Dropped::Withdrawn)));
            }
            is_wanted
        });
        for id in wanted {
            self.sources.entry(*id).or_default();
        }
        gone
    }

    pub(crate) fn remember(&mut self, id: SourceId, epoch: u64, listed: &[Instance]) {
        let source = self.sources.get_mut(&id).unwrap();
        source.remembered_epoch = Some(epoch);
        let entry = |instance: Instance| Entry { instance, until: None, is_remembered: true };
        source.entries.extend(listed.iter().map(|it| (it.identity(), entry(it.clone()))));
    }

    /// Whether none of the registries can be asked.
    pub(crate) fn all_away(&self) -> bool {
        let mut registries = self.sources.iter().filter(|(id, _)| **id < 100);
        !registries.any(|(_, source)| source.epoch.is_some() && !source.is_away)
    }

    /// Takes in what is said. Returns whom the source does not list any more.
    pub(crate) fn take(&mut self, now: Duration, id: SourceId, said: &Said) -> Vec<(Identity, Dropped)> {
        let all = self.identities();
        let Some(source) = self.sources.get_mut(&id) else { return Vec::new() };
        source.is_away = *said == Said::Away;
        let ended_before = source.ended_runs.clone();
        let gone = source.take(now, said);
        // A run that is there again is where it is said to be, and nowhere else.
        let is_again =
            |it: &&Identity| ended_before.contains(&run_of(it)) && !source.ended_runs.contains(&run_of(it));
        let elsewhere = all.iter().filter(is_again).filter(|it| !source.entries.contains_key(it));
        let elsewhere: Vec<_> = elsewhere.cloned().collect();
        source.left_places.extend(elsewhere);
        gone
    }

    /// Lets go of those whose grace is over.
    pub(crate) fn expire(&mut self, now: Duration) -> Vec<(Identity, Dropped)> {
        let is_over = |_: &Identity, it: &mut Entry| it.until.is_some_and(|until| until <= now);
        let sources = self.sources.values_mut();
        let over = sources.flat_map(|source| source.entries.extract_if(.., is_over).collect::<Vec<_>>());
        over.map(|(identity, _)| (identity, Dropped::Absent)).collect()
    }

    pub(crate) fn word(&self, identity: &Identity) -> Word {
        let run = run_of(identity);
        let ends = |it: &Source| it.ended_runs.contains(&run) || it.left_places.contains(identity);
        if self.sources.values().any(ends) {
            return Word::Intended;
        }
        let entries: Vec<_> = self.sources.values().filter_map(|it| it.entries.get(identity)).collect();
        let is_draining = entries.iter().any(|it| it.instance.draining);
        if entries.is_empty() {
            Word::Unlisted
        } else if entries.iter().all(|it| it.is_remembered) {
            Word::Remembered { is_draining }
        } else {
            Word::Listed { is_draining }
        }
    }

    /// Whether a source that can be reached lists it.
    pub(crate) fn is_listed_now(&self, identity: &Identity) -> bool {
        let lists = |it: &Source| {
            it.entries.get(identity).is_some_and(|entry| entry.until.is_none() && !entry.is_remembered)
        };
        self.sources.values().any(|source| !source.is_away && lists(source))
    }

    pub(crate) fn identities(&self) -> BTreeSet<Identity> {
        self.sources.values().flat_map(|it| it.entries.keys()).cloned().collect()
    }
}

impl Source {
    fn take(&mut self, now: Duration, said: &Said) -> Vec<(Identity, Dropped)> {
        match said {
            Said::Away => Vec::new(),
            Said::Change(change) => {
                let identity = change.instance.identity();
                if change.kind != ChangeKind::Left {
                    self.list(&change.instance);
                    let is_elsewhere = |it: &Identity, entry: &mut Entry| {
                        *it != identity && run_of(it) == run_of(&identity) && entry.until.is_some()
                    };
                    let elsewhere = self.entries.extract_if(.., is_elsewhere);
                    let left: Vec<Identity> = elsewhere.map(|(it, _)| it).collect();
                    self.left_places.extend(left.iter().cloned());
                    return left.into_iter().map(|it| (it, Dropped::Intended)).collect();
                }
                self.entries.remove(&identity);
                let why = change.reason.map_or(Dropped::Withdrawn, dropped);
                if why == Dropped::Intended {
                    self.ended_runs.insert(run_of(&identity));
                    self.left_places.insert(identity.clone());
                }
                vec![(identity, why)]
            }
            Said::Snapshot(snapshot) => {
                let epoch = snapshot.revision.epoch;
                let before = std::mem::take(&mut self.entries);
                let known = self.epoch.replace(epoch);
                snapshot.instances.iter().for_each(|instance| self.list(instance));
                let now_listed: BTreeSet<_> = self.entries.keys().map(run_of).collect();
                let mut ends = BTreeMap::new();
                for end in &snapshot.ended {
                    let run = (format!("{}/{}", end.service, end.id), end.run);
                    if !now_listed.contains(&run) {
                        ends.insert(run, dropped(end.reason));
                    }
                }
                self.ended_runs.extend(
                    ends.iter().filter(|(_, why)| **why == Dropped::Intended).map(|(run, _)| run.clone()),
                );
                let missing = before.into_iter().filter(|(it, _)| !self.entries.contains_key(it));
                let mut gone = Vec::new();
                for (identity, mut entry) in missing.collect::<Vec<_>>() {
                    let is_new = known.is_some_and(|known| known != epoch);
                    let began_since = entry.is_remembered && self.remembered_epoch != Some(epoch);
                    if now_listed.contains(&run_of(&identity)) {
                        self.left_places.insert(identity.clone());
                        gone.push((identity, Dropped::Intended));
                    } else if let Some(why) = ends.get(&run_of(&identity)) {
                        gone.push((identity, *why));
                    } else if entry.until.is_some() && !is_new {
                        self.entries.insert(identity, entry);
                    } else if is_new || began_since {
                        let grace = entry.instance.ttl_s.duration().max(Duration::from_secs(15));
                        entry.until = Some(now + grace);
                        self.entries.insert(identity, entry);
                    } else {
                        gone.push((identity, Dropped::Absent));
                    }
                }
                gone
            }
        }
    }

    fn list(&mut self, instance: &Instance) {
        let identity = instance.identity();
        self.ended_runs.remove(&run_of(&identity));
        self.left_places.remove(&identity);
        self.entries
            .insert(identity, Entry { instance: instance.clone(), until: None, is_remembered: false });
    }
}
