//! A fleet with its clock, who is to be found at which port, and what became of its probes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use berth_fleet::{
    CheckId, Class, Fleet, Membership, Order, Probed, Said, Slots, SourceId, State, Turn, Why,
};
use berth_model::{
    Change, ChangeKind, Ended, Identity, Instance, Meta, Reason, Revision, Run, Scheme, Snapshot, Ttl,
};
use berth_pick::{Endpoint, InFlight, Roster, Signal};

pub(crate) const START: Duration = Duration::from_secs(1000);
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an answer or a refusal is under way.
const TRIP: Duration = Duration::from_millis(1);
pub(crate) const ANSWERED: Probed = Probed::Answered { status: Some(200), is_expected: true };

/// What a probe meets at a port.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum There {
    #[default]
    Answers,
    AnswersBadly,
    Refuses,
    IsSilent,
    /// Nothing is ever heard of the probe.
    LosesProbes,
}

pub(crate) type Sent = (Duration, String, Option<CheckId>);

pub(crate) struct Site {
    pub(crate) fleet: Fleet,
    pub(crate) now: Duration,
    /// Those who know no better answer.
    pub(crate) there: HashMap<u16, There>,
    /// Every probe.
    pub(crate) sent: Vec<Sent>,
    /// How many probes there may be at once.
    pub(crate) slots: usize,
    pub(crate) turns: Vec<Turn>,
    pub(crate) changed: BTreeSet<String>,
    /// Where each is placed, by id; the others are in `web`.
    pub(crate) groups: HashMap<String, Vec<Membership>>,
    roster: Roster,
    under_way: Vec<(Duration, Order, Probed)>,
}

pub(crate) fn group(name: &str) -> Membership {
    Membership { group: name.into(), check: None }
}

pub(crate) fn after(seconds: u64) -> Duration {
    START + Duration::from_secs(seconds)
}

impl Site {
    /// These sources are listened to. Those from 100 up are servers that are named.
    pub(crate) fn new(sources: &[SourceId]) -> Self {
        let mut site = Self {
            fleet: Fleet::new(7),
            now: START,
            there: HashMap::new(),
            sent: Vec::new(),
            slots: usize::MAX,
            turns: Vec::new(),
            changed: BTreeSet::new(),
            groups: HashMap::new(),
            roster: Roster::default(),
            under_way: Vec::new(),
        };
        site.keep(sources);
        site
    }

    /// One registry in its first epoch, with these.
    pub(crate) fn of(instances: &[Instance]) -> Self {
        let mut site = Self::new(&[0]);
        site.say(0, snapshot(1, instances, vec![]));
        site
    }

    /// Two registries in their first epoch, with these.
    pub(crate) fn two(first: &[Instance], second: &[Instance]) -> Self {
        let mut site = Self::new(&[0, 1]);
        site.say(0, snapshot(1, first, vec![]));
        site.say(1, snapshot(1, second, vec![]));
        site
    }

    pub(crate) fn keep(&mut self, sources: &[SourceId]) {
        let registries = sources.iter().copied().filter(|source| *source < 100).collect();
        self.fleet.keep(self.now, &sources.iter().copied().collect(), &registries);
        self.place();
    }

    pub(crate) fn say(&mut self, source: SourceId, said: Said) {
        self.fleet.say(self.now, source, said);
        self.place();
    }

    pub(crate) fn remember(&mut self, source: SourceId, epoch: Option<u64>, listed: &[Instance]) {
        self.fleet.remember(self.now, source, epoch, listed.to_vec());
        self.place();
    }

    pub(crate) fn retire(&mut self, source: SourceId, heirs: &[SourceId]) {
        self.fleet.retire(self.now, source, heirs.iter());
        self.place();
    }

    /// Places whoever has changed, as a balancer does after each event.
    pub(crate) fn place(&mut self) {
        for round in 0.. {
            assert!(round < 10, "whoever is placed changes again and again");
            let changed = self.fleet.take_changed();
            if changed.is_empty() {
                break;
            }
            for identity in changed {
                self.changed.insert(identity.id.to_string());
                if self.fleet.member(&identity).is_some() {
                    let endpoint = self.roster.endpoint(&identity, None, None);
                    let groups = self.groups.get(identity.id.as_str()).cloned();
                    let groups = groups.unwrap_or_else(|| vec![group("web")]);
                    self.fleet.place(self.now, &identity, &endpoint, groups);
                }
            }
        }
        self.turns.extend(self.fleet.take_turns());
    }

