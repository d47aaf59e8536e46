use std::net::IpAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use berth_http1::RequestHead;
use berth_pick::queue::{Asks, Entry, Place, Queue, Waiting};
use berth_pick::{Ask, Endpoint};
use berth_route::Ambiguous;

use super::asking::Asking;
use super::tally::Tally;
use crate::routing::{LiveRoute, PublicUrl};
use crate::upstreams::{LiveBackend, Snapshot, TurnedAway};

/// A worker's own hold on a snapshot. Requests share it by a count that no other thread touches.
pub(crate) type View = Rc<Viewed>;

/// A snapshot as one worker goes by it, with the requests that the worker has counted there.
#[derive(Debug)]
pub(crate) struct Viewed {
    snapshot: Arc<Snapshot>,
    tally: Tally,
}

impl Viewed {
    pub(crate) fn of(snapshot: Arc<Snapshot>) -> Self {
        let tally = Tally::of(&snapshot);
        Self { snapshot, tally }
    }

    /// Adds what was counted to the totals of all workers.
    pub(crate) fn settle(&self) {
        self.tally.settle(&self.snapshot);
    }
}

impl Deref for Viewed {
    type Target = Snapshot;
    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

/// How often the strategy is asked for an endpoint that has room.
const MOST_TURNS: usize = 8;

/// No place in a set.
const NOBODY: u32 = u32::MAX;

/// The route of a request, with the view that keeps it alive.
#[derive(Debug)]
pub(crate) struct Routed {
    pub(crate) view: View,
    /// The route's place.
    route: usize,
    /// The backend that the request goes to first; nowhere in the view if it asks no endpoint.
    pub(crate) backend: usize,
    /// What keeps the client or the request to an endpoint, where the backend goes by it.
    key: u64,
    /// The place of the endpoint that the client is to keep to, or [`NOBODY`].
    kept: u32,
}

impl Routed {
    /// Finds the route of a request, and counts it there.
    ///
    /// # Errors
    /// The route depends on who reads the path.
    #[inline]
    pub(crate) fn find(view: View, head: &RequestHead<'_>, peer: IpAddr) -> Result<Option<Self>, Ambiguous> {
        let Some(route) = view.routes.find(head)? else { return Ok(None) };
        let backend = view.routes.get(route).backend(head);
        view.tally.count(route, backend);
        let (key, kept) = view.backends.get(backend).map_or((0, NOBODY), |backend| {
            let kept = backend.sticky.as_ref().and_then(|cookie| cookie.place(head));
            let kept = kept.and_then(|place| u32::try_from(place).ok());
            (backend.chooser.choosing.key_of(head, peer), kept.unwrap_or(NOBODY))
        });
        Ok(Some(Self { view, route, backend, key, kept }))
    }

    #[inline]
    pub(crate) fn route(&self) -> &LiveRoute {
        self.view.routes.get(self.route)
    }

    /// Whom clients are told about when there is nobody.
    pub(crate) fn subject(&self) -> &str {
        self.view.backends.get(self.backend).map_or("", |backend| &backend.about.subject)
    }
}

/// An endpoint that was chosen, with the view that keeps it alive.
#[derive(Debug)]
pub(crate) struct Chosen {
    hold: Hold,
    /// Its backend's place in the view.
    backend: usize,
    /// Its place in the backend's set. That of one which was waited for is not known.
    index: usize,
}

/// What keeps a chosen endpoint alive.
#[derive(Debug)]
enum Hold {
    /// A count that no other thread touches.
    View(View),
    Endpoint(Arc<Endpoint>),
    /// A place of a backend whose endpoints take so many requests and no more.
    Place(Box<Place>),
}

impl Chosen {
    /// Chooses an endpoint of this backend that is not among `tried`.
    #[inline]
    pub(crate) fn next(view: &View, backend: usize, ask: &mut Ask<'_>) -> Option<Self> {
        let chooses = &view.backends[backend];
        let index = chooses.chooser.choose(&chooses.set, ask)?;
        Some(Self { hold: Hold::View(Rc::clone(view)), backend, index })
    }

    /// One that a place was waited for.
    fn at(place: Place, backend: usize) -> Self {
        Self { hold: Hold::Place(Box::new(place)), backend, index: usize::MAX }
    }

    /// Its backend's place in the view, and its own in the backend's set.
    pub(crate) fn place(&self) -> (usize, usize) {
        (self.backend, self.index)
    }

    /// Where clients reach it without us.
    pub(crate) fn public_url(&self) -> Option<&PublicUrl> {
        match &self.hold {
            Hold::View(view) => view.backends[self.backend].public_url(self.index),
            Hold::Endpoint(_) | Hold::Place(_) => None,
        }
    }

    /// Lets go of the view. For what lasts long: else a tunnel would keep all endpoints that were there when it began.
    pub(crate) fn let_go_of_view(&mut self) {
        if let Hold::View(view) = &self.hold {
            self.hold = Hold::Endpoint(Arc::clone(&view.backends[self.backend].set.endpoints()[self.index]));
        }
    }
}

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
            return Some(Chosen { hold: Hold::View(Rc::clone(view)), backend: self.backend, index });
        }
        asking.ask(key, &self.tried, |ask| Chosen::next(view, self.backend, ask))
    }

    /// The one that the client is to keep to.
    #[inline]
    fn kept(&self) -> Option<usize> {
        if self.routed.kept == NOBODY || self.backend != self.routed.backend {
            return None;
        }
        let index = self.routed.kept as usize;
        (!self.tried.contains(&index)).then_some(index)
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
        let backend = &self.routed.view.backends[chosen.backend];
        let cookie = backend.sticky.as_ref()?;
        let kept = self.kept().map(|index| backend.set.endpoints()[index].key());
        (kept != Some(chosen.key())).then(|| cookie.field(chosen).into())
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

impl Deref for Chosen {
    type Target = Endpoint;
    fn deref(&self) -> &Endpoint {
        match &self.hold {
            Hold::View(view) => &view.backends[self.backend].set.endpoints()[self.index],
            Hold::Endpoint(endpoint) => endpoint,
            Hold::Place(place) => place.endpoint(),
        }
    }
}
