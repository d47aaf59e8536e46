//! What the connections of one worker share.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_http1::{Limits, Lines};
use berth_model::Scheme;
use berth_pick::{Endpoint, Signal};
use fastrand::Rng;
use rustc_hash::FxHashSet;
use tokio::sync::Notify;

use super::answer::Answered;
use super::asking::Asking;
use super::buffers::Buffers;
use super::deadlines::Deadlines;
use super::per_client::Clients;
use super::pool::Pool;
use super::splice::Pipes;
use super::stream::Stream;
use super::view::{View, Viewed};
use crate::routing::{Millis, StepTimeouts};
use crate::telemetry::{Cells, WorkerLog};
use crate::upstreams::Published;

/// What one poll reads at most.
const SCRATCH_BYTES: usize = 64 * 1024;

/// Long bodies that go through the kernel at once, and how many of the worker's files their pipes may be.
const MOST_PIPES: usize = 256;
const DESCRIPTORS_PER_PIPE: usize = 16;

/// Whoever has not ticked for so long has been stopped, or frozen with its machine.
const STALL: Duration = Duration::from_secs(1);

/// Failed handshakes are warned of so often.
const WARN_EVERY_MS: u64 = 10_000;

/// What the connections of one worker share. Nothing in it is ever borrowed over an `.await`.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) scratch: RefCell<Box<[u8]>>,
    /// The lines of the head that is being parsed.
    pub(crate) lines: RefCell<Lines>,
    pub(crate) buffers: Buffers,
    pub(crate) pool: Pool,
    pub(crate) pipes: Pipes,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) cells: Arc<Cells>,
    pub(crate) access_log: Option<WorkerLog>,
    /// No keep-alive any more: each connection ends with its present request.
    pub(crate) draining: Cell<bool>,
    pub(crate) connections: Cell<usize>,
    /// What each client has, over all workers.
    pub(crate) clients: Arc<Clients>,
    /// Connections that are one too many, and stay until they have been told.
    pub(crate) turned_away: Cell<usize>,
    /// How many of these there may be.
    pub(crate) most_turned_away: usize,
    /// How many files it may have open.
    descriptors: usize,
    /// After this time it has stalled.
    awake_until: Cell<Instant>,
    /// How often endpoints had been given up at the last tick.
    times_given_up: Cell<u64>,
    /// When a failed handshake was last warned of.
    warned_ms: Cell<Option<u64>>,
    /// Rung whenever a connection ends.
    pub(crate) ended: Notify,
    /// Rung at every tick.
    pub(crate) ticked: Notify,
    published: Arc<Published>,
    view: RefCell<View>,
    /// The departures of which the idle connections have been dropped.
    departures: Cell<u64>,
    /// What every head is read by, from the view.
    pub(crate) reading: Cell<Reading>,
    random: RefCell<Rng>,
    pub(crate) asking: Asking,
}

/// What heads are read by before it is known which route they take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) limits: Limits,
    /// For a head, from its first byte on.
    pub(crate) head: Millis,
    /// For a connection between two requests.
    pub(crate) idle: Millis,
    /// Whether clients have limits of their own.
    pub(crate) per_client: bool,
    /// Whether one of these is for requests under way.
    pub(crate) most_requests: bool,
}

impl Reading {
    fn of(view: &View) -> Self {
        let general = &view.general;
        let (head, idle) = (general.timeouts.head.into(), general.timeouts.idle.into());
        let most_requests = general.per_client.is_some_and(|limits| limits.max_requests.is_some());
        Self { limits: general.limits, head, idle, per_client: general.per_client.is_some(), most_requests }
    }
}

