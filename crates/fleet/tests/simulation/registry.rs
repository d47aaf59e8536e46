//! One registry as its balancer hears it: late, in order, sometimes not at all.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use berth_fleet::{Said, SourceId};
use berth_model::{Change, ChangeKind, Ended, Identity, Instance, Reason, Revision, Snapshot};

use super::world::{Process, Wish};

const TOMBSTONE_LIFE: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) source: SourceId,
    pub(crate) epoch: u64,
    pub(crate) is_up: bool,
    /// No instance reaches it.
    pub(crate) is_cut_off: bool,
    /// Its balancer asks again and again where it can hold no stream: it is not told of ends.
    pub(crate) is_polled: bool,
    /// The balancer has a stream.
    pub(crate) is_heard: bool,
    /// When the balancer notices that it has not.
    pub(crate) is_missed_at: Option<Duration>,
    pub(crate) outbox: VecDeque<(Duration, Said)>,
    pub(crate) listed: BTreeMap<Identity, (Instance, Duration)>,
    ended: Vec<(Identity, Reason, Duration)>,
    sequence: u64,
}

impl Registry {
    pub(crate) fn new(source: SourceId, is_polled: bool) -> Self {
        Self {
            source,
            epoch: 1,
            is_up: true,
            is_cut_off: false,
            is_polled,
            is_heard: false,
            is_missed_at: None,
            outbox: VecDeque::new(),
            listed: BTreeMap::new(),
            ended: Vec::new(),
            sequence: 0,
        }
    }

    pub(crate) fn can_be_reached(&self) -> bool {
        self.is_up && !self.is_cut_off
    }

    fn send(&mut self, at: Duration, said: Said) {
        if self.is_heard {
            let at = self.outbox.back().map_or(at, |(last, _)| at.max(*last));
            self.outbox.push_back((at, said));
        }
    }

    fn tell(&mut self, at: Duration, kind: ChangeKind, instance: Instance, reason: Option<Reason>) {
        self.sequence += 1;
        let revision = Revision { epoch: self.epoch, sequence: self.sequence };
        self.send(at, Said::Change(Change { revision, kind, instance, reason }));
    }

    /// Tells everything, in place of what is still under way.
    pub(crate) fn tell_all(&mut self, now: Duration, at: Duration) {
        self.outbox.clear();
        self.ended.retain(|(_, _, told)| *told + TOMBSTONE_LIFE > now);
        let ended = self.ended.iter().map(|(identity, reason, _)| Ended {
            service: identity.service.clone(),
            id: identity.id.clone(),
            run: identity.run,
            reason: *reason,
        });
        let ended = if self.is_polled { Vec::new() } else { ended.collect() };
        let instances = self.listed.values().map(|(instance, _)| instance.clone()).collect();
        let revision = Revision { epoch: self.epoch, sequence: self.sequence };
        self.send(at, Said::Snapshot(Snapshot { revision, instances, ended }));
    }

    pub(crate) fn end(&mut self, now: Duration, at: Duration, identity: &Identity, reason: Reason) {
        if let Some((instance, _)) = self.listed.remove(identity) {
            self.ended.push((identity.clone(), reason, now));
            self.tell(at, ChangeKind::Left, instance, Some(reason));
        }
    }

    /// What a process says when it renews or registers. False: its run was ended by intent.
    pub(crate) fn hear(&mut self, now: Duration, at: Duration, process: &Process) -> bool {
        let (instance, identity) = (process.instance(), process.identity.clone());
        let is_ended = |(it, reason, _): &(Identity, Reason, Duration)| {
            it.id == identity.id
                && it.service == identity.service
                && it.run == identity.run
                && (*reason == Reason::Removed || *reason == Reason::Replaced && *it == identity)
        };
        let is_of_a_later_run = self.listed.keys().any(|it| it.id == identity.id && it.run > identity.run);
        if self.ended.iter().any(is_ended) || is_of_a_later_run {
            return false;
        }
        let lease = now + instance.ttl_s.duration();
        if let Some((known, until)) = self.listed.get_mut(&identity) {
            *until = lease;
            if known.draining != instance.draining {
                *known = instance.clone();
                self.tell(at, ChangeKind::Changed, instance, None);
            }
            return true;
        }
        // The same id at another place, or in an earlier life.
        let others: Vec<Identity> = self.listed.keys().filter(|it| it.id == identity.id).cloned().collect();
        for other in others {
            self.end(now, at, &other, Reason::Replaced);
        }
        self.ended.retain(|(it, ..)| *it != identity);
        self.listed.insert(identity, (instance.clone(), lease));
        self.tell(at, ChangeKind::Joined, instance, None);
        true
    }

    pub(crate) fn expire(&mut self, now: Duration, at: Duration) {
        let over = self.listed.iter().filter(|(_, (_, until))| *until <= now).map(|(it, _)| it.clone());
        for identity in over.collect::<Vec<_>>() {
            self.end(now, at, &identity, Reason::Expired);
        }
    }

    /// It stops for so long that nobody hears it, and its clock stands.
    pub(crate) fn resume_leases(&mut self, stood: Duration) {
        self.listed.values_mut().for_each(|(_, until)| *until += stood);
    }

    /// It begins anew, without data.
    pub(crate) fn forget_all(&mut self) {
        (self.epoch, self.sequence) = (self.epoch + 1, 0);
        self.listed.clear();
        self.ended.clear();
    }
}

/// A process renews at all registries that it reaches.
pub(crate) fn renew(now: Duration, at: Duration, process: &mut Process, registries: &mut [Registry]) {
    process.renews_at = now + Duration::from_secs_f64(process.ttl_s / 3.0);
    for registry in registries.iter_mut().filter(|it| it.can_be_reached()) {
        if process.wish == Wish::Registered && !registry.hear(now, at, process) {
            process.wish = Wish::Ended;
        }
    }
}
