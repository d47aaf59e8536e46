//! The one owner of the list of endpoints: takes in what the sources say and what the operator decides, lays out the
//! sets of all backends, publishes them to the workers, and tells the log who joined or left and why.

mod backends;
mod complaint;
mod departed;
mod entries;
mod evidence;
mod memory;
mod news;
mod places;
mod probe;
mod prober;
mod published;
mod replan;
mod retired;
mod retries;
mod shown;
mod state_file;
mod sticky;
mod succession;
#[cfg(test)]
mod tests;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_client::{RegistryAddress, Update};
use berth_daemon::RunningClock;
use berth_fleet::{Fleet, Order, Probed, Said as Word};
use berth_model::Identity;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::info;

use crate::routing::{Policy, ProxySettings, Routes, Routing, StepTimeouts, Upstream};

use backends::{Backends, Updated};
pub(crate) use berth_fleet::SourceId;
pub(crate) use evidence::Evidence;
use memory::Memory;
use news::News;
pub(crate) use places::TurnedAway;
pub(crate) use probe::is_our_own;
pub(crate) use prober::MOST_PROBES;
use prober::Prober;
#[cfg(test)]
pub(crate) use published::{About, LiveChooser};
pub(crate) use published::{Lasting, LiveBackend, Published, Snapshot};
use retired::Retired;
pub(crate) use shown::Shown;
pub(crate) use sticky::StickyCookie;

/// What a source said.
pub(crate) type Said = (SourceId, Update);

/// Changes are laid out so often at most, and so much longer than that took is rested after it, up to this: whoever
/// changes how often, it is no burden to the requests.
const REST: Duration = Duration::from_millis(10);
const REST_PARTS: u32 = 10;
const LONGEST_REST: Duration = Duration::from_millis(100);

/// How long a start waits for registries that say nothing, where another has listed somebody; and for remembered
/// endpoints of backends that have nobody else.
const START_PATIENCE: Duration = Duration::from_millis(150);

/// A source that is followed as long as anybody holds this.
pub(crate) type Followed = Arc<AbortOnDropHandle<()>>;

/// What the operator has decided, with the sources that it needs.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) routing: Arc<Routing>,
    pub(crate) general: Arc<ProxySettings>,
    /// The servers that are named, by their source.
    pub(crate) servers: BTreeMap<SourceId, Upstream>,
    /// The registries, by their source.
    pub(crate) registries: BTreeMap<SourceId, RegistryAddress>,
    /// All sources: these servers and registries.
    pub(crate) sources: BTreeMap<SourceId, Followed>,
    /// Where what registries list is kept for the next start, if anywhere.
    pub(crate) state: Option<PathBuf>,
}

impl Plan {
    /// A source, as operators know it.
    fn name_of(&self, source: SourceId) -> String {
        match (self.registries.get(&source), self.servers.get(&source)) {
            (Some(registry), _) => format!("the registry {registry}"),
            (_, Some(server)) => format!("the server {server}"),
            _ => String::new(),
        }
    }

    /// The state file. Without a registry there is nothing to remember.
    fn state_file(&self) -> Option<&Path> {
        self.state.as_deref().filter(|_| !self.registries.is_empty())
    }

    fn has_fallback(&self) -> bool {
        self.routing.routes.iter().any(|route| route.rule.is_any())
    }
}

/// A new plan, and whom to tell that it holds.
pub(crate) type Replan = (Plan, oneshot::Sender<Adopted>);

/// A plan that holds.
#[derive(Clone, Debug)]
pub(crate) struct Adopted {
    /// The snapshot from which on it does.
    pub(crate) generation: u64,
    /// Registries and servers that are new with it and have not been heard of yet.
    pub(crate) silent: Vec<String>,
}

