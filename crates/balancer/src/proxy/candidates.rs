//! The endpoints that may serve a request: which comes next, and whether there is a place at it.

use std::sync::Arc;
use std::task::Waker;

use berth_pick::Ask;
use berth_pick::queue::{Asks, Entry, Place, Queue, Waiting};

use super::asking::Asking;
use super::chosen::Chosen;
use super::view::Routed;
use crate::upstreams::{LiveBackend, StickyCookie, TurnedAway};

/// How often the strategy is asked for an endpoint that has room.
const MOST_TURNS: usize = 8;

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
/// others, theirs.
pub(crate) struct Candidates<'a> {
    routed: &'a Routed,
    backend: usize,
    /// Endpoints of this backend that have failed, by their places.
    tried: Vec<usize>,
    /// The same by their keys.
    tried_keys: Vec<u64>,
    /// Its number among those who came to this backend's queue.
    order: Option<u64>,
    /// Backends that have nobody left.
    given_up: Vec<usize>,
}

impl<'a> Candidates<'a> {
    #[inline]
    pub(crate) fn of(routed: &'a Routed) -> Self {
        let (tried, tried_keys, given_up) = (Vec::new(), Vec::new(), Vec::new());
        Self { routed, backend: routed.backend, tried, tried_keys, order: None, given_up }
    }

    /// The next one, which is none of those before.
    #[inline]
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

    /// The next one of this backend.
    #[inline]
    fn choose(&self, asking: &Asking) -> Option<Chosen> {
        let (view, key) = (&self.routed.view, self.routed.key);
        if let Some(index) = self.kept() {
            return Some(Chosen::of(view, self.backend, index));
        }
        asking.ask(key, &self.tried, |ask| Chosen::next(view, self.backend, ask))
    }

    /// The one that the client is to keep to.
    #[inline]
    fn kept(&self) -> Option<usize> {
        let kept = self.routed.kept()?;
        (self.backend == self.routed.backend && !self.tried.contains(&kept)).then_some(kept)
    }

    /// The backend that is asked now.
    #[inline]
    pub(crate) fn backend(&self) -> &Arc<LiveBackend> {
        &self.routed.view.backends[self.backend]
    }

    /// Asks this backend, which has limits, for a place.
    pub(crate) fn enter(&mut self, asking: &Asking, waker: &Waker) -> Offer {
        let backend = self.backend();
        if !backend.about.capacity.counts() {
            if let Some(chosen) = self.choose(asking) {
                return Offer::Chosen(chosen);
            }
            if !backend.is_limited {
                return Offer::Nobody;
            }
        }
        // Nobody has to be waited for where somebody else could serve.
        if backend.set.is_empty() && self.are_others_there() {
            return Offer::Nobody;
        }
        let endpoints = backend.set.endpoints();
        let wish = self.kept().map(|index| endpoints[index].key());
        let mut asks = Asks { order: self.order, wish, tried: &self.tried_keys };
        let mut tried = self.tried.clone();
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
        let entry = backend.lasting.places.gate.enter(&mut asks, choose, waker);
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
        let mut given_up = [&self.given_up[..], &[self.backend]].concat();
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
        let backend = &self.routed.view.backends[chosen.place().0];
        let cookie = backend.sticky.as_ref()?;
        self.new_cookie(backend, cookie, chosen)
    }

    #[cold]
    fn new_cookie(&self, backend: &LiveBackend, cookie: &StickyCookie, chosen: &Chosen) -> Option<Box<str>> {
        let kept = self.kept().map(|index| backend.set.endpoints()[index].key());
        (kept != Some(chosen.key())).then(|| cookie.field(chosen.place().1, chosen).into())
    }

    /// This one has failed. It may have been chosen before, of a backend further on: then those in front of that have
    /// nobody.
    pub(crate) fn failed(&mut self, (backend, index): (usize, usize), key: u64) {
        while backend != self.backend {
            if !self.give_up() {
                return;
            }
        }
        self.tried.push(index);
        self.tried_keys.push(key);
    }

    /// Goes on to the next backend, if there is one.
    #[cold]
    pub(crate) fn give_up(&mut self) -> bool {
        self.given_up.push(self.backend);
        let Some(other) = self.routed.route().others(&self.given_up) else { return false };
        self.backend = other;
        self.tried.clear();
        self.tried_keys.clear();
        self.order = None;
        true
    }
}