    /// The operator places an endpoint elsewhere.
    pub(crate) fn regroup(&mut self, id: &str, groups: Vec<Membership>) {
        self.groups.insert(id.to_owned(), groups.clone());
        let identity = self.identity(id);
        let endpoint = self.roster.endpoint(&identity, None, None);
        self.fleet.place(self.now, &identity, &endpoint, groups);
        self.place();
    }

    pub(crate) fn there(&mut self, port: u16, there: There) {
        self.there.insert(port, there);
    }

    /// Lets so many seconds pass.
    pub(crate) fn wait(&mut self, seconds: f64) {
        self.wait_until(self.now + Duration::from_secs_f64(seconds));
    }

    /// Lets time pass: probes are sent and end.
    pub(crate) fn wait_until(&mut self, until: Duration) {
        for round in 0.. {
            assert!(round < 1_000_000, "there is always something due");
            let ends = self.under_way.iter().map(|(at, ..)| *at);
            let Some(next) =
                ends.chain(self.fleet.next_deadline_within(self.slots())).min().filter(|at| *at <= until)
            else {
                break;
            };
            self.now = self.now.max(next);
            let ended = self.under_way.extract_if(.., |(at, ..)| *at <= self.now).collect::<Vec<_>>();
            for (_, order, probed) in ended {
                self.fleet.probed(self.now, &order, probed);
                self.place();
            }
            self.send();
        }
        self.now = until;
    }

    /// Sends what is due.
    pub(crate) fn send(&mut self) {
        for order in self.fleet.due_within(self.now, self.slots()) {
            let same = |(_, it, _): &(_, Order, _)| {
                it.endpoint.key() == order.endpoint.key() && it.check == order.check
            };
            assert!(!self.under_way.iter().any(same), "two probes at once: {order:?}");
            let identity = order.endpoint.identity();
            self.sent.push((self.now, identity.id.to_string(), order.check));
            let ended = match self.there.get(&identity.port).copied().unwrap_or_default() {
                There::Answers => (TRIP, ANSWERED),
                There::AnswersBadly => (TRIP, Probed::Answered { status: Some(500), is_expected: false }),
                There::Refuses => (TRIP, Probed::Refused),
                There::IsSilent => (PROBE_TIMEOUT, Probed::Unanswered),
                There::LosesProbes => continue,
            };
            self.under_way.push((self.now + ended.0, order, ended.1));
        }
        self.place();
        let next = self.fleet.next_deadline_within(self.slots());
        assert!(next.is_none_or(|at| at > self.now), "what is due stays due");
    }

    fn slots(&self) -> Slots {
        Slots { free: self.slots.saturating_sub(self.under_way.len()), all: self.slots }
    }

    /// How many probes are under way to all but this one.
    pub(crate) fn under_way_to_others(&self, id: &str) -> usize {
        self.under_way.iter().filter(|(_, order, _)| order.endpoint.identity().id.as_str() != id).count()
    }

    /// An endpoint is made anew, with another key.
    pub(crate) fn make_anew(&mut self, id: &str) {
        let identity = self.identity(id);
        assert!(self.roster.forget(&identity));
        self.regroup(id, vec![group("web")]);
    }

    /// Traffic meets this.
    pub(crate) fn meet(&mut self, id: &str, signal: Signal) {
        let endpoint = self.endpoint(id);
        if endpoint.signals().raise(signal) {
            self.fleet.signalled(self.now, endpoint.key());
        }
        self.place();
    }

    /// So many requests are made and end well.
    pub(crate) fn requests(&mut self, id: &str, count: usize) {
        let endpoint = self.endpoint(id);
        (0..count).for_each(|_| drop(InFlight::begin(&*endpoint)));
    }

    /// So many requests are made and answered by an error.
    pub(crate) fn errors(&mut self, id: &str, count: usize) {
        for _ in 0..count {
            self.requests(id, 1);
            self.meet(id, Signal::Error);
        }
    }

    pub(crate) fn endpoint(&mut self, id: &str) -> Arc<Endpoint> {
        let identity = self.identity(id);
        self.roster.endpoint(&identity, None, None)
    }

