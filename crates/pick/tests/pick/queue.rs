//! The waiting queue under any course of events, beside a record of who has what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};
use std::time::{Duration, Instant};

use berth_pick::queue::{Asks, Entered, Entry, Gate, Limits, Queue};
use berth_pick::{Chance, Endpoint};
use proptest::prelude::*;

use crate::site::Site;

fn endpoints(numbers: &BTreeSet<u16>, site: &mut Site) -> Vec<Arc<Endpoint>> {
    site.arrange(numbers);
    site.set.endpoints().to_vec()
}

/// One who waits.
#[derive(Clone, Debug, Default)]
struct Waits {
    wish: Option<u64>,
    /// The same, until that endpoint leaves.
    loyal_to: Option<u64>,
    tried: Vec<u64>,
}

/// The queue, and a record of it that knows no cleverness.
struct Record {
    site: Site,
    limits: Limits,
    queue: Queue<u64>,
    eligible: BTreeSet<u64>,
    placed: BTreeMap<u64, u64>,
    waiting: BTreeMap<u64, Waits>,
    /// What everybody asked for.
    asked: BTreeMap<u64, Waits>,
    /// Those who lose patience in the moment in which they are served.
    impatient: Chance,
    arrived: u64,
}

impl Record {
    fn new(limits: Limits, entropy: u64) -> Self {
        Self {
            site: Site::new(berth_pick::Strategy::RoundRobin, entropy),
            limits,
            queue: Queue::new(limits),
            eligible: BTreeSet::new(),
            placed: BTreeMap::new(),
            waiting: BTreeMap::new(),
            asked: BTreeMap::new(),
            impatient: Chance::new(entropy),
            arrived: 0,
        }
    }

    fn at(&self, key: u64) -> usize {
        self.placed.values().filter(|at| **at == key).count()
    }

    fn takes(&self, waits: &Waits, key: u64) -> bool {
        !waits.tried.contains(&key) && waits.loyal_to.is_none_or(|wish| wish == key)
    }

    fn place(&mut self, order: u64, key: u64) {
        assert!(self.eligible.contains(&key), "{order} got a place where nobody may go");
        self.placed.insert(order, key);
        let most = self.limits.in_flight.map_or(usize::MAX, |most| most as usize);
        assert!(self.at(key) <= most, "more at {key} than it takes");
        let all = self.limits.connections.map_or(usize::MAX, |most| most as usize);
        assert!(self.placed.len() <= all, "more than all take");
    }

    /// Those who were woken take what they got, or do not.
    fn wake(&mut self, woken: Vec<u64>) {
        // What is free even now was so when they were served.
        let rooms: Vec<u64> = self.eligible.iter().copied().filter(|key| self.queue.has_room(*key)).collect();
        let waited: Vec<Waits> = woken
            .iter()
            .map(|order| self.waiting.remove(order).expect("who is woken waits, and is woken once"))
            .collect();
        for (order, waits) in woken.into_iter().zip(waited) {
            if self.impatient.below(4) == 0 {
                let next = self.queue.give_up(order, waits.wish);
                self.wake(next);
                continue;
            }
            match self.queue.claim(order).expect("who is woken has got something") {
                Some(endpoint) => {
                    let key = endpoint.key();
                    let passed = self.waiting.range(..order).find(|(_, other)| self.takes(other, key));
                    assert!(passed.is_none(), "{order} overtakes {passed:?} at {key}");
                    let mut before = self.waiting.range(..order);
                    let passed = before.find(|(_, it)| rooms.iter().any(|key| self.takes(it, *key)));
                    assert!(passed.is_none(), "{order} takes the connection of {passed:?}");
                    assert!(self.takes(&waits, key));
                    self.place(order, key);
                }
                None => assert!(self.eligible.iter().all(|key| !self.takes(&waits, *key))),
            }
        }
    }

    fn arrive(&mut self, again: Option<u64>, wish: Option<u64>, tried: Vec<u64>) {
        let mut asks = Asks { order: again, wish, tried: &tried, hurries: false };
        let choice = self.site.choose(&[]).map(|index| self.site.set.endpoints()[index].key());
        // The ticket is known only afterwards, to the waker as well.
        let order = again.unwrap_or(self.arrived + 1);
        let entered = self.queue.enter(&mut asks, |_| choice, || order);
        let is_in = matches!(entered, Entered::Place(_) | Entered::Waits);
        assert_eq!(asks.order, is_in.then_some(order).or(again));
        self.arrived += u64::from(is_in && again.is_none());
        let loyal_to = wish.filter(|wish| self.eligible.contains(wish) && !tried.contains(wish));
        let waits = Waits { wish, loyal_to, tried };
        self.asked.insert(order, waits.clone());
        match entered {
            Entered::Place(endpoint) => {
                assert!(self.takes(&waits, endpoint.key()));
                self.place(order, endpoint.key());
            }
            Entered::Waits => {
                assert!(again.is_some() || self.waiting.len() < self.limits.length);
                self.waiting.insert(order, waits);
            }
            Entered::Nobody => {
                assert!(self.eligible.iter().all(|key| waits.tried.contains(key)));
                assert!(!self.eligible.is_empty() || !self.limits.holds_when_empty);
            }
            Entered::QueueFull => assert!(again.is_none() && self.waiting.len() >= self.limits.length),
            Entered::TooMany => {
                assert!(again.is_none() && self.limits.in_flight.is_none());
                assert!(self.placed.len() >= self.limits.connections.unwrap() as usize);
            }
        }
    }

