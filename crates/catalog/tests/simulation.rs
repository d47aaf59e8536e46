//! A random walk over a whole catalog, as the registry's store composes one, beside a shadow model that is too
//! simple to be wrong. proptest prints the failing walk and keeps it for replay.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "simulation/shadow.rs"]
mod shadow;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use berth_catalog::{ChangeLog, Deadlines, Event, Gap, Offer, Record};
use berth_model::{ChangeKind, Identity, Instance, Patch, Registration, Run, Ttl};
use proptest::prelude::*;
use shadow::{Key, Shadow, run};

/// Few ids, runs and ports, so that the owners meet.
const IDS: u8 = 3;
const RUNS: u64 = 6;
const PORTS: u16 = 2;
const LOG_CAPACITY: usize = 24;

#[derive(Clone, Debug)]
enum Step {
    Put { id: Key, run: Option<u64>, port: u16, weight: u16, ttl_s: f64 },
    Renew { id: Key, run: u64 },
    Drain { id: Key, draining: bool },
    Deregister { id: Key, run: u64 },
    Remove { id: Key },
    Wait { ms: u64 },
    Evict,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = || 0..IDS;
    let run = || 1..=RUNS;
    let put = (
        id(),
        prop::option::weighted(0.8, run()),
        1..=PORTS,
        1u16..3,
        prop::sample::select(vec![2.0, 3.5, 60.0]),
    )
        .prop_map(|(id, run, port, weight, ttl_s)| Step::Put { id, run, port, weight, ttl_s });
    let step = prop_oneof![
        4 => put,
        4 => (id(), run()).prop_map(|(id, run)| Step::Renew { id, run }),
        1 => (id(), any::<bool>()).prop_map(|(id, draining)| Step::Drain { id, draining }),
        1 => (id(), run()).prop_map(|(id, run)| Step::Deregister { id, run }),
        1 => id().prop_map(|id| Step::Remove { id }),
        // Exact multiples of the TTLs too, so that the very moment of a deadline is met.
        4 => prop::sample::select(vec![1, 499, 500, 1000, 1500, 2000, 300_000]).prop_map(|ms| Step::Wait { ms }),
        4 => Just(Step::Evict),
    ];
    prop::collection::vec(step, 1..120)
}

/// A catalog, with what a reader that never missed anything holds after each sequence.
struct Walk {
    now: Duration,
    fresh: u64,
    records: BTreeMap<Key, Record>,
    deadlines: Deadlines<Key>,
    log: ChangeLog<Event>,
    states: Vec<BTreeMap<Identity, Arc<Instance>>>,
    shadow: Shadow,
}

impl Walk {
    fn new() -> Self {
        Self {
            now: Duration::from_secs(1),
            fresh: 100,
            records: BTreeMap::new(),
            deadlines: Deadlines::default(),
            log: ChangeLog::new(LOG_CAPACITY),
            states: vec![BTreeMap::new()],
            shadow: Shadow::default(),
        }
    }

    fn step(&mut self, step: &Step) {
        let now = self.now;
        match *step {
            Step::Put { id, run, port, weight, ttl_s } => self.put(id, run, port, weight, ttl_s),
            Step::Renew { id, run: number } => {
                let record = self.records.entry(id).or_default();
                let told = record.renew(run(number), now).map(|_| ());
                assert_eq!(told, self.shadow.renew(id, run(number), now));
                self.settle(id, []);
            }
            Step::Drain { id, draining } => {
                let patch = Patch { draining: Some(draining), ..Patch::default() };
                let told = self.records.entry(id).or_default().patch(&patch, now);
                assert_eq!(told.is_ok(), self.shadow.drain(id, draining, now));
                self.settle(id, told.ok().and_then(|(_, event)| event));
            }
            Step::Deregister { id, run: number } => self.end(id, Some(run(number))),
            Step::Remove { id } => self.end(id, None),
            Step::Wait { ms } => self.now += Duration::from_millis(ms),
            Step::Evict => self.evict(),
        }
    }

