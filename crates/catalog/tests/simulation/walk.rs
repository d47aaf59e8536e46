//! One schedule, done to the catalog and to the shadow; after each act they must agree.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use berth_catalog::{LinkId, Offer, Refusal, Ticket, Word};
use berth_model::{Patch, Registration, Run, Ttl, Verify};

use super::Key;
use super::acts::{Act, Answer, DialResult, Put, Who};
use super::seen::{Put as Outcome, Seen};
use super::shadow::Shadow;
use super::store::Store;

const TICK: Duration = Duration::from_millis(250);
/// A tick of a busy registry; long waits are made of these.
const LATE_TICK: Duration = Duration::from_secs(1);
const LONG_WAIT: Duration = Duration::from_secs(10);
/// The most by which the running clock advances however long the registry stood still.
const MOST_PER_STALL: Duration = Duration::from_millis(500);

pub(crate) struct Walk {
    /// What happened at least once.
    pub(crate) reached: BTreeSet<String>,
    store: Store,
    shadow: Shadow,
    // The running clock, and what it read at the last tick.
    now: Duration,
    ticked: Duration,
    wall_ms: u64,
    // What owners heard through their links.
    heard: BTreeMap<(Key, Run), Patch>,
    tickets: u64,
    links: u64,
    checks: usize,
}

impl Default for Walk {
    fn default() -> Self {
        let start = Duration::from_secs(1);
        Self {
            reached: BTreeSet::new(),
            store: Store::default(),
            shadow: Shadow::default(),
            now: start,
            ticked: start,
            wall_ms: 1_000_000,
            heard: BTreeMap::new(),
            tickets: 0,
            links: 0,
            checks: 0,
        }
    }
}

impl Walk {
    pub(crate) fn act(&mut self, act: &Act) {
        let now = self.now;
        match act {
            Act::Put(put) => self.put(put),
            Act::DialEnds { pick, result } => self.dial_ends(*pick, *result),
            Act::Renew { id, who } => {
                let run = self.run_of(*id, *who);
                assert_eq!(self.store.renew(*id, run, now), self.shadow.renew(*id, run, now));
            }
            Act::Patch { id, patch } => {
                assert_eq!(self.store.patch(*id, patch, now), self.shadow.patch(*id, patch, now));
            }
            Act::Deregister { id, who } => self.end(*id, Some(self.run_of(*id, *who))),
            Act::Remove { id } => self.end(*id, None),
            Act::OpenLink { names } => self.open_link(names),
            Act::LoseLink { pick } => self.lose_link(*pick),
            Act::DialBackEnds { pick, answer } => self.dial_back_ends(*pick, *answer),
            Act::Wait { ms } => self.wait(Duration::from_millis(*ms)),
            Act::Stall { ms } => {
                self.wall_ms += ms;
                self.now += Duration::from_millis(*ms).min(MOST_PER_STALL);
                self.evict();
            }
            Act::WallClockGoesBack { ms } => self.wall_ms -= ms,
        }
        self.check();
    }

    /// At the end of a schedule every cursor is looked at.
    pub(crate) fn finish(&mut self) {
        for cursor in 0..self.store.history.cursors() {
            if !self.store.history.check(cursor) {
                self.reached.insert("a cursor too old".to_owned());
            }
        }
        self.reached.extend(self.shadow.reached.iter().map(|reached| (*reached).to_owned()));
    }

    fn put(&mut self, put: &Put) {
        let run = put.who.map(|who| self.run_of(put.id, who));
        let said = &put.said;
        let heard = run.and_then(|run| self.heard.get(&(put.id, run))).filter(|_| put.repeats);
        let said = heard.map_or_else(|| said.clone(), |heard| merged(said.clone(), heard));
        let mut registration = Registration::of_port(put.port);
        registration.run = run;
        registration.verify = if put.is_dialled { Verify::Tcp } else { Verify::None };
        registration.ttl_s = Ttl::try_from(put.ttl_s).unwrap();
        registration.draining = said.draining.unwrap();
        registration.weight = said.weight.unwrap();
        registration.meta = said.meta.unwrap();
        let offer = Offer {
            service: "web".parse().unwrap(),
            id: put.id.to_string().parse().unwrap(),
            registration,
            host: "10.0.0.7".parse().unwrap(),
            fresh: self.fresh_run(),
        };
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let expected = self.shadow.put(put.id, &offer, ticket, self.now);
        assert_eq!(self.store.put(put.id, offer, ticket, self.now), expected);
    }

    fn dial_ends(&mut self, pick: usize, result: DialResult) {
        let Some(place) = pick.checked_rem(self.store.dials.len()) else { return };
        let (ticket, id, offer) = self.store.dials.remove(place);
        if result != DialResult::Accepted {
            assert_eq!(self.store.abandon(id, ticket, self.now), self.shadow.abandon(ticket));
            return;
        }
        let expected = self.shadow.verified(id, &offer, ticket, self.now);
        let outcome = self.store.verified(id, offer, ticket, self.now);
        assert_eq!(outcome, expected);
        let reached = match outcome {
            Ok(Outcome::Published { .. }) => "a dial accepted, and published",
            Ok(Outcome::Dialled) => panic!("it was dialled already"),
            Err(Refusal::Unknown) => "a dial accepted, but withdrawn",
            Err(Refusal::Gone(_)) => "a dial accepted, but refused: Gone",
            Err(Refusal::Superseded { .. }) => "a dial accepted, but refused: Superseded",
        };
        self.reached.insert(reached.to_owned());
    }

