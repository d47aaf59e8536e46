//! The endpoints that may serve a request: which comes next, and whether there is a place at it.

use std::sync::Arc;
use std::task::Waker;

use berth_pick::queue::{Asks, Entry, Place, Queue, Waiting};
use berth_pick::{Ask, Endpoint};

use super::asking::Asking;
use super::chosen::Chosen;
use super::past::Past;
use super::shared::Worker;
use super::view::Routed;
use crate::upstreams::{LiveBackend, StickyCookie, TurnedAway};

/// How often the strategy is asked for an endpoint that has room.
const MOST_TURNS: usize = 8;

/// How many of the reserve a request asks, so that thousands that are dead do not keep the client from its answer. The
/// next request begins elsewhere.
const MOST_OF_RESERVE: usize = 32;

/// How often a request goes on by a newer view.
const MOST_RENEWED: u32 = 4;

/// What a backend with limits has for a request.
#[derive(Debug)]
pub(crate) enum Offer {
    Chosen(Chosen),
    /// A place in its queue.
    Waits(Waiting),
    /// It has nobody that was not tried.
    Nobody,
    TurnedAway(TurnedAway),
}

/// The endpoints that may serve a request, one after the other: those of its backend, then, if the route has a share for
/// others, theirs; then those of their reserves; then, if it may be sent again, those anew that took it before.
pub(crate) struct Candidates {
    routed: Routed,
    backend: usize,
    /// Its number among those who came to this backend's queue.
    order: Option<u64>,
    /// Most requests have none.
    past: Option<Box<Past>>,
}

impl Candidates {
    #[inline]
    pub(crate) fn of(routed: Routed) -> Self {
        Self { backend: routed.backend, routed, order: None, past: None }
    }

    /// The next one, which is none of those before, whatever the limits are: for who is not sent there by us.
    pub(crate) fn next(&mut self, asking: &Asking) -> Option<Chosen> {
        loop {
            if let Some(chosen) = self.choose(asking) {
                return Some(chosen);
            }
            if !self.give_up() {
                return None;
            }
        }
    }

    /// The next one of this backend, if there is one that need not be waited for.
    #[inline]
    pub(crate) fn at_once(&mut self, asking: &Asking) -> Option<Chosen> {
        if !self.backend().counts {
            return self.choose(asking);
        }
        match self.enter(asking, None) {
            Offer::Chosen(chosen) => Some(chosen),
            _ => None,
        }
    }

    /// The next one of this backend.
    #[inline]
    fn choose(&self, asking: &Asking) -> Option<Chosen> {
        let (view, key) = (&self.routed.view, self.routed.key);
        if let Some(index) = self.kept() {
            return Some(Chosen::of(view, self.backend, index));
        }
        asking.ask(key, self.tried(), |ask| Chosen::next(view, self.backend, ask))
    }

    /// The one that the client is to keep to.
    #[inline]
    fn kept(&self) -> Option<usize> {
        let kept = self.routed.kept()?;
        (self.backend == self.routed.backend && !self.tried().contains(&kept)).then_some(kept)
    }

    #[inline]
    fn tried(&self) -> &[usize] {
        self.past.as_ref().map_or(&[], |past| &past.tried)
    }

    /// The route, and the view that it is gone by.
    #[inline]
    pub(crate) fn routed(&self) -> &Routed {
        &self.routed
    }

    /// The same, when nobody is asked any more.
    pub(crate) fn into_routed(self) -> Routed {
        self.routed
    }

    /// The backend that an endpoint was chosen of.
    #[inline]
    pub(crate) fn backend_of(&self, chosen: &Chosen) -> &LiveBackend {
        &self.routed.view.backends[chosen.place().0]
    }

    /// The backend that is asked now.
    #[inline]
    pub(crate) fn backend(&self) -> &Arc<LiveBackend> {
        &self.routed.view.backends[self.backend]
    }