    fn put(&mut self, id: Key, number: Option<u64>, port: u16, weight: u16, ttl_s: f64) {
        self.fresh += 1;
        let mut registration = Registration::of_port(port);
        registration.run = number.map(run);
        registration.weight = weight;
        registration.ttl_s = Ttl::try_from(ttl_s).unwrap();
        let offer = Offer {
            service: "web".parse().unwrap(),
            id: format!("i{id}").parse().unwrap(),
            registration,
            host: "10.0.0.7".parse().unwrap(),
            fresh: run(self.fresh),
        };
        let expected = self.shadow.put(id, &offer, self.now);
        let told = self.records.entry(id).or_default().register(offer, self.now);
        assert_eq!(told.as_ref().map(|accepted| accepted.instance.run), expected.as_ref().copied());
        self.settle(id, told.map(|accepted| accepted.events).unwrap_or_default());
    }

    fn end(&mut self, id: Key, run: Option<Run>) {
        let told = self.records.entry(id).or_default().end(run, self.now);
        assert_eq!(told.as_ref().map(|_| ()).map_err(|refusal| *refusal), self.shadow.end(id, run, self.now));
        self.settle(id, told.ok());
    }

    fn evict(&mut self) {
        while let Some((at, id)) = self.deadlines.pop_due(self.now) {
            let record = self.records.get_mut(&id).unwrap();
            record.dequeued(at);
            let deadline = record.deadline();
            let event = record.expire(self.now);
            if event.is_some() {
                assert!(deadline.unwrap() <= self.now, "ended before its lease was over");
            }
            self.settle(id, event);
        }
        self.shadow.evict(self.now);
        for record in self.records.values() {
            assert!(record.deadline().is_none_or(|deadline| self.now < deadline), "outlived its lease");
        }
        assert_eq!(self.deadlines.len(), self.records.len(), "each record waits once");
    }

    /// What the store does after each call: log the events, queue the record, drop it when it is empty.
    fn settle(&mut self, id: Key, events: impl IntoIterator<Item = Event>) {
        for event in events {
            let mut state = self.states.last().unwrap().clone();
            apply(&mut state, &event);
            self.states.push(state);
            self.log.append(|_| event);
        }
        let record = self.records.get_mut(&id).unwrap();
        if let Some(recheck) = record.recheck() {
            self.deadlines.queue(&id, recheck);
        }
        if record.is_empty() {
            self.records.remove(&id);
        }
    }

    fn check(&self) {
        let live: Vec<_> =
            self.records.iter().filter_map(|(id, record)| Some((*id, record.live()?))).collect();
        let by_identity: BTreeMap<_, _> =
            live.iter().map(|(_, instance)| (instance.identity(), Arc::clone(instance))).collect();
        assert_eq!(self.states.last(), Some(&by_identity), "the log tells the state");
        self.shadow.check(&live, &self.deadlines_of_live());
        for (id, record) in &self.records {
            let stones: BTreeMap<_, _> = record.ended(self.now).collect();
            assert_eq!(stones, self.shadow.stones(*id, self.now));
        }
        for (cursor, state) in self.states.iter().enumerate() {
            match self.log.since(cursor as u64) {
                Ok(entries) => {
                    let mut replayed = state.clone();
                    entries.for_each(|event| apply(&mut replayed, event));
                    assert_eq!(replayed, by_identity, "from cursor {cursor}");
                }
                Err(gap) => {
                    assert_eq!(gap, Gap::TooOld);
                    assert!(self.states.len() - 1 - cursor > LOG_CAPACITY);
                }
            }
        }
    }

    fn deadlines_of_live(&self) -> BTreeMap<Key, Duration> {
        self.records.iter().filter_map(|(id, record)| Some((*id, record.deadline()?))).collect()
    }
}

/// A reader applies changes by identity. A joined one is new to it, the others it knows.
fn apply(state: &mut BTreeMap<Identity, Arc<Instance>>, event: &Event) {
    let identity = event.instance.identity();
    let known = match event.kind {
        ChangeKind::Joined => state.insert(identity, Arc::clone(&event.instance)).is_none(),
        ChangeKind::Changed => {
            let before = state.insert(identity, Arc::clone(&event.instance));
            before.is_some_and(|before| before != event.instance)
        }
        ChangeKind::Left => state.remove(&identity).is_some(),
    };
    assert!(known, "{event:?} does not follow from what came before");
    assert_eq!(event.reason.is_some(), event.kind == ChangeKind::Left);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_catalog_does_what_the_shadow_does(steps in steps()) {
        let mut walk = Walk::new();
        for step in &steps {
            walk.step(step);
            walk.check();
        }
    }
}