    fn end(&mut self, id: Key, run: Option<Run>) {
        assert_eq!(self.store.end(id, run, self.now), self.shadow.end(id, run, self.now));
    }

    /// An owner opens a link that names several runs, perhaps before it lost an older one.
    fn open_link(&mut self, names: &[(Key, Who)]) {
        self.links += 1;
        let link = LinkId(self.links);
        self.store.links.push((link, BTreeSet::new()));
        self.shadow.open(link);
        for (id, who) in names {
            let run = self.run_of(*id, *who);
            let pending = self.store.hold(*id, run, link, self.now);
            assert_eq!(pending, self.shadow.hold(*id, run, link, self.now));
            if let Some(pending) = pending.ok().filter(|pending| *pending != Patch::default()) {
                self.reached.insert("a link opened: pending".to_owned());
                self.hear(*id, run, &pending);
            }
        }
    }

    fn lose_link(&mut self, pick: usize) {
        let Some(place) = pick.checked_rem(self.store.links.len()) else { return };
        let (link, named) = self.store.links.remove(place);
        for id in named {
            let suspect = self.store.lose(id, link, self.now);
            assert_eq!(suspect.is_some(), self.shadow.lose(id, link, self.now));
        }
    }

    fn dial_back_ends(&mut self, pick: usize, answer: Answer) {
        let Some(place) = pick.checked_rem(self.store.dial_backs.len()) else { return };
        let (id, suspect) = self.store.dial_backs.remove(place);
        // Otherwise the lease decides.
        if answer == Answer::Refused {
            self.store.refused(id, suspect, self.now);
            self.shadow.refused(id, suspect, self.now);
        }
    }

    /// The clock ticks on its grid; the wait may end between two ticks.
    fn wait(&mut self, wait: Duration) {
        let until = self.now + wait;
        self.wall_ms += u64::try_from(wait.as_millis()).unwrap();
        let tick = if wait > LONG_WAIT { LATE_TICK } else { TICK };
        while self.ticked + tick <= until {
            self.now = self.ticked + tick;
            self.evict();
        }
        self.now = until;
    }

    fn evict(&mut self) {
        self.ticked = self.now;
        self.store.evict(self.now);
        self.shadow.evict(self.now);
        let timed = self.shadow.timed();
        assert_eq!(self.store.deadlines.len(), timed.len(), "each record waits once");
        assert!(self.store.records.len() >= timed.len());
    }

    fn check(&mut self) {
        self.compare_events();
        let mut live = 0;
        for (id, record) in &self.store.records {
            let seen = record.live().map(|instance| {
                live += 1;
                let known = self.store.history.now().get(&instance.identity());
                assert_eq!(known, Some(instance), "the log tells the state");
                Seen::of(instance, record.deadline().unwrap(), record.suspect())
            });
            assert_eq!(seen, self.shadow.seen(*id));
            assert!(record.ended(self.now).eq(self.shadow.stones(*id, self.now)), "tombstones of {id}");
        }
        assert_eq!(self.store.history.now().len(), live, "the log tells of nobody else");
        // A record is there for a lease, a tombstone or a dial, and for nothing else.
        let mut known = self.shadow.timed();
        known.extend(self.shadow.dialled());
        assert!(self.store.records.keys().eq(known.iter()));
        // One cursor each time, and all of them at the end.
        self.checks += 7;
        self.store.history.check(self.checks % self.store.history.cursors());
    }

    /// Of one id in their order. In which order ids end at one tick is nobody's business.
    fn compare_events(&mut self) {
        let mut told = std::mem::take(&mut self.store.told);
        let mut expected = std::mem::take(&mut self.shadow.told);
        told.sort_by_key(|told| told.id);
        expected.sort_by_key(|told| told.id);
        assert_eq!(told, expected);
        for told in &told {
            self.reached.insert(match told.reason {
                Some(reason) => format!("Left as {reason}"),
                None => format!("{:?}", told.kind),
            });
            let Some(notice) = &told.notice else { continue };
            match &notice.word {
                Word::Asked(patch) => {
                    self.reached.insert("a notice of Asked".to_owned());
                    self.hear(told.id, told.run, patch);
                }
                Word::Ended(_) => {
                    self.reached.insert("a notice of Ended".to_owned());
                }
            }
        }
    }

    fn hear(&mut self, id: Key, run: Run, patch: &Patch) {
        let known = self.heard.remove(&(id, run)).unwrap_or_default();
        self.heard.insert((id, run), merged(known, patch));
    }

    fn run_of(&self, id: Key, who: Who) -> Run {
        let live = self.store.records.get(&id).and_then(|record| record.live());
        match who {
            Who::Live => live.map_or_else(|| number(1), |instance| instance.run),
            Who::Fresh => self.fresh_run(),
            Who::Number(run) => number(run),
        }
    }

    /// Two that are made within one millisecond are the same: an id's owners must cope.
    fn fresh_run(&self) -> Run {
        Run::new(self.wall_ms, 0)
    }
}

fn merged(mut patch: Patch, over: &Patch) -> Patch {
    patch.draining = over.draining.or(patch.draining);
    patch.weight = over.weight.or(patch.weight);
    patch.meta = over.meta.clone().or(patch.meta);
    patch
}

fn number(run: u64) -> Run {
    run.to_string().parse().unwrap()
}