/// What the task listens to, beside its own probes.
#[derive(Debug)]
pub(crate) struct Hears {
    pub(crate) said: mpsc::Receiver<Said>,
    pub(crate) plans: mpsc::Receiver<Replan>,
    /// Who wants to know what is believed of all endpoints.
    pub(crate) asked: mpsc::Receiver<oneshot::Sender<Shown>>,
    /// The balancer ends.
    pub(crate) ending: CancellationToken,
}

/// The task that owns the list.
#[derive(Debug)]
pub(crate) struct Upstreams {
    fleet: Fleet,
    backends: Backends,
    prober: Prober,
    /// What registries have listed, for the next start.
    memory: Option<Memory>,
    published: Arc<Published>,
    /// Endpoints at which traffic has met something.
    signals: mpsc::UnboundedReceiver<u64>,
    clock: RunningClock,
    /// Sources that have spoken.
    heard: BTreeSet<SourceId>,
    replanning: replan::Replanning,
    /// Something has changed that is not published yet.
    is_pending: bool,
    /// Nothing is published before.
    rest_until: Instant,
    retired: Retired,
    warned: bool,
    /// Whether all sources have spoken once.
    is_settled: bool,
    /// Whether the start need not wait any longer, and when it does not in any case where somebody serves.
    is_ready: bool,
    ready_by: Duration,
}

/// The first snapshot: all routes, and nobody behind them yet.
fn nobody(plan: &Plan, backends: &Backends) -> Snapshot {
    let backends = backends.all();
    let routes = Routes::new(&plan.routing, &[], &plan.general, &Routes::default());
    let (general, timeouts) =
        (Arc::clone(&plan.general), StepTimeouts::of(&plan.general, &Policy::default()));
    Snapshot { generation: 0, departures: 0, routes: Arc::new(routes), backends, general, timeouts }
}

impl Upstreams {
    /// The task, and what it publishes: at first that there is nobody.
    pub(crate) fn new(plan: Plan, clock: RunningClock, entropy: u64) -> (Self, Arc<Published>) {
        let now = clock.now();
        let mut fleet = Fleet::new(entropy);
        fleet.keep(now, &plan.sources.keys().copied().collect(), &plan.registries.keys().copied().collect());
        let memory = plan.state_file().map(|path| Memory::new(path, now));
        let backends = Backends::new(plan, entropy);
        let (published, signals) = Published::new(nobody(backends.plan(), &backends));
        let published = Arc::new(published);
        let upstreams = Self {
            fleet,
            backends,
            prober: Prober::default(),
            memory,
            published: Arc::clone(&published),
            signals,
            clock,
            heard: BTreeSet::new(),
            replanning: replan::Replanning::default(),
            is_pending: false,
            rest_until: Instant::now(),
            retired: Retired::default(),
            warned: false,
            is_settled: false,
            is_ready: false,
            ready_by: now + START_PATIENCE,
        };
        (upstreams, published)
    }

    /// Runs until the end: servers that are named may have said all that they have to say, and are looked at all the same.
    /// `heard` is set when each source has spoken, if only to say that it is away, and what that comes to is published.
    pub(crate) async fn run(mut self, mut hears: Hears, heard: watch::Sender<bool>) {
        let clock = self.clock.clone();
        loop {
            let deadline = self.next_deadline();
            tokio::select! {
                Some(said) = hears.said.recv() => self.take_in(said),
                Some(key) = self.signals.recv() => self.signalled(key),
                (order, probed) = self.prober.next() => self.probed(&order, probed),
                Some(replan) = hears.plans.recv(), if self.replanning.is_free() => {
                    self.replanning.begin(replan, clock.now());
                }
                Some(asked) = hears.asked.recv() => {
                    // Whoever asked may have left.
                    let _ = asked.send(self.show());
                }
                () = memory::loaded(self.memory.as_mut()) => {}
                () = hears.ending.cancelled() => return self.finish().await,
                () = until(&clock, deadline) => {}
                () = tokio::time::sleep_until(self.rest_until.into()), if self.is_pending => {}
            }
            // Whatever else waits is taken in before anything is laid out anew: a thousand joins at once are one change.
            while let Ok(said) = hears.said.try_recv() {
                self.take_in(said);
            }
            while let Ok(key) = self.signals.try_recv() {
                self.signalled(key);
            }
            while let Some((order, probed)) = self.prober.try_next() {
                self.probed(&order, probed);
            }
            self.act();
            if !self.is_pending && self.is_ready() {
                heard.send_replace(true);
            }
        }
    }