    /// Asks this backend for a place. Without a waker it does not wait for one.
    pub(crate) fn enter(&mut self, asking: &Asking, waker: Option<&Waker>) -> Offer {
        let backend = self.backend();
        let places = &backend.lasting.places;
        // What is gone is finished by what it began with.
        let counts = backend.counts && !places.is_closed();
        if !counts && let Some(chosen) = self.choose(asking) {
            return Offer::Chosen(chosen);
        }
        if !backend.is_limited {
            return Offer::Nobody;
        }
        // Nobody has to be waited for where somebody else could serve.
        if backend.set.is_empty() && (self.are_others_there() || !backend.reserve.is_empty()) {
            return Offer::Nobody;
        }
        let endpoints = backend.set.endpoints();
        let wish = self.kept().map(|index| endpoints[index].key());
        let failed = self.past.as_ref().map_or(&[][..], |past| &past.keys);
        let mut asks = Asks { order: self.order, wish, tried: failed, hurries: waker.is_none() };
        let mut tried = self.tried().to_vec();
        let choose = |queue: &Queue<Waker>| {
            // A few turns for whom the strategy would have; then for anybody who has room.
            for _ in 0..MOST_TURNS {
                let choose = |ask: &mut Ask<'_>| backend.chooser.choose(&backend.set, ask);
                let index = asking.ask(self.routed.key, &tried, choose)?;
                let key = endpoints[index].key();
                if queue.has_room(key) {
                    return Some(key);
                }
                tried.push(index);
            }
            None
        };
        let entry = places.gate.enter(&mut asks, choose, waker.unwrap_or(Waker::noop()));
        self.order = asks.order;
        match entry {
            Entry::Place(place) => Offer::Chosen(Chosen::at(place, self.backend)),
            Entry::Waits(waiting) => Offer::Waits(waiting),
            Entry::Nobody => Offer::Nobody,
            Entry::QueueFull => Offer::TurnedAway(TurnedAway::QueueFull),
            Entry::TooMany => Offer::TurnedAway(TurnedAway::Connections),
        }
    }

    /// Whether another backend of the route has somebody.
    fn are_others_there(&self) -> bool {
        let mut given_up = self.past.as_ref().map(|past| past.given_up.clone()).unwrap_or_default();
        given_up.push(self.backend);
        while let Some(other) = self.routed.route().others(&given_up) {
            if !self.routed.view.backends[other].set.is_empty() {
                return true;
            }
            given_up.push(other);
        }
        false
    }

    /// A place of this backend that was waited for.
    pub(crate) fn waited_for(&self, place: Place) -> Chosen {
        Chosen::at(place, self.backend)
    }

    /// The field that makes the client keep to this endpoint, if it is to and does not yet.
    #[inline]
    pub(crate) fn cookie(&self, chosen: &Chosen) -> Option<Box<str>> {
        let backend = self.backend_of(chosen);
        let cookie = backend.sticky.as_ref()?;
        self.new_cookie(backend, cookie, chosen)
    }

    #[cold]
    fn new_cookie(&self, backend: &LiveBackend, cookie: &StickyCookie, chosen: &Chosen) -> Option<Box<str>> {
        let kept = self.kept().map(|index| backend.set.endpoints()[index].key());
        (kept != Some(chosen.key())).then(|| cookie.field(chosen.place().1, chosen).into())
    }

    /// This one has failed, if `is_unreachable` before it had any of the request. It may have been chosen before, of a
    /// backend further on: then those in front of that have nobody.
    #[cold]
    pub(crate) fn failed(&mut self, (backend, index): (usize, usize), key: u64, is_unreachable: bool) {
        let past = self.past.get_or_insert_default();
        if is_unreachable { &mut past.unreachable } else { &mut past.seen }.insert(key);
        while backend != self.backend {
            if !self.give_up() {
                return;
            }
        }
        // Where one that was waited for is in the set, nobody has looked yet.
        let endpoints = self.backend().set.endpoints();
        let is_it = |place: &usize| endpoints.get(*place).is_some_and(|it| it.key() == key);
        let index =
            Some(index).filter(is_it).or_else(|| endpoints.iter().position(|endpoint| endpoint.key() == key));
        let past = self.past.get_or_insert_default();
        past.tried.extend(index);
        past.keys.push(key);
    }

    /// Whether this is the first choice.
    #[inline]
    pub(crate) fn is_first(&self) -> bool {
        self.past.is_none()
    }

    /// Whether it is passed over: one that was given up meanwhile comes last.
    #[inline]
    pub(crate) fn passes_over(&mut self, chosen: &Chosen) -> bool {
        let passes = self.past.as_ref().is_some_and(|past| !past.is_anew) && chosen.signals().is_given_up();
        if passes {
            self.failed(chosen.place(), chosen.key(), false);
        }
        passes
    }

