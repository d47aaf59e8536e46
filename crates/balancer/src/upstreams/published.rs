//! What workers know of the upstreams: an unchanging snapshot, swapped whole.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use berth_daemon::RunningTime;
use berth_pick::{Ask, Chooser, Eligible, Endpoint, Set, Signal, Strategy};
use rustc_hash::FxHashSet;
use tokio::sync::mpsc;

use super::evidence::Evidence;
use super::places::Places;
use super::sticky::StickyCookie;
use crate::routing::{Capacity, Choosing, ProxySettings, PublicUrl, Routes, StepTimeouts};

/// Routes, backends and all that workers go by at one moment, as the `upstreams` task published it.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Grows with each snapshot.
    pub(crate) generation: u64,
    /// Grows with each snapshot that lacks somebody who was in the one before.
    pub(crate) departures: u64,
    pub(crate) routes: Arc<Routes>,
    /// The operator's backends, then those of advertised routes.
    pub(crate) backends: Vec<Arc<LiveBackend>>,
    pub(crate) general: Arc<ProxySettings>,
    /// The general deadlines of a request's steps.
    pub(crate) timeouts: StepTimeouts,
}

/// How a backend chooses, with the turn that it has come to.
#[derive(Debug)]
pub(crate) struct LiveChooser {
    pub(crate) choosing: Choosing,
    chooser: Chooser,
}

impl LiveChooser {
    pub(crate) fn new(choosing: &Choosing, entropy: u64) -> Self {
        Self { choosing: choosing.clone(), chooser: choosing.chooser(entropy) }
    }

    /// Lays out the set that follows `before`.
    pub(crate) fn arrange(&self, before: &Set, eligible: &[Eligible]) -> Set {
        self.chooser.arrange(before, eligible)
    }

    /// The index of the endpoint that takes the next request.
    #[inline]
    pub(crate) fn choose(&self, set: &Set, ask: &mut Ask<'_>) -> Option<usize> {
        self.chooser.choose(set, ask)
    }

    /// Whether it matters how long answers take.
    #[inline]
    pub(crate) fn times_answers(&self) -> bool {
        self.chooser.strategy() == Strategy::PeakEwma
    }
}

/// What lasts of a backend over all its snapshots, and all reloads that leave it its name.
#[derive(Debug)]
pub(crate) struct Lasting {
    /// Its name; for the backend of an advertised route, the route's rule.
    pub(crate) name: String,
    /// Requests that went to it first, over all workers; each adds its own at its ticks.
    pub(crate) requests: Arc<AtomicU64>,
    /// Its places, and who waits for one.
    pub(crate) places: Arc<Places>,
    /// Whether the places are another backend's.
    pub(crate) is_shared: bool,
}

impl Lasting {
    /// Of a backend that is new.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), requests: Arc::default(), places: Arc::default(), is_shared: false }
    }

    /// The same under another name, with its own total.
    pub(crate) fn renamed(&self, name: &str) -> Self {
        Self { places: Arc::clone(&self.places), ..Self::new(name) }
    }

    /// The same with places of its own.
    pub(crate) fn apart(&self) -> Self {
        Self { requests: Arc::clone(&self.requests), ..Self::new(&self.name) }
    }

    /// The same with the places of another backend.
    pub(crate) fn sharing(&self, other: &Self) -> Self {
        Self {
            name: self.name.clone(),
            requests: Arc::clone(&self.requests),
            places: Arc::clone(&other.places),
            is_shared: true,
        }
    }
}

/// What the operator says of a backend, beside how it chooses.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct About {
    /// Whom clients are told about when there is nobody: `service web@1.x`.
    pub(crate) subject: Arc<str>,
    /// How many requests it takes.
    pub(crate) capacity: Capacity,
}