    /// The `nth` of those who have a place.
    fn nth_placed(&self, nth: usize) -> Option<(u64, u64)> {
        self.placed.iter().nth(nth % self.placed.len().max(1)).map(|(order, key)| (*order, *key))
    }

    fn leave(&mut self, nth: usize) -> Option<(u64, u64)> {
        let (order, key) = self.nth_placed(nth)?;
        self.placed.remove(&order);
        let woken = self.queue.leave(key);
        self.wake(woken);
        Some((order, key))
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Arrives { wish } => {
                let wish = wish.and_then(|wish| self.eligible.iter().nth(usize::from(wish)).copied());
                self.arrive(None, wish, Vec::new());
            }
            Event::Hurries => {
                let mut asks = Asks { hurries: true, ..Asks::default() };
                let entered = self.queue.enter(&mut asks, |_| None, || panic!("it does not wait"));
                if let Entered::Place(endpoint) = entered {
                    self.arrived += 1;
                    self.asked.insert(self.arrived, Waits::default());
                    self.place(self.arrived, endpoint.key());
                }
            }
            Event::Leaves(nth) => drop(self.leave(nth)),
            Event::FailsAndComesBack(nth) => {
                if let Some((order, key)) = self.leave(nth) {
                    let Waits { wish, mut tried, .. } = self.asked[&order].clone();
                    tried.push(key);
                    self.arrive(Some(order), wish, tried);
                }
            }
            Event::GivesUp(nth) => {
                let nth = nth % self.waiting.len().max(1);
                if let Some((order, waits)) = self.waiting.iter().nth(nth).map(|(o, w)| (*o, w.clone())) {
                    self.waiting.remove(&order);
                    let woken = self.queue.give_up(order, waits.wish);
                    self.wake(woken);
                }
            }
            Event::Arranged(numbers) => {
                let endpoints = endpoints(&numbers, &mut self.site);
                self.eligible = endpoints.iter().map(|endpoint| endpoint.key()).collect();
                for waits in self.waiting.values_mut() {
                    waits.loyal_to = waits.loyal_to.filter(|wish| self.eligible.contains(wish));
                }
                let woken = self.queue.arrange(self.limits, &endpoints);
                self.wake(woken);
            }
            Event::Limited(limits) => {
                self.limits = limits;
                let woken = self.queue.arrange(limits, self.site.set.endpoints());
                self.wake(woken);
            }
        }
    }

    /// Nobody waits for what is there, and nobody is forgotten.
    fn check(&self) {
        assert_eq!(self.queue.waiting(), self.waiting.len());
        assert_eq!(self.queue.placed(), self.placed.len());
        let is_full = self.limits.connections.is_some_and(|most| self.placed.len() >= most as usize);
        for (order, waits) in &self.waiting {
            let place = self.eligible.iter().find(|key| {
                let is_free = self.limits.in_flight.is_none_or(|most| self.at(**key) < most as usize);
                is_free && self.takes(waits, **key)
            });
            assert!(is_full || place.is_none(), "{order} waits for {place:?}, which is free");
            let hopeless = self.eligible.iter().all(|key| waits.tried.contains(key));
            assert!(!hopeless || (self.eligible.is_empty() && self.limits.holds_when_empty));
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    Arrives { wish: Option<u8> },
    Leaves(usize),
    FailsAndComesBack(usize),
    Hurries,
    GivesUp(usize),
    Arranged(BTreeSet<u16>),
    Limited(Limits),
}

fn limits() -> impl Strategy<Value = Limits> {
    let some = |range: std::ops::Range<u32>| proptest::option::weighted(0.7, range);
    (some(1..4), some(1..9), 0_usize..8, any::<bool>()).prop_map(
        |(in_flight, connections, length, holds_when_empty)| Limits {
            in_flight,
            connections,
            length,
            holds_when_empty,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let any_of = 0..usize::MAX;
    prop_oneof![
        8 => proptest::option::weighted(0.3, 0_u8..4).prop_map(|wish| Event::Arrives { wish }),
        5 => any_of.clone().prop_map(Event::Leaves),
        2 => any_of.clone().prop_map(Event::FailsAndComesBack),
        1 => any_of.prop_map(Event::GivesUp),
        1 => Just(Event::Hurries),
        1 => proptest::collection::btree_set(0_u16..4, 0..4).prop_map(Event::Arranged),
        1 => limits().prop_map(Event::Limited),
    ]
}

proptest! {
    /// Bounds hold, nobody overtakes, nobody is woken for nothing or twice, and nobody waits for a place that is free.
    #[test]
    fn nobody_is_forgotten_and_nobody_overtakes(
        first in limits(),
        entropy in any::<u64>(),
        events in proptest::collection::vec(event(), 1..80),
    ) {
        let mut record = Record::new(first, entropy);
        record.apply(Event::Arranged([0, 1].into()));
        for event in events {
            record.apply(event);
            record.check();
        }
        // Once there is somebody, all who still wait get their turn as the others leave.
        record.apply(Event::Arranged([0, 1, 2].into()));
        while !record.placed.is_empty() {
            record.apply(Event::Leaves(0));
            record.check();
        }
        prop_assert!(record.waiting.is_empty());
    }
}

fn limit(in_flight: u32, length: usize) -> Limits {
    Limits { in_flight: Some(in_flight), connections: None, length, holds_when_empty: true }
}

/// Wakes a thread.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "whoever is never woken must not wait for ever")]
fn threads_share_a_gate() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 3_000;
    let mut site = Site::new(berth_pick::Strategy::RoundRobin, 1);
    let endpoints = endpoints(&[0, 1].into(), &mut site);
    let gate = Arc::new(Gate::new(limit(1, THREADS)));
    gate.arrange(limit(1, THREADS), &endpoints);
    let (inside, served, waited) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (gate, inside, served, waited) = (&gate, &inside, &served, &waited);
            let first = endpoints[thread % 2].key();
            scope.spawn(move || {
                let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
                for round in 0..ROUNDS {
                    let wish = (round % 3 == 0).then_some(first);
                    let mut asks = Asks { wish, ..Asks::default() };
                    let place = match gate.enter(&mut asks, |_| Some(first), &waker) {
                        Entry::Place(place) => place,
                        Entry::Waits(waiting) if round % 7 == 6 => {
                            drop(waiting);
                            continue;
                        }
                        Entry::Waits(mut waiting) => loop {
                            match waiting.poll_claim() {
                                Poll::Ready(place) => {
                                    waited.fetch_add(1, Ordering::Relaxed);
                                    break place.expect("there is somebody");
                                }
                                Poll::Pending => {
                                    let patience = Duration::from_secs(30);
                                    let begun = Instant::now();
                                    std::thread::park_timeout(patience);
                                    assert!(begun.elapsed() < patience, "nobody woke it");
                                }
                            }
                        },
                        other => panic!("{other:?}"),
                    };
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < 2, "one at each endpoint");
                    served.fetch_add(1, Ordering::Relaxed);
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(place);
                }
            });
        }
    });
    assert_eq!((gate.waiting(), gate.placed()), (0, 0));
    assert!(served.into_inner() > THREADS * ROUNDS / 2 && waited.into_inner() > 0);
}