    fn take_in(&mut self, (source, update): Said) {
        let now = self.clock.now();
        let is_registry = self.backends.plan().registries.contains_key(&source);
        self.heard.insert(source);
        let word = match update {
            Update::Snapshot(snapshot) => Word::Snapshot(snapshot),
            Update::Change(change) => Word::Change(change),
            Update::Away { .. } => Word::Away,
        };
        let is_away = word == Word::Away;
        self.fleet.say(now, source, word);
        let Some(memory) = self.memory.as_mut().filter(|_| is_registry) else { return };
        if !is_away {
            memory.heard(source, now);
        } else if self.backends.plan().registries.keys().all(|source| self.heard.contains(source)) {
            memory.all_away(now);
        }
    }

    /// Traffic has met something at the endpoint with this key.
    fn signalled(&mut self, key: u64) {
        match self.fleet.has(key) {
            true => self.fleet.signalled(self.clock.now(), key),
            false => self.doubt_departed(key),
        }
    }

    /// A probe has ended; none if it could not be sent.
    fn probed(&mut self, order: &Order, probed: Option<Probed>) {
        let now = self.clock.now();
        probed.into_iter().for_each(|probed| self.published.evidence.probed(probed));
        match probed {
            _ if !self.fleet.has(order.endpoint.key()) => self.probed_departed(order, probed),
            Some(probed) => self.fleet.probed(now, order, probed),
            None => self.fleet.not_asked(now, order),
        }
    }

    /// When something is due by itself.
    fn next_deadline(&self) -> Option<Duration> {
        let memory = self.memory.as_ref().and_then(Memory::next_deadline);
        let fleet = self.fleet.next_deadline_within(self.prober.slots());
        let ready = (!self.is_ready && self.clock.now() < self.ready_by).then_some(self.ready_by);
        let others = self.replanning.deadline().into_iter().chain(self.retired.deadline());
        others.chain(memory).chain(fleet).chain(ready).min()
    }

    /// Does what is due, and publishes what has changed.
    fn act(&mut self) {
        self.remember();
        let adopted = self.replan();
        self.retire();
        let now = self.clock.now();
        for order in self.fleet.due_within(now, self.prober.slots()) {
            let health = self.backends.health(&order.endpoint, order.check);
            let tls = self.backends.plan().general.tls.clone();
            self.prober.send(order, health, tls, self.clock.clone());
        }
        self.take_changes(now);
        if adopted.is_some() || (self.is_pending && Instant::now() >= self.rest_until) {
            let begun = Instant::now();
            self.publish(adopted.is_some());
            self.is_pending = false;
            self.rest_until = begun + (begun.elapsed() * REST_PARTS).clamp(REST, LONGEST_REST);
        }
        self.retired.sweep_due(now);
        if self.fleet.take_given_up() {
            self.published.note_given_up();
        }
        if let Some((told, silent)) = adopted {
            // Whoever asked may have left.
            let _ = told.send(Adopted { generation: self.published.generation(), silent });
        }
        if let Some(memory) = &mut self.memory {
            memory.write(self.clock.now(), &self.fleet, &self.backends.plan().registries);
        }
    }

    /// Writes down what is not written yet.
    async fn finish(&mut self) {
        if let Some(memory) = &mut self.memory {
            memory.finish(self.clock.now(), &self.fleet, &self.backends.plan().registries).await;
        }
    }