    /// Whoever goes by this id; the last one if there are several.
    pub(crate) fn identity(&self, id: &str) -> Identity {
        self.fleet.identities().filter(|it| it.id.as_str() == id).last().unwrap().clone()
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.fleet.identities().any(|it| it.id.as_str() == id)
    }

    pub(crate) fn state(&self, id: &str) -> (State, Why) {
        let view = self.fleet.view(&self.identity(id)).unwrap();
        (view.state, view.why)
    }

    pub(crate) fn class(&self, id: &str) -> Class {
        self.fleet.classes(&self.identity(id))[0]
    }

    /// Everybody as `id`, with a `-` behind those that drain and a `?` behind those that are not confirmed.
    pub(crate) fn names(&self) -> String {
        let name = |identity: &Identity| {
            let mark = match self.fleet.view(identity).unwrap().state {
                State::Confirmed => "",
                State::Unconfirmed => "?",
                State::Ejected => "!",
                State::Draining => "-",
            };
            format!("{}{mark}", identity.id)
        };
        self.fleet.identities().map(name).collect::<Vec<_>>().join(" ")
    }

    /// Who takes the requests of a group.
    pub(crate) fn takers(&self, name: &str) -> String {
        let takes = |identity: &&Identity| {
            let groups = self.groups.get(identity.id.as_str());
            let all = [group("web")];
            let groups = groups.map_or(&all[..], |groups| &groups[..]);
            let classes = self.fleet.classes(identity).iter();
            groups
                .iter()
                .zip(classes)
                .any(|(it, class)| &*it.group == name && self.fleet.tier(name).takes(*class))
        };
        self.fleet.identities().filter(takes).map(|it| it.id.to_string()).collect::<Vec<_>>().join(" ")
    }

    /// When probes of an endpoint were sent, in milliseconds since then.
    pub(crate) fn sent_since(&self, id: &str, since: Duration) -> Vec<u128> {
        let of = |(at, to, _): &&Sent| to == id && *at >= since;
        self.sent.iter().filter(of).map(|(at, ..)| (*at - since).as_millis()).collect()
    }

    /// Why an endpoint went, the last time.
    pub(crate) fn why_gone(&self, id: &str) -> Option<Why> {
        let went = |turn: &&Turn| turn.identity.id.as_str() == id && turn.to.is_none();
        self.turns.iter().rfind(went).map(|turn| turn.why)
    }
}

/// A run of `web`; its number is its run and its port.
pub(crate) fn instance(id: &str, run: u64) -> Instance {
    Instance {
        service: "web".parse().unwrap(),
        id: id.parse().unwrap(),
        run: run.to_string().parse::<Run>().unwrap(),
        version: None,
        host: "127.0.0.1".parse().unwrap(),
        port: u16::try_from(run).unwrap(),
        scheme: Scheme::Http,
        weight: 1,
        zone: None,
        routes: Vec::new(),
        meta: Meta::default(),
        ttl_s: Ttl::DEFAULT,
        draining: false,
    }
}

pub(crate) fn draining(id: &str, run: u64) -> Instance {
    Instance { draining: true, ..instance(id, run) }
}

/// A server that is named.
pub(crate) fn fixed(id: &str, port: u16) -> Instance {
    Instance { run: Run::STATIC, port, ..instance(id, 1) }
}

pub(crate) fn ended(instance: &Instance, reason: Reason) -> Ended {
    Ended { service: instance.service.clone(), id: instance.id.clone(), run: instance.run, reason }
}

pub(crate) fn snapshot(epoch: u64, instances: &[Instance], ended: Vec<Ended>) -> Said {
    let revision = Revision { epoch, sequence: 1 };
    Said::Snapshot(Snapshot { revision, instances: instances.to_vec(), ended })
}

pub(crate) fn change(kind: ChangeKind, instance: Instance, reason: Option<Reason>) -> Said {
    Said::Change(Change { revision: Revision { epoch: 1, sequence: 2 }, kind, instance, reason })
}

pub(crate) fn joined(instance: Instance) -> Said {
    change(ChangeKind::Joined, instance, None)
}

pub(crate) fn changed(instance: Instance) -> Said {
    change(ChangeKind::Changed, instance, None)
}

pub(crate) fn left(instance: Instance, reason: Reason) -> Said {
    change(ChangeKind::Left, instance, Some(reason))
}