    /// One of those who may serve if nobody of the sets can, each once, in any order. They have no places.
    #[cold]
    pub(crate) fn of_reserve(&mut self, asking: &Asking) -> Option<Chosen> {
        let past = &mut **self.past.get_or_insert_default();
        let backends = &self.routed.view.backends;
        let left = past.reserve.get_or_insert_with(|| {
            let places = self.routed.backends().into_iter();
            places.flat_map(|place| (0..backends[place].reserve.len()).map(move |at| (place, at))).collect()
        });
        while past.asked_of_reserve < MOST_OF_RESERVE && !left.is_empty() {
            let (backend, at) = left.swap_remove(asking.ask(0, &[], |ask| ask.chance.below(left.len())));
            let endpoint = &backends[backend].reserve[at];
            if past.seen.contains(&endpoint.key()) || past.unreachable.contains(&endpoint.key()) {
                continue;
            }
            if !past.is_anew && endpoint.signals().is_given_up() {
                past.seen.insert(endpoint.key());
                continue;
            }
            past.asked_of_reserve += 1;
            return Some(Chosen::reserve(Arc::clone(endpoint), backend));
        }
        None
    }

    /// Whether anybody else could serve it than the endpoint that it is with, and has not failed yet; also one who came
    /// after it began.
    #[cold]
    pub(crate) fn has_other(&self, worker: &Worker, than: &Endpoint) -> bool {
        let past = self.past.as_deref();
        let could = |endpoint: &Arc<Endpoint>| {
            endpoint.key() != than.key() && !past.is_some_and(|past| past.is_over_for(endpoint))
        };
        has_any(&self.routed, could) || self.newer(worker, than.key()).is_some()
    }

    /// Goes on by the newest view, if somebody is there who was not asked yet.
    #[cold]
    pub(crate) fn renew(&mut self, worker: &Worker) -> bool {
        // No endpoint has this key.
        let Some(routed) = self.newer(worker, u64::MAX) else { return false };
        self.routed = routed;
        self.past.get_or_insert_default().renew();
        self.go_to(self.routed.backend);
        true
    }

    /// The same by the newest view, if somebody is there who was not asked yet, other than this one. Who could not be
    /// reached before may have come back.
    fn newer(&self, worker: &Worker, than: u64) -> Option<Routed> {
        let past = self.past.as_deref();
        let may = worker.generation() != self.routed.view.generation;
        if !may || past.is_some_and(|past| past.renewed >= MOST_RENEWED) {
            return None;
        }
        let routed = self.routed.renewed(worker.view())?;
        let could = |endpoint: &Arc<Endpoint>| {
            let key = endpoint.key();
            key != than && !past.is_some_and(|past| past.seen.contains(&key))
        };
        has_any(&routed, could).then_some(routed)
    }

    /// Begins anew with those that have had the request, if there are any.
    #[cold]
    pub(crate) fn begin_anew(&mut self) -> bool {
        let Some(past) = self.past.as_mut().filter(|past| !past.seen.is_empty()) else { return false };
        past.begin_anew();
        self.go_to(self.routed.backend);
        true
    }

    /// Goes on to the next backend, if there is one.
    #[cold]
    pub(crate) fn give_up(&mut self) -> bool {
        let past = self.past.get_or_insert_default();
        past.given_up.push(self.backend);
        let Some(other) = self.routed.route().others(&past.given_up) else { return false };
        self.go_to(other);
        true
    }

    /// This backend is asked from now on. It may have endpoints of one that was asked before.
    fn go_to(&mut self, backend: usize) {
        (self.backend, self.order) = (backend, None);
        let endpoints = self.routed.view.backends[backend].set.endpoints();
        let past = self.past.get_or_insert_default();
        let over = endpoints.iter().enumerate().filter(|(_, endpoint)| past.is_over_for(endpoint));
        (past.tried, past.keys) = over.map(|(index, endpoint)| (index, endpoint.key())).unzip();
    }
}

/// Whether anybody who may serve the request is well, among those who `could`.
fn has_any(routed: &Routed, could: impl Fn(&Arc<Endpoint>) -> bool) -> bool {
    routed.backends().into_iter().any(|place| {
        let backend = &routed.view.backends[place];
        let mut all = backend.set.endpoints().iter().chain(&backend.reserve);
        all.any(|endpoint| !endpoint.signals().is_given_up() && could(endpoint))
    })
}