    /// Takes in what the state file says, if no registry has answered by now.
    fn remember(&mut self) {
        let now = self.clock.now();
        let Some(registries) = self.memory.as_mut().and_then(|memory| memory.take_saved(now)) else { return };
        for saved in registries {
            let sources = &self.backends.plan().registries;
            let source = sources.iter().find(|(_, address)| **address == saved.address);
            if let Some((source, address)) = source {
                info!(registry = %address, instances = saved.instances.len(),
                    "no registry answers: those that were listed before are asked whether they are still there");
                let instances = saved.instances.into_iter().map(Arc::unwrap_or_clone);
                self.fleet.remember(now, *source, saved.epoch, instances.collect());
            }
        }
    }

    /// Whether all that can be known at the start is known, which stays so: all sources have spoken or, if a registry says
    /// nothing, another has listed somebody, or somebody serves who was remembered.
    fn is_ready(&mut self) -> bool {
        if self.is_ready {
            return true;
        }
        let plan = self.backends.plan();
        self.is_settled |= plan.sources.keys().all(|source| self.heard.contains(source));
        let is_undecided = self.memory.as_ref().is_some_and(Memory::is_undecided);
        let serves = self.published.current().serving().next().is_some();
        let is_over = self.clock.now() >= self.ready_by;
        let is_remembering = self.memory.is_some() && self.fleet.are_registries_away();
        self.is_ready = !is_undecided
            && match is_remembering {
                true if self.fleet.identities().next().is_none() => self.is_settled,
                true => serves && (is_over || !self.backends.awaits_somebody()),
                false => self.is_settled || (serves && is_over),
            };
        self.is_ready
    }

    /// Takes in whatever is believed otherwise by now.
    fn take_changes(&mut self, now: Duration) {
        let mut news = News::default();
        loop {
            let changed = self.fleet.take_changed();
            if changed.is_empty() {
                break;
            }
            self.update(now, changed.iter(), &mut news);
        }
        self.tell(&news);
    }

    /// Takes in what is believed of these.
    fn update<'i>(&mut self, now: Duration, changed: impl Iterator<Item = &'i Identity>, news: &mut News) {
        // Whoever is there from the beginning has a full share at once.
        let joined_ms = self.is_settled.then(|| self.published.now_ms());
        for identity in changed {
            match self.backends.update(&mut self.fleet, now, identity, joined_ms) {
                Updated::Stays => {}
                Updated::Joined => news.joined.push(identity.clone()),
                Updated::Left => news.left.push(identity.clone()),
            }
        }
        self.is_pending |= self.backends.is_stale();
    }

    fn publish(&mut self, replanned: bool) {
        let changed = self.backends.lay_out(&self.fleet);
        let rules_changed = self.backends.take_rules_changed();
        if !changed && !rules_changed && !replanned {
            return;
        }
        let plan = self.backends.plan();
        let before = self.published.current();
        let routes = if replanned || rules_changed {
            let rules = self.backends.advertised_rules();
            Arc::new(Routes::new(&plan.routing, &rules, &plan.general, &before.routes))
        } else {
            Arc::clone(&before.routes)
        };
        let next = Snapshot {
            generation: before.generation + 1,
            departures: 0,
            routes,
            backends: self.backends.all(),
            general: Arc::clone(&plan.general),
            timeouts: StepTimeouts::of(&plan.general, &Policy::default()),
        };
        self.retired.put(self.clock.now(), self.published.publish(next));
        self.warn_of_second_service();
    }
}

/// Waits until the running clock shows a time; for ever if there is none.
async fn until(clock: &RunningClock, deadline: Option<Duration>) {
    let Some(deadline) = deadline else { return std::future::pending().await };
    loop {
        let left = deadline.saturating_sub(clock.now());
        if left.is_zero() {
            return;
        }
        // The running clock may stand still meanwhile, so it is asked again.
        tokio::time::sleep(left).await;
    }
}
