//! All endpoints of a balancer: takes in what sources, traffic and probes tell, and tells what follows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use berth_model::{Identity, Instance, Run};
use berth_pick::{Chance, Endpoint, Signal};

use crate::agenda::{Agenda, Rank};
use crate::checked::CheckId;
use crate::failures::LOOK_EVERY;
use crate::groups::{Group, Members};
use crate::source::of_the_same_run;
use crate::sources::{Said, SourceId, Sources, Word};
use crate::standing::Standing;
use crate::told::{Turn, Why};
use crate::tracked::{Fate, Tracked};
use crate::{Probed, Slots};

/// A probe that is to be sent now.
#[derive(Clone, Debug)]
pub struct Order {
    /// To whom.
    pub endpoint: Arc<Endpoint>,
    /// For which check; none if it is to show whether the endpoint lives.
    pub check: Option<CheckId>,
    /// When it was given.
    pub began: Duration,
}

/// What a balancer believes of its endpoints.
#[derive(Debug)]
pub struct Fleet {
    pub(crate) sources: Sources,
    pub(crate) registries: BTreeSet<SourceId>,
    pub(crate) endpoints: BTreeMap<Identity, Tracked>,
    /// Those that have a place, by the keys of their endpoints.
    pub(crate) keys: HashMap<u64, Identity>,
    pub(crate) by_address: HashMap<SocketAddr, BTreeSet<Identity>>,
    pub(crate) groups: HashMap<Group, Members>,
    pub(crate) agenda: Agenda,
    /// Those whose failures are watched, and when they are looked at.
    pub(crate) watched: BTreeSet<u64>,
    pub(crate) look_at: Option<Duration>,
    pub(crate) changed: BTreeSet<Identity>,
    pub(crate) turns: Vec<Turn>,
    pub(crate) has_given_up: bool,
    pub(crate) chance: Chance,
}

impl Fleet {
    /// Nobody. `seed` is for the times of probes, which are to scatter.
    pub fn new(seed: u64) -> Self {
        Self {
            sources: Sources::default(),
            registries: BTreeSet::new(),
            endpoints: BTreeMap::new(),
            keys: HashMap::new(),
            by_address: HashMap::new(),
            groups: HashMap::new(),
            agenda: Agenda::default(),
            watched: BTreeSet::new(),
            look_at: None,
            changed: BTreeSet::new(),
            turns: Vec::new(),
            has_given_up: false,
            chance: Chance::new(seed),
        }
    }

    /// Listens to these sources and forgets all others. `registries` are those that can be away.
    pub fn keep(&mut self, now: Duration, wanted: &BTreeSet<SourceId>, registries: &BTreeSet<SourceId>) {
        let mut touched = BTreeSet::new();
        self.sources.keep(wanted, &mut touched);
        self.registries.clone_from(registries);
        self.hear(now, &touched);
    }

    /// Whether this source has said whom it lists.
    pub fn has_list(&self, source: SourceId) -> bool {
        self.sources.has_list(source)
    }

    /// Takes in what a source listed before the start, with its epoch of then; unless it has said something since.
    pub fn remember(&mut self, now: Duration, source: SourceId, epoch: Option<u64>, listed: Vec<Instance>) {
        let touched = self.sources.remember(source, epoch, listed);
        self.hear(now, &touched);
    }

    /// What a source lists, with its epoch, to be remembered; none if it has not said anything since the start.
    pub fn list_of(&self, source: SourceId) -> Option<(u64, Vec<Arc<Instance>>)> {
        self.sources.list_of(source)
    }

    /// Whether any source tells of an end of this run, or of its leaving this place, that was intended.
    pub fn has_ended(&self, identity: &Identity) -> bool {
        self.sources.has_ended(identity)
    }

    /// Takes in what a source says.
    pub fn say(&mut self, now: Duration, source: SourceId, said: Said) {
        let mut touched = BTreeSet::new();
        let tells_of_ends = matches!(&said, Said::Snapshot(snapshot) if !snapshot.ended.is_empty());
        self.sources.apply(now, source, said, &mut touched);
        if tells_of_ends {
            // An end concerns a run wherever it is listed.
            touched.extend(self.endpoints.keys().cloned());
        }
        let runs: Vec<Identity> = touched.iter().flat_map(|it| self.of_the_same_run(it)).cloned().collect();
        touched.extend(runs);
        self.hear(now, &touched);
    }