/// One backend at one moment.
#[derive(Debug)]
pub(crate) struct LiveBackend {
    /// Whom to choose from.
    pub(crate) set: Set,
    /// Who may serve if nobody of those can: ejected endpoints, unless the set is made of them.
    pub(crate) reserve: Vec<Arc<Endpoint>>,
    /// How to choose; the same in every snapshot, unless the operator decides otherwise.
    pub(crate) chooser: Arc<LiveChooser>,
    pub(crate) about: About,
    /// Whether a request may have to wait for a place, or be turned away.
    pub(crate) is_limited: bool,
    /// Whether every request needs a place.
    pub(crate) counts: bool,
    pub(crate) lasting: Arc<Lasting>,
    /// How clients are kept at its endpoints, if they are.
    pub(crate) sticky: Option<StickyCookie>,
    /// Where clients reach each endpoint of the set without us; empty if none has such a place.
    public: Vec<Option<PublicUrl>>,
}

impl LiveBackend {
    /// A backend that has nobody yet.
    pub(crate) fn nobody(about: About, chooser: Arc<LiveChooser>, lasting: Arc<Lasting>) -> Self {
        Self {
            set: Set::default(),
            reserve: Vec::new(),
            sticky: StickyCookie::new(&lasting.name, &chooser.choosing, &[]),
            chooser,
            is_limited: about.capacity.is_limited(),
            counts: about.capacity.counts(),
            about,
            lasting,
            public: Vec::new(),
        }
    }

    /// The same with this set, where clients reach each endpoint of it without us, and who else might serve.
    pub(crate) fn with(&self, set: Set, public: Vec<Option<PublicUrl>>, reserve: Vec<Arc<Endpoint>>) -> Self {
        Self {
            sticky: StickyCookie::new(&self.lasting.name, &self.chooser.choosing, set.endpoints()),
            set,
            reserve,
            chooser: Arc::clone(&self.chooser),
            about: self.about.clone(),
            is_limited: self.is_limited,
            counts: self.counts,
            lasting: Arc::clone(&self.lasting),
            public,
        }
    }

    /// Those who wait go by the limits and the endpoints that there are now. Where the places are another backend's, it
    /// sees to that.
    pub(crate) fn admit(&self) {
        if !self.lasting.is_shared {
            let limits = self.is_limited.then(|| self.about.capacity.limits());
            self.lasting.places.arrange(limits, self.set.endpoints());
        }
    }

    /// All endpoints that may serve, those in reserve among them.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.set.endpoints().iter().chain(&self.reserve)
    }

    /// Its endpoints with their weights.
    pub(crate) fn eligible(&self) -> Vec<Eligible> {
        let endpoints = self.set.endpoints().iter().enumerate();
        endpoints
            .map(|(index, endpoint)| Eligible {
                endpoint: Arc::clone(endpoint),
                weight: self.set.weight(index),
            })
            .collect()
    }

    /// Where clients reach this endpoint of the set without us.
    pub(crate) fn public_url(&self, index: usize) -> Option<&PublicUrl> {
        self.public.get(index)?.as_ref()
    }
}

impl Snapshot {
    /// All endpoints that may serve, those in reserve among them, each once.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        each_once(self.backends.iter().flat_map(|backend| backend.endpoints()))
    }

    /// Whether somebody is not in a backend any more who was in one before. Only those that were laid out anew are looked
    /// into.
    fn lacks_some_of(&self, before: &Self) -> bool {
        let those = |all: &Self| all.backends.iter().map(Arc::as_ptr).collect::<FxHashSet<_>>();
        let (known, now) = (those(before), those(self));
        let changed = self.backends.iter().filter(|backend| !known.contains(&Arc::as_ptr(backend)));
        let there: FxHashSet<u64> =
            changed.flat_map(|backend| backend.endpoints()).map(|endpoint| endpoint.key()).collect();
        let mut replaced = before.backends.iter().filter(|backend| !now.contains(&Arc::as_ptr(backend)));
        replaced.any(|backend| backend.endpoints().any(|endpoint| !there.contains(&endpoint.key())))
    }

    /// Those that take requests, each once.
    pub(crate) fn serving(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        each_once(self.backends.iter().flat_map(|backend| backend.set.endpoints()))
    }

    /// The requests of all routes, by their rules, each once.
    pub(crate) fn requests_of_routes(&self) -> impl Iterator<Item = (&str, u64)> {
        let routes = once_each(self.routes.all(), |route| &route.name);
        routes.map(|route| (route.name.as_str(), route.requests.load(Ordering::Relaxed)))
    }

    /// The requests of all backends, by their names, each once.
    pub(crate) fn requests_of_backends(&self) -> impl Iterator<Item = (&str, u64)> {
        self.named_backends()
            .map(|it| (it.lasting.name.as_str(), it.lasting.requests.load(Ordering::Relaxed)))
    }

    /// All backends, each name once.
    pub(crate) fn named_backends(&self) -> impl Iterator<Item = &Arc<LiveBackend>> {
        once_each(&self.backends, |backend| &backend.lasting.name)
    }
}

