//! What one source says.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use berth_model::{
    Change, ChangeKind, Identity, Instance, InstanceId, Reason, Run, Scheme, ServiceName, Snapshot,
};

use crate::sources::Said;

/// After a registry's new epoch, absence means nothing for so long, or for the lease's length if that is longer:
/// whoever lives has then registered again.
const NEW_EPOCH_GRACE: Duration = Duration::from_secs(15);

/// Why a run is not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gone {
    /// A registry said that it ended.
    Ended(Reason),
    /// Whoever named it does not name it any more, or it cannot be reached from here.
    Withdrawn,
    /// A registry does not list it, and does not say why.
    Absent,
}

#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) epoch: Option<u64>,
    pub(crate) is_away: bool,
    pub(crate) listed: HashMap<Identity, Arc<Instance>>,
    /// Listed before the start, by its epoch of then.
    pub(crate) remembered: HashMap<Identity, Arc<Instance>>,
    pub(crate) remembered_epoch: Option<u64>,
    /// Not listed since a new epoch began, and kept until then.
    pub(crate) held: BTreeMap<Identity, Held>,
    /// Ends that were intended, and when they were told.
    pub(crate) ended: HashMap<RunKey, (Reason, Duration)>,
    /// Where runs were that ended so, or have moved since: a run that is listed again need not be back there.
    pub(crate) left: HashMap<Identity, (Reason, Duration)>,
}

#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) instance: Arc<Instance>,
    pub(crate) until: Duration,
    is_remembered: bool,
}

pub(crate) type RunKey = (ServiceName, InstanceId, Run);

pub(crate) fn run_key(identity: &Identity) -> RunKey {
    (identity.service.clone(), identity.id.clone(), identity.run)
}

/// All of these that are of the same run, wherever it listens.
pub(crate) fn of_the_same_run<'a, V>(
    all: &'a BTreeMap<Identity, V>,
    identity: &Identity,
) -> impl Iterator<Item = &'a Identity> + use<'a, V> {
    let host = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let lowest = Identity { scheme: Scheme::Http, host, port: 0, ..identity.clone() };
    let run = run_key(&lowest);
    let of_it = move |it: &&Identity| (&it.service, &it.id, &it.run) == (&run.0, &run.1, &run.2);
    all.range(lowest..).map(|(identity, _)| identity).take_while(of_it)
}

fn grace(instance: &Instance) -> Duration {
    NEW_EPOCH_GRACE.max(instance.ttl_s.duration())
}

impl Source {
    pub(crate) fn identities(&self) -> impl Iterator<Item = &Identity> {
        self.listed.keys().chain(self.held.keys()).chain(self.remembered.keys())
    }

    pub(crate) fn lists(&self, identity: &Identity) -> Option<(&Arc<Instance>, bool)> {
        let listed = self.listed.get(identity).map(|instance| (instance, false));
        listed
            .or_else(|| self.held.get(identity).map(|held| (&held.instance, held.is_remembered)))
            .or_else(|| self.remembered.get(identity).map(|instance| (instance, true)))
    }

    /// The end of this run or its leaving this place, if it was intended and this source tells of it.
    pub(crate) fn end_of(&self, identity: &Identity) -> Option<Reason> {
        let left = || self.left.get(identity);
        self.ended.get(&run_key(identity)).or_else(left).map(|(reason, _)| *reason)
    }

    /// Those whose end it has told of and which it lists again by this, with that end's reason.
    pub(crate) fn reopened_by(&self, said: &Said) -> Vec<(Identity, Reason)> {
        let listed = match said {
            _ if self.ended.is_empty() => &[],
            Said::Snapshot(snapshot) => &snapshot.instances[..],
            Said::Change(change) if change.kind != ChangeKind::Left => std::slice::from_ref(&change.instance),
            Said::Change(_) | Said::Away => &[],
        };
        let reason = |it: &Identity| self.ended.get(&run_key(it)).map(|(reason, _)| *reason);
        let with_reason = |it: Identity| reason(&it).map(|reason| (it, reason));
        listed.iter().map(Instance::identity).filter_map(with_reason).collect()
    }

    /// Whether it tells of ends.
    pub(crate) fn tells_of_ends(&self) -> bool {
        !self.ended.is_empty() || !self.left.is_empty()
    }

    /// When the first of those is let go that are held.
    pub(crate) fn held_until(&self) -> Option<Duration> {
        self.held.values().map(|held| held.until).min()
    }

    /// Forgets ends that were told until then. `runs` gets them.
    pub(crate) fn forget_ends(&mut self, before: Duration, runs: &mut HashSet<RunKey>) {
        let is_old = |(_, told): &(Reason, Duration)| *told <= before;
        runs.extend(self.ended.extract_if(|_, end| is_old(end)).map(|(run, _)| run));
        runs.extend(self.left.extract_if(|_, end| is_old(end)).map(|(identity, _)| run_key(&identity)));
    }