    /// Forgets a registry in whose place others are followed, which have lists by now.
    pub fn retire<'s>(
        &mut self,
        now: Duration,
        source: SourceId,
        heirs: impl Iterator<Item = &'s SourceId> + Clone,
    ) {
        let mut touched = BTreeSet::new();
        self.sources.retire(now, source, heirs, &mut touched);
        self.hear(now, &touched);
    }

    /// Traffic has met something at the endpoint with this key.
    pub fn signalled(&mut self, now: Duration, key: u64) {
        let away = self.sources.are_away(&self.registries);
        let Some(identity) = self.keys.get(&key).cloned() else { return };
        let Some(tracked) = self.endpoints.get_mut(&identity) else { return };
        let Some(endpoint) = tracked.place.as_ref().map(|place| Arc::clone(&place.endpoint)) else { return };
        let mut fate = Fate::Stays;
        let mut meet = |signal| match signal {
            Signal::Refused => fate = tracked.refused(now, away),
            signal => tracked.signalled(now, signal),
        };
        if self.watched.contains(&key) {
            // Its failures are looked at every now and then. One that fails with each answer should not be heard each time.
            endpoint.signals().take_but_failures().for_each(&mut meet);
        } else {
            endpoint.signals().take().for_each(&mut meet);
        }
        if tracked.watched.is_some() {
            self.watched.insert(key);
            self.look_at.get_or_insert(now + LOOK_EVERY);
        }
        self.decide(now, &identity, fate);
        self.make_way(now, &identity);
    }

    /// A probe has ended.
    pub fn probed(&mut self, now: Duration, order: &Order, probed: Probed) {
        let away = self.sources.are_away(&self.registries);
        let Some(identity) = self.keys.get(&order.endpoint.key()).cloned() else { return };
        let Some(tracked) = self.endpoints.get_mut(&identity) else { return };
        let decides = match order.check {
            None => tracked.life.end(now, order.began, probed),
            Some(id) => {
                let mut checks = tracked.place.iter_mut().flat_map(|place| &mut place.checks);
                let check = checks.find(|check| check.id == id);
                let is_awaited = check.is_some_and(|check| check.end(now, order.began, probed));
                if is_awaited {
                    tracked.life.note(now, probed);
                }
                // An answer that does not come counts in its own way.
                is_awaited && probed != Probed::Unanswered
            }
        };
        let was_given_up = tracked.is_given_up();
        let fate = if decides { tracked.probed(now, order.began, probed, away) } else { Fate::Stays };
        self.has_given_up |= tracked.is_given_up() && !was_given_up;
        self.decide(now, &identity, fate);
        self.make_way(now, &identity);
    }

    /// A probe could not be sent, which says nothing about the endpoint.
    pub fn not_asked(&mut self, now: Duration, order: &Order) {
        let Some(identity) = self.keys.get(&order.endpoint.key()).cloned() else { return };
        let Some(tracked) = self.endpoints.get_mut(&identity) else { return };
        match order.check {
            None => tracked.life.forget(order.began),
            Some(id) => {
                let mut checks = tracked.place.iter_mut().flat_map(|place| &mut place.checks);
                if let Some(check) = checks.find(|check| check.id == id) {
                    check.forget(order.began);
                }
            }
        }
        self.settle(now, &identity);
    }

    /// When [`Self::due`] has something to do next, if it may send probes.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.next_deadline_within(Slots { free: usize::MAX, all: 0 })
    }

    /// When [`Self::due_within`] has something to do next with these slots. What waits for a slot is due when a probe has
    /// ended.
    pub fn next_deadline_within(&self, slots: Slots) -> Option<Duration> {
        let agenda = self.agenda.next(slots);
        self.sources.next_deadline().into_iter().chain(self.look_at).chain(agenda).min()
    }

    /// Does what is due, and says which probes are to be sent: `most`, and what else is due at the last of these
    /// endpoints. What is due beyond that stays so.
    pub fn due(&mut self, now: Duration, most: usize) -> Vec<Order> {
        self.due_within(now, Slots { free: most, all: 0 })
    }

    /// The same with some of all slots kept for what is urgent: doubts have any, and those that are out no more than
    /// half.
    pub fn due_within(&mut self, now: Duration, slots: Slots) -> Vec<Order> {
        if self.sources.next_deadline().is_some_and(|at| at <= now) {
            let mut touched = BTreeSet::new();
            self.sources.expire(now, &mut touched);
            self.hear(now, &touched);
        }
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at_failures(now);
        }
        let mut orders = Vec::new();
        while let Some((rank, key)) = self.agenda.pop(now, slots.without(orders.len())) {
            self.attend(now, (rank, key), &mut orders);
        }
        orders
    }

    /// Does what is due at one endpoint and of one rank.
    fn attend(&mut self, now: Duration, (rank, key): (Rank, u64), orders: &mut Vec<Order>) {
        let Some(identity) = self.keys.get(&key).cloned() else { return };
        let Some(tracked) = self.endpoints.get_mut(&identity) else { return };
        tracked.due.remove(rank);
        let answers = tracked.life.answers();
        let standing = tracked.standing;
        if standing.limit().is_some_and(|limit| limit <= now) {
            let is_suspect = matches!(standing, Standing::Suspect { .. });
            // Nobody who answers has to go as long as there is nobody else.
            if is_suspect || !(answers && self.is_needed(&identity)) {
                let why = if is_suspect { Why::NeverAnswered } else { Why::TooLong };
                return self.decide(now, &identity, Fate::Goes(why));
            }
        }
        let Some(tracked) = self.endpoints.get_mut(&identity) else { return };
        tracked.life.expire(now);
        let (life_rank, is_ejected) = (tracked.life_rank(), tracked.ejection.is_some());
        let Some(place) = &mut tracked.place else { return };
        let mut order = |check| {
            orders.push(Order { endpoint: Arc::clone(&place.endpoint), check, began: now });
        };
        if life_rank == rank && tracked.life.begin_due(now) {
            order(None);
        }
        for check in &mut place.checks {
            if check.rank(is_ejected) == rank && check.begin(now, &mut self.chance) {
                order(Some(check.id));
            }
        }
        self.settle(now, &identity);
    }

    /// The sources' word on these has changed, or was said again.
    fn hear(&mut self, now: Duration, touched: &BTreeSet<Identity>) {
        for identity in touched {
            let word = self.sources.word_on(identity);
            match (self.endpoints.get_mut(identity), word) {
                (None, Word::Gone(_)) => {}
                (None, Word::Listed { instance, draining, is_remembered, .. }) => {
                    let tracked = Tracked::new(now, instance, draining, is_remembered);
                    self.endpoints.insert(identity.clone(), tracked);
                    self.by_address.entry(identity.address()).or_default().insert(identity.clone());
                    self.decide(now, identity, Fate::Stays);
                }
                (Some(tracked), word) => {
                    let before = Arc::clone(&tracked.instance);
                    let fate = tracked.hear(now, word);
                    // In which backends a server is that is named depends on who names it.
                    if *before != *tracked.instance || identity.run == Run::STATIC {
                        self.changed.insert(identity.clone());
                    }
                    self.decide(now, identity, fate);
                }
            }
        }
        touched.iter().for_each(|identity| self.make_way(now, identity));
        self.sources.forget_last_words();
    }

    /// Whoever is not confirmed makes way for a later run at its address.
    fn make_way(&mut self, now: Duration, identity: &Identity) {
        let Some(there) = self.by_address.get(&identity.address()).filter(|there| there.len() > 1) else {
            return;
        };
        let standing = |it: &Identity| self.endpoints.get(it).map(|tracked| tracked.standing);
        let listed = there.iter().filter(|it| standing(it) == Some(Standing::Listed));
        let Some(latest) = listed.map(|it| it.run).max() else { return };
        let is_earlier = |it: &&Identity| it.run < latest && standing(it) != Some(Standing::Listed);
        for earlier in there.iter().filter(is_earlier).cloned().collect::<Vec<_>>() {
            self.decide(now, &earlier, Fate::Goes(Why::LaterRun));
        }
    }

    fn decide(&mut self, now: Duration, identity: &Identity, fate: Fate) {
        match fate {
            Fate::Stays => self.settle(now, identity),
            Fate::Goes(why) => self.remove(now, identity, why),
        }
    }

    fn remove(&mut self, now: Duration, identity: &Identity, why: Why) {
        let Some(tracked) = self.endpoints.get(identity) else { return };
        self.has_given_up |= tracked.is_given_up();
        if let Some(key) = tracked.key() {
            self.forget_key(identity, key);
        }
        let (left, _) = self.leave_groups(identity);
        if let Some(tracked) = self.endpoints.remove(identity) {
            self.turns.push(Turn { identity: identity.clone(), from: tracked.told_state(), to: None, why });
        }
        if let Some(there) = self.by_address.get_mut(&identity.address()) {
            there.remove(identity);
            if there.is_empty() {
                self.by_address.remove(&identity.address());
            }
        }
        self.changed.insert(identity.clone());
        left.iter().for_each(|group| self.hold_to_half(now, group));
    }

    /// Everybody of the same run, wherever it listens.
    fn of_the_same_run(&self, identity: &Identity) -> impl Iterator<Item = &Identity> {
        of_the_same_run(&self.endpoints, identity)
    }
}