impl Worker {
    pub(crate) fn new(
        published: Arc<Published>,
        cells: Arc<Cells>,
        access_log: Option<WorkerLog>,
        clients: Arc<Clients>,
        most_turned_away: usize,
        descriptors: usize,
    ) -> Self {
        let view = Rc::new(Viewed::of(published.current()));
        cells.generation.set(view.generation);
        Self {
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into()),
            lines: RefCell::default(),
            buffers: Buffers::default(),
            pool: Pool::default(),
            pipes: Pipes::new((descriptors / DESCRIPTORS_PER_PIPE).min(MOST_PIPES)),
            deadlines: Deadlines::new(),
            cells,
            access_log,
            draining: Cell::new(false),
            connections: Cell::new(0),
            clients,
            turned_away: Cell::new(0),
            most_turned_away,
            descriptors,
            awake_until: Cell::new(Instant::now() + STALL),
            times_given_up: Cell::new(published.times_given_up()),
            warned_ms: Cell::default(),
            ended: Notify::new(),
            ticked: Notify::new(),
            reading: Cell::new(Reading::of(&view)),
            departures: Cell::new(view.departures),
            view: RefCell::new(view),
            random: RefCell::new(Rng::new()),
            asking: Asking::new(fastrand::u64(..), published.now_ms()),
            published,
        }
    }

    /// Random numbers for the ids of one request.
    pub(crate) fn entropy(&self) -> [u64; 3] {
        let mut random = self.random.borrow_mut();
        [random.u64(..), random.u64(..), random.u64(..)]
    }

    /// Whether another idle upstream connection may be kept: every client may need one in use.
    pub(crate) fn has_room_for_idle(&self) -> bool {
        2 * self.connections.get() + self.pool.len() + self.pipes.descriptors() < self.descriptors
    }

    /// Keeps the connection of an exchange that has ended well, if it can serve again.
    #[inline]
    pub(crate) fn keep(&self, held: Answered) {
        if held.answer.reusable {
            self.keep_idle(&held.endpoint, held.upstream);
        }
    }

    /// Keeps an idle connection, if there is room and its endpoint has not left: one that ends waits for those to end.
    #[inline]
    pub(crate) fn keep_idle(&self, endpoint: &Endpoint, upstream: Stream) {
        if !endpoint.signals().has_left() && self.has_room_for_idle() {
            self.pool.put(endpoint.key(), upstream, self.deadlines.now_ms());
        }
    }

    /// Makes room for another client and its upstream connection.
    pub(crate) fn make_room(&self) {
        while self.pool.len() > 0 && !self.has_room_for_idle() {
            self.pool.drop_one();
        }
    }

    /// Says why TLS to an endpoint did not come about; not for every request that meets it.
    #[cold]
    pub(crate) fn warn_of_handshake(&self, endpoint: &Endpoint, cause: &io::Error) {
        let now_ms = self.deadlines.now_ms();
        if self.warned_ms.get().is_none_or(|warned_ms| now_ms - warned_ms >= WARN_EVERY_MS) {
            self.warned_ms.set(Some(now_ms));
            let name = endpoint.authority().unwrap_or_default();
            tracing::warn!(endpoint = %endpoint.address(), name, %cause, "TLS to the upstream failed");
        }
    }

    /// An idle connection to an endpoint, for who asks at this time. Behind a stall the runtime may not have heard yet
    /// what became of those that were idle before.
    #[inline]
    pub(crate) fn take_idle(&self, key: u64, now: Instant) -> Option<Stream> {
        if now > self.awake_until.get() {
            self.note_stall(now);
        }
        self.pool.take(key)
    }

    #[cold]
    fn note_stall(&self, now: Instant) {
        self.awake_until.set(now + STALL);
        self.pool.doubt(self.deadlines.now_ms());
    }

    /// Tells what traffic has met at an endpoint.
    #[cold]
    pub(crate) fn signal(&self, endpoint: &Endpoint, signal: Signal) {
        self.published.signal(endpoint, signal);
    }

    /// The generation of the newest snapshot.
    pub(crate) fn generation(&self) -> u64 {
        self.published.generation()
    }

    /// The clocks move on.
    pub(crate) fn tick(&self, now: Instant) {
        if now > self.awake_until.get() {
            self.note_stall(now);
        }
        self.awake_until.set(now + STALL);
        self.deadlines.tick(now);
        self.asking.tick(self.published.now_ms());
        let times_given_up = self.published.times_given_up();
        if self.times_given_up.replace(times_given_up) != times_given_up {
            self.deadlines.look_now();
        }
        self.settle();
    }

    /// Adds the requests that were counted here to the totals of all workers.
    pub(crate) fn settle(&self) {
        self.view.borrow().settle(self.asking.now_ms());
    }

    /// The general deadlines of a request's steps.
    pub(crate) fn timeouts(&self) -> StepTimeouts {
        self.view().timeouts
    }

    /// The newest snapshot of the upstreams.
    pub(crate) fn view(&self) -> View {
        if self.published.generation() != self.view.borrow().generation {
            self.renew_view();
        }
        Rc::clone(&self.view.borrow())
    }

    #[cold]
    fn renew_view(&self) {
        let view = Rc::new(Viewed::of(self.published.current()));
        // Requests that are under way keep the old view, but nobody counts there any more.
        self.settle();
        // Who was trusted with a connection may not be any more. Whoever else is gone is not chosen again, and loses its
        // connections with the next tick: changes may come by the hundred.
        let distrusts = self.view.borrow().general.tls != view.general.tls;
        if distrusts {
            self.drop_connections(&view, |endpoint| endpoint.identity().scheme != Scheme::Https);
        }
        self.cells.generation.set(view.generation);
        self.reading.set(Reading::of(&view));
        *self.view.borrow_mut() = view;
    }

    /// Drops idle connections of endpoints that are gone since the last time.
    pub(crate) fn drop_strangers(&self) {
        let view = self.view();
        if self.departures.replace(view.departures) != view.departures {
            self.drop_connections(&view, |_| true);
        }
    }

    #[cold]
    fn drop_connections(&self, view: &View, is_trusted: impl Fn(&Endpoint) -> bool) {
        if self.pool.len() == 0 {
            return;
        }
        let all = view.backends.iter().flat_map(|backend| backend.endpoints());
        let trusted = all.filter(|endpoint| is_trusted(endpoint));
        let known: FxHashSet<u64> = trusted.map(|endpoint| endpoint.key()).collect();
        self.pool.retain(|key| known.contains(&key));
    }
}