#[test]
fn who_waits_for_somebody_to_come_is_served_when_somebody_does() {
    let mut site = Site::new(berth_pick::Strategy::RoundRobin, 1);
    let unlimited = Limits { in_flight: None, ..limit(1, 2) };
    let gate = Arc::new(Gate::new(unlimited));
    let enter = || gate.enter(&mut Asks::default(), |_| None, Waker::noop());
    let (Entry::Waits(mut first), Entry::Waits(mut second)) = (enter(), enter()) else {
        panic!("nobody is there")
    };
    assert!(matches!(enter(), Entry::QueueFull));
    assert!(first.poll_claim().is_pending());
    let endpoints = endpoints(&[0, 1].into(), &mut site);
    gate.arrange(unlimited, &endpoints);
    let [first, second] = [&mut first, &mut second].map(|waiting| match waiting.poll_claim() {
        Poll::Ready(Some(place)) => place.endpoint().key(),
        other => panic!("{other:?}"),
    });
    assert_ne!(first, second, "they are spread over those who came");
    // Where nobody is to be waited for, whoever waits hears of it.
    gate.arrange(limit(1, 2), &endpoints);
    let Entry::Place(_kept) = enter() else { panic!("there is room") };
    let Entry::Place(_kept) = enter() else { panic!("there is room") };
    let Entry::Waits(mut waits) = enter() else { panic!("there is none") };
    gate.arrange(Limits { holds_when_empty: false, ..limit(1, 2) }, &[]);
    assert!(matches!(waits.poll_claim(), Poll::Ready(None)));
}