fn each_once<'s>(all: impl Iterator<Item = &'s Arc<Endpoint>>) -> impl Iterator<Item = &'s Arc<Endpoint>> {
    let mut seen = FxHashSet::default();
    all.filter(move |endpoint| seen.insert(endpoint.key()))
}

/// Without what services advertise and the operator has as well: nobody takes that, and it has the same name.
fn once_each<'a, T>(all: &'a [T], name: impl Fn(&'a T) -> &'a str) -> impl Iterator<Item = &'a T> {
    let mut seen = FxHashSet::default();
    all.iter().filter(move |one| seen.insert(name(one)))
}

/// The newest snapshot: written by the `upstreams` task, read by all workers.
#[derive(Debug)]
pub(crate) struct Published {
    /// The balancer's clock: it moves on as it is read, which workers do at each tick, so that a time in which the
    /// balancer stood still does not count. Held for a few instructions.
    clock: Mutex<RunningTime>,
    generation: AtomicU64,
    // Taken by a worker only when the generation has changed.
    current: Mutex<Arc<Snapshot>>,
    /// The keys of endpoints at which traffic has met something. As a signal is told of once until it is taken, there
    /// are never more than there are endpoints.
    signalled: mpsc::UnboundedSender<u64>,
    /// How often endpoints were given up.
    given_up: AtomicU64,
    pub(crate) evidence: Evidence,
}

impl Published {
    /// The first snapshot, and the keys of endpoints at which traffic meets something.
    pub(crate) fn new(first: Snapshot) -> (Self, mpsc::UnboundedReceiver<u64>) {
        let (signalled, signals) = mpsc::unbounded_channel();
        let published = Self {
            clock: Mutex::new(RunningTime::start(Instant::now())),
            generation: AtomicU64::new(first.generation),
            current: Mutex::new(Arc::new(first)),
            signalled,
            given_up: AtomicU64::new(0),
            evidence: Evidence::default(),
        };
        (published, signals)
    }

    /// Tells the `upstreams` task what traffic has met at an endpoint.
    #[cold]
    pub(crate) fn signal(&self, endpoint: &Endpoint, signal: Signal) {
        if endpoint.signals().raise(signal) {
            // If nobody listens the balancer is ending.
            let _ = self.signalled.send(endpoint.key());
        }
    }

    /// An endpoint has been given up: whoever waits for its answer had better look.
    pub(crate) fn note_given_up(&self) {
        self.given_up.fetch_add(1, Ordering::Release);
    }

    /// How often endpoints were given up.
    pub(crate) fn times_given_up(&self) -> u64 {
        self.given_up.load(Ordering::Acquire)
    }

    /// Milliseconds on the balancer's clock, by which loads are told.
    pub(crate) fn now_ms(&self) -> u64 {
        self.ms_at(Instant::now())
    }

    /// The same at this time.
    pub(crate) fn ms_at(&self, now: Instant) -> u64 {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.tick(now);
        u64::try_from(clock.at(now).as_millis()).unwrap_or(u64::MAX)
    }

    /// Replaces the snapshot for all workers; each takes it up with its next request or tick. Counts departures, and
    /// returns the one before.
    pub(crate) fn publish(&self, mut next: Snapshot) -> Arc<Snapshot> {
        let (generation, before) = (next.generation, self.current());
        next.departures = before.departures + u64::from(next.lacks_some_of(&before));
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        self.generation.store(generation, Ordering::Release);
        before
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