    pub(crate) fn replace(
        &mut self,
        now: Duration,
        snapshot: Snapshot,
        last_words: &mut HashMap<Identity, Gone>,
        touched: &mut BTreeSet<Identity>,
    ) {
        let epoch = snapshot.revision.epoch;
        let is_new = |known: Option<u64>| known.is_some_and(|known| known != epoch);
        let (new_epoch, begun_since) = (is_new(self.epoch), self.remembered_epoch != Some(epoch));
        (self.epoch, self.is_away) = (Some(epoch), false);
        let mut missing = std::mem::take(&mut self.listed);
        let mut remembered = std::mem::take(&mut self.remembered);
        touched.extend(missing.keys().chain(remembered.keys()).cloned());
        for instance in snapshot.instances {
            touched.insert(instance.identity());
            self.list(instance);
        }
        let runs: HashMap<RunKey, &Identity> = self.listed.keys().map(|it| (run_key(it), it)).collect();
        let mut ended: HashMap<RunKey, Reason> =
            snapshot.ended.into_iter().map(|end| ((end.service, end.id, end.run), end.reason)).collect();
        // A run that is listed all the same came back after its end.
        ended.retain(|key, _| !runs.contains_key(key));
        let mut is_open = |identity: &Identity| {
            let key = run_key(identity);
            // A run that has moved has left its old place.
            let moved = runs.contains_key(&key).then_some(Reason::Replaced);
            let reason = moved.or_else(|| ended.get(&key).copied());
            if let Some(reason) = reason.filter(|_| !self.listed.contains_key(identity)) {
                last_words.insert(identity.clone(), Gone::Ended(reason));
                if reason.is_intent() {
                    self.left.insert(identity.clone(), (reason, now));
                }
            }
            reason.is_none()
        };
        missing.retain(|identity, _| is_open(identity));
        remembered.retain(|identity, _| is_open(identity));
        self.held.retain(|identity, _| {
            is_open(identity) || {
                touched.insert(identity.clone());
                false
            }
        });
        let intended = ended.into_iter().filter(|(_, reason)| reason.is_intent());
        self.ended.extend(intended.map(|(key, reason)| (key, (reason, now))));
        if new_epoch {
            // Whoever was about to register with the registry as it was before has to begin again.
            self.held.values_mut().for_each(|held| held.until = now + grace(&held.instance));
            self.hold(now, missing, false);
        }
        if begun_since {
            self.hold(now, remembered, true);
        }
    }

    /// Keeps for a while whoever is not listed since a new epoch began.
    pub(crate) fn hold(
        &mut self,
        now: Duration,
        missing: HashMap<Identity, Arc<Instance>>,
        is_remembered: bool,
    ) {
        for (identity, instance) in missing {
            if !self.listed.contains_key(&identity) {
                let until = now + grace(&instance);
                self.held.entry(identity).or_insert(Held { instance, until, is_remembered });
            }
        }
    }

    pub(crate) fn change(
        &mut self,
        now: Duration,
        change: Change,
        last_words: &mut HashMap<Identity, Gone>,
        touched: &mut BTreeSet<Identity>,
    ) {
        self.is_away = false;
        let identity = change.instance.identity();
        touched.insert(identity.clone());
        match change.kind {
            ChangeKind::Joined | ChangeKind::Changed => {
                self.list(change.instance);
                // It may have moved since the place was listed that is held for it.
                let others: Vec<Identity> = of_the_same_run(&self.held, &identity).cloned().collect();
                for other in others {
                    self.held.remove(&other);
                    self.left.insert(other.clone(), (Reason::Replaced, now));
                    last_words.insert(other.clone(), Gone::Ended(Reason::Replaced));
                    touched.insert(other);
                }
            }
            ChangeKind::Left => {
                self.listed.remove(&identity);
                self.held.remove(&identity);
                let gone = change.reason.map_or(Gone::Withdrawn, Gone::Ended);
                if let Some(reason) = change.reason.filter(|reason| reason.is_intent()) {
                    self.ended.insert(run_key(&identity), (reason, now));
                    self.left.insert(identity.clone(), (reason, now));
                }
                last_words.insert(identity, gone);
            }
        }
    }

    fn list(&mut self, instance: Instance) {
        let identity = instance.identity();
        self.held.remove(&identity);
        // The same registry lists the run again after it told of its end: the later word counts.
        self.ended.remove(&run_key(&identity));
        self.left.remove(&identity);
        self.listed.insert(identity, Arc::new(instance));
    }
}
