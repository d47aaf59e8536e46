//! One world from its beginning through its troubles into a calm.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use berth_fleet::{Check, CheckId, Fleet, Membership, Order, Probed, Said, SourceId};
use berth_model::{Identity, Instance};
use berth_pick::{Chance, InFlight, Roster, Signal};

use super::facts::Facts;
use super::heard::{Dropped, Heard};
use super::registry::Registry;
use super::world::{Met, World};

const START: Duration = Duration::from_secs(5000);
const TICK: Duration = Duration::from_millis(250);
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// In which group, and by which check.
pub(crate) type Placed = (&'static str, Option<CheckId>);

pub(crate) struct Walk {
    pub(crate) chance: Chance,
    pub(crate) now: Duration,
    pub(crate) fleet: Fleet,
    pub(crate) world: World,
    pub(crate) registries: Vec<Registry>,
    /// Servers that are named, by their sources.
    pub(crate) fixed: BTreeMap<SourceId, usize>,
    pub(crate) next_source: SourceId,
    pub(crate) heard: Heard,
    pub(crate) facts: BTreeMap<Identity, Facts>,
    pub(crate) placed: BTreeMap<Identity, Vec<Placed>>,
    pub(crate) reached: BTreeSet<String>,
    /// Who is placed where.
    pub(crate) layout: u64,
    pub(crate) has_checks: bool,
    /// Those that end by themselves, and when.
    pub(crate) dying: Vec<(Duration, usize)>,
    pub(crate) next_run: u64,
    roster: Roster,
    probes: Vec<(Duration, u64, Order, Probed)>,
    /// When probes of endpoints were sent, by their keys.
    pub(crate) began: BTreeMap<(u64, Option<CheckId>), Vec<Duration>>,
    /// The keys of all endpoints that there ever were.
    pub(crate) keys: BTreeMap<Identity, u64>,
    lost: BTreeSet<u64>,
    /// Requests that wait for an answer: since when, whose, and at which port.
    waiting: Vec<(Duration, u64, u16)>,
    /// Signals that were raised and not yet taken.
    raised: Vec<(u64, Identity)>,
    /// Those of them that are refusals.
    pub(crate) refused: BTreeSet<u64>,
    /// Those that a registry lists which is away, and whose address a later run has.
    pub(crate) made_way: BTreeSet<Identity>,
    events: u64,
    tells: bool,
    is_judged: bool,
}

impl Walk {
    pub(crate) fn new(seed: u64, tells: bool) -> Self {
        let mut chance = Chance::new(seed.wrapping_mul(0x9E37_79B9));
        let count = 1 + chance.below(3) as u64;
        let has_checks = chance.below(3) == 0;
        let mut walk = Self {
            fleet: Fleet::new(seed),
            now: START,
            world: World::default(),
            registries: (0..count).map(|source| Registry::new(source, chance.below(4) == 0)).collect(),
            fixed: BTreeMap::new(),
            next_source: 100,
            heard: Heard::default(),
            facts: BTreeMap::new(),
            placed: BTreeMap::new(),
            reached: BTreeSet::new(),
            layout: chance.number(),
            has_checks,
            dying: Vec::new(),
            next_run: 1,
            roster: Roster::default(),
            probes: Vec::new(),
            began: BTreeMap::new(),
            keys: BTreeMap::new(),
            lost: BTreeSet::new(),
            waiting: Vec::new(),
            raised: Vec::new(),
            refused: BTreeSet::new(),
            made_way: BTreeSet::new(),
            events: 0,
            tells,
            is_judged: true,
            chance,
        };
        walk.begin();
        walk
    }

    /// Lives through it. Returns what was reached.
    pub(crate) fn run(mut self) -> BTreeSet<String> {
        let wild = 40 + self.chance.below(80) as u64;
        let calm = if self.chance.below(12) == 0 { 800 } else { 200 };
        self.wait(Duration::from_secs(wild), true);
        self.tell(|_| "calm".to_owned());
        self.heal();
        self.wait(Duration::from_secs(calm), false);
        self.judge_calm();
        self.reached
    }

    /// One in so many.
    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.chance.below(count) == 0
    }

    pub(crate) fn millis(&mut self, most: usize) -> Duration {
        Duration::from_millis(1 + self.chance.below(most) as u64)
    }

    #[allow(clippy::print_stderr, reason = "whoever replays a world wants its story")]
    pub(crate) fn tell(&self, what: impl FnOnce(&Self) -> String) {
        if self.tells {
            eprintln!("{:9.3} {}", (self.now - START).as_secs_f64(), what(self));
        }
    }

    fn wait(&mut self, time: Duration, is_wild: bool) {
        let end = self.now + time;
        let mut tick = self.now;
        while self.now < end {
            let feeds = self
                .registries
                .iter()
                .flat_map(|it| it.outbox.front().map(|(at, _)| *at).into_iter().chain(it.is_missed_at));
            let probes = self.probes.iter().map(|(at, ..)| *at);
            let next = feeds.chain(probes).chain(self.fleet.next_deadline()).chain([tick]).min().unwrap();
            self.now = self.now.max(next);
            self.due();
            if tick <= self.now {
                tick = self.now + TICK;
                self.tick(is_wild);
            }
            self.deliver();
            self.end_probes();
            self.due();
            if !std::mem::replace(&mut self.is_judged, true) {
                self.judge();
            }
        }
    }

    fn tick(&mut self, is_wild: bool) {
        for (key, identity) in std::mem::take(&mut self.raised) {
            self.signalled(key, &identity);
        }
        self.world_ticks();
        if is_wild && self.one_in(3) {
            self.act();
        }
        let now = self.now;
        for (since, key, port) in std::mem::take(&mut self.waiting) {
            match self.world.meet(port) {
                Met::Refusal => self.raise(key, Signal::Reset),
                Met::Answer { .. } => {}
                Met::Silence if now < since + PROBE_TIMEOUT => self.waiting.push((since, key, port)),
                Met::Silence => self.raise(key, Signal::Silent),
            }
        }
        for group in ["all", "web", "api", "_upstream"] {
            let takers = self.takers(group);
            for taker in &takers {
                if self.one_in(if is_wild { 3 } else { 20 }) {
                    self.request(taker);
                }
            }
        }
    }

    pub(crate) fn takers(&self, group: &str) -> Vec<Identity> {
        let tier = self.fleet.tier(group);
        let takes = |identity: &&Identity| {
            let places = self.placed[*identity].iter().zip(self.fleet.classes(identity));
            places.into_iter().any(|((it, _), class)| *it == group && tier.takes(*class))
        };
        self.fleet.identities().filter(takes).cloned().collect()
    }

    fn request(&mut self, taker: &Identity) {
        let endpoint = self.roster.endpoint(taker, None, None);
        drop(InFlight::begin(&*endpoint));
        match self.world.meet(taker.port) {
            Met::Refusal => self.raise(endpoint.key(), Signal::Refused),
            Met::Silence => self.waiting.push((self.now, endpoint.key(), taker.port)),
            Met::Answer { fails: true } => self.raise(endpoint.key(), Signal::Error),
            Met::Answer { fails: false } => {}
        }
    }

    fn raise(&mut self, key: u64, signal: Signal) {
        let found = self.fleet.identities().find(|it| self.keys.get(it) == Some(&key));
        let Some(identity) = found.cloned() else { return };
        self.tell(|_| format!("{identity} {signal:?}"));
        let endpoint = self.roster.endpoint(&identity, None, None);
        if signal == Signal::Refused {
            self.refused.insert(key);
        }
        if endpoint.signals().raise(signal) {
            if self.one_in(8) {
                return self.raised.push((key, identity));
            }
            self.signalled(key, &identity);
        }
    }

    fn signalled(&mut self, key: u64, identity: &Identity) {
        let all_away = self.heard.all_away();
        let is_refused = self.refused.remove(&key);
        if let Some(facts) = self.facts.get_mut(identity).filter(|_| is_refused) {
            let is_away = all_away && identity.run != berth_model::Run::STATIC;
            facts.refused(is_away);
            self.reached.extend(is_away.then(|| "refused with all registries away".to_owned()));
        }
        self.fleet.signalled(self.now, key);
        self.settle();
    }

    fn deliver(&mut self) {
        for at in 0..self.registries.len() {
            let now = self.now;
            let registry = &mut self.registries[at];
            let id = registry.source;
            if registry.is_missed_at.take_if(|at| *at <= now).is_some() {
                self.say(id, Said::Away);
            }
            while let Some((_, said)) = self.registries[at].outbox.pop_front_if(|(at, _)| *at <= now) {
                self.say(id, said);
            }
        }
    }

    pub(crate) fn say(&mut self, source: SourceId, said: Said) {
        self.tell(|_| format!("{source} says {}", brief(&said)));
        let dropped = self.heard.take(self.now, source, &said);
        self.fleet.say(self.now, source, said);
        self.hear(&dropped);
    }

    pub(crate) fn remember(&mut self, source: SourceId, epoch: u64, listed: &[Instance]) {
        self.heard.remember(source, epoch, listed);
        self.fleet.remember(self.now, source, Some(epoch), listed.to_vec());
        self.hear(&[]);
    }

    pub(crate) fn keep(&mut self) {
        let registries: BTreeSet<SourceId> = self.registries.iter().map(|it| it.source).collect();
        let wanted = registries.iter().chain(self.fixed.keys()).copied().collect();
        let dropped = self.heard.keep(&wanted);
        self.fleet.keep(self.now, &wanted, &registries);
        self.hear(&dropped);
    }

    /// The shadow takes in that sources have spoken.
    fn hear(&mut self, dropped: &[(Identity, Dropped)]) {
        self.events += 1;
        for identity in self.fleet.identities().cloned().collect::<Vec<_>>() {
            let word = self.heard.word(&identity);
            self.facts.entry(identity).or_insert_with(|| Facts::new(self.now, word));
        }
        for (identity, facts) in &mut self.facts {
            let word = self.heard.word(identity);
            let why = dropped.iter().rfind(|(it, _)| it == identity).map(|(_, why)| *why);
            facts.hear(self.now, self.events, word, why);
            if self.heard.is_listed_now(identity) {
                facts.is_refused_unseen = false;
            }
        }
        self.made_way.retain(|identity| !self.heard.is_listed_now(identity));
        self.settle();
    }

    /// Takes in what has become of it, and places whoever has changed.
    pub(crate) fn settle(&mut self) {
        self.is_judged = false;
        for round in 0.. {
            assert!(round < 20, "whoever is placed changes again and again");
            for turn in self.fleet.take_turns() {
                self.tell(|_| format!("{turn:?}"));
                self.facts
                    .entry(turn.identity.clone())
                    .or_insert_with(|| Facts::new(self.now, self.heard.word(&turn.identity)));
                self.judge_turn(&turn);
            }
            let changed = self.fleet.take_changed();
            if changed.is_empty() {
                break;
            }
            for identity in changed {
                if self.fleet.member(&identity).is_some() {
                    self.place(&identity);
                }
            }
        }
    }

    pub(crate) fn place(&mut self, identity: &Identity) {
        let placed = self.wanted(identity);
        let endpoint = self.roster.endpoint(identity, None, None);
        let often = Check { interval: Duration::from_secs(1), ..Check::default() };
        let membership = |(group, check): &Placed| Membership {
            group: (*group).into(),
            check: check.map(|id| (id, if id == 1 { often } else { Check::default() })),
        };
        let memberships = placed.iter().map(membership).collect();
        self.fleet.place(self.now, identity, &endpoint, memberships);
        let wanted: Vec<CheckId> = placed.iter().filter_map(|(_, check)| *check).collect();
        let facts = self.facts.get_mut(identity).unwrap();
        facts.keep_checks(&wanted);
        let is_wanted = |check: &Option<CheckId>| check.is_none_or(|id| wanted.contains(&id));
        let key = endpoint.key();
        self.began.retain(|(it, check), _| *it != key || is_wanted(check));
        if self.placed.get(identity).is_none_or(Vec::is_empty) {
            facts.waits_since = self.now;
        }
        self.placed.insert(identity.clone(), placed);
        self.keys.insert(identity.clone(), endpoint.key());
    }

    /// Where the operator wants an endpoint.
    fn wanted(&self, identity: &Identity) -> Vec<Placed> {
        let service = ["web", "api", "_upstream"].into_iter().find(|it| *it == identity.service.as_str());
        let service = service.unwrap();
        let check = |id: CheckId| (self.has_checks && self.layout & (4 << id) != 0).then_some(id);
        let is_left_out = self.layout.is_multiple_of(7) && identity.port.is_multiple_of(3);
        match self.layout % 4 {
            _ if is_left_out => vec![],
            0 => vec![("all", check(1))],
            1 => vec![(service, check(2))],
            2 => vec![("all", None), (service, check(1))],
            _ => vec![(service, check(2)), ("all", check(1))],
        }
    }

    fn due(&mut self) {
        let gone = self.heard.expire(self.now);
        self.expect(&gone);
        let orders = self.fleet.due(self.now, usize::MAX);
        assert!(self.fleet.next_deadline().is_none_or(|at| at > self.now), "what is due stays due");
        for order in orders {
            self.send(order);
        }
        self.settle();
    }

    /// The shadow's clock has struck.
    fn expect(&mut self, gone: &[(Identity, Dropped)]) {
        if gone.is_empty() {
            return;
        }
        self.events += 1;
        for (identity, facts) in &mut self.facts {
            let why = gone.iter().rfind(|(it, _)| it == identity).map(|(_, why)| *why);
            if why.is_some() {
                facts.hear(self.now, self.events, self.heard.word(identity), why);
            }
        }
    }

    fn send(&mut self, order: Order) {
        self.events += 1;
        let (key, port) = (order.endpoint.key(), order.endpoint.identity().port);
        let began = self.began.entry((key, order.check)).or_default();
        let (last, earlier) = (began.last(), began.iter().rev().nth(24));
        assert!(last.is_none_or(|at| *at + Duration::from_millis(200) <= self.now), "{order:?} too soon");
        assert!(earlier.is_none_or(|at| *at + Duration::from_secs(9) <= self.now), "{order:?} too often");
        // One from before an endpoint went and came back is not known to it.
        let is_under_way = |(.., it, _): &(_, _, Order, _)| {
            let is_same = it.check == order.check && it.endpoint.key() == key && began.contains(&it.began);
            is_same && it.began + Duration::from_secs(9) > self.now
        };
        assert!(!self.probes.iter().any(is_under_way), "two at once: {order:?}");
        began.push(self.now);
        // Seldom nothing is ever heard of one; never of two in a row.
        if self.one_in(200) && self.lost.insert(key) {
            return;
        }
        self.lost.remove(&key);
        let trip = self.millis(300);
        let (after, probed) = match self.world.meet(port) {
            Met::Answer { fails } => (trip, Probed::Answered { status: Some(200), is_expected: !fails }),
            Met::Refusal => (trip, Probed::Refused),
            Met::Silence => (PROBE_TIMEOUT, Probed::Unanswered),
        };
        self.probes.push((self.now + after, self.events, order, probed));
    }

    fn end_probes(&mut self) {
        let now = self.now;
        let ended = self.probes.extract_if(.., |(at, ..)| *at <= now).collect::<Vec<_>>();
        for (_, event, order, probed) in ended {
            let identity = order.endpoint.identity().clone();
            self.tell(|_| format!("probe of {identity} {:?} {probed:?}", order.check));
            let is_away = self.heard.all_away() && identity.run != berth_model::Run::STATIC;
            let of_it = (order.endpoint.key(), order.check);
            let is_known = self.began.get(&of_it).is_some_and(|began| began.contains(&order.began));
            if let Some(facts) = self.facts.get_mut(&identity).filter(|_| is_known) {
                let was_refused = facts.is_refused;
                if probed == Probed::Refused {
                    facts.refused(is_away);
                }
                facts.probed(now, (order.began, event), order.check, probed);
                if was_refused && !facts.is_refused && probed != Probed::Unanswered {
                    self.reached.insert("a second answer after a refusal".to_owned());
                }
            }
            self.fleet.probed(now, &order, probed);
            self.settle();
        }
    }
}

fn brief(said: &Said) -> String {
    match said {
        Said::Away => "nothing".to_owned(),
        Said::Change(change) => {
            let draining = if change.instance.draining { " draining" } else { "" };
            format!("{:?} {}{draining} {:?}", change.kind, change.instance.identity(), change.reason)
        }
        Said::Snapshot(it) => {
            let listed: Vec<_> = it.instances.iter().map(|it| it.identity().to_string()).collect();
            let ended: Vec<_> =
                it.ended.iter().map(|it| format!("{} {} {}", it.id, it.run, it.reason)).collect();
            format!("epoch {}: {} ended: {}", it.revision.epoch, listed.join(", "), ended.join(", "))
        }
    }
}
