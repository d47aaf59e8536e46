//! The one owner of the list of endpoints: takes in what the sources say and what the operator decides, lays out the
//! sets of all backends, publishes them to the workers, and tells the log who joined or left and why.

mod backends;
mod complaint;
mod draft;
mod members;
mod places;
mod published;
mod retries;
mod sticky;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_client::{RegistryAddress, Update};
use berth_daemon::RunningClock;
use berth_model::{Identity, Scheme};
use berth_pick::Roster;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::routing::{Policy, ProxySettings, Routes, Routing, StepTimeouts, Upstream};

use backends::Backends;
pub(crate) use members::SourceId;
use members::{Member, Members};
pub(crate) use places::TurnedAway;
#[cfg(test)]
pub(crate) use published::{About, LiveChooser};
pub(crate) use published::{Lasting, LiveBackend, Published, Snapshot};
pub(crate) use sticky::StickyCookie;

/// What a source said.
pub(crate) type Said = (SourceId, Update);

/// Laying out the list in less time than this is no burden, however often.
const WORTH_A_REST: Duration = Duration::from_millis(1);

/// A source that is followed as long as anybody holds this.
pub(crate) type Followed = Arc<AbortOnDropHandle<()>>;

/// How long a new plan waits for sources that are new with it, so that no backend seems empty.
const NEW_SOURCES_WAIT: Duration = Duration::from_secs(2);

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

/// The task that owns the list.
#[derive(Debug)]
pub(crate) struct Upstreams {
    members: Members,
    backends: Backends,
    listed: BTreeMap<Identity, Member>,
    roster: Roster,
    published: Arc<Published>,
    /// Endpoints at which traffic has met something.
    signals: mpsc::UnboundedReceiver<u64>,
    clock: RunningClock,
    /// Sources that have spoken.
    heard: BTreeSet<SourceId>,
    /// The plan that is waited for, until then.
    next: Option<(Replan, Duration)>,
    /// Registries that the plan does not name any more. What they list holds until those that are new have listed
    /// something: a registry that is silent takes nobody away.
    retiring: BTreeMap<SourceId, Followed>,
    /// Those that are new.
    awaited: BTreeSet<SourceId>,
    warned: bool,
    /// Whether all sources have spoken once.
    is_settled: bool,
}

/// The first snapshot: all routes, and nobody behind them yet.
fn nobody(plan: &Plan, backends: &Backends) -> Snapshot {
    let backends = backends.all();
    let routes = Routes::new(&plan.routing, &[], &plan.general, &Routes::default());
    let (general, timeouts) =
        (Arc::clone(&plan.general), StepTimeouts::of(&plan.general, &Policy::default()));
    Snapshot { generation: 0, routes: Arc::new(routes), backends, general, timeouts }
}

impl Upstreams {
    /// The task, and what it publishes: at first that there is nobody.
    pub(crate) fn new(plan: Plan, clock: RunningClock, entropy: u64) -> (Self, Arc<Published>) {
        let members = Members::new(plan.sources.keys().copied());
        let backends = Backends::new(plan, entropy);
        let (published, signals) = Published::new(nobody(backends.plan(), &backends));
        let published = Arc::new(published);
        let upstreams = Self {
            members,
            backends,
            listed: BTreeMap::new(),
            roster: Roster::default(),
            published: Arc::clone(&published),
            signals,
            clock,
            heard: BTreeSet::new(),
            next: None,
            retiring: BTreeMap::new(),
            awaited: BTreeSet::new(),
            warned: false,
            is_settled: false,
        };
        (upstreams, published)
    }

    /// Follows the sources until all of them are gone. `heard` is set when each has spoken, if only to
    /// say that it is away.
    pub(crate) async fn run(
        mut self,
        mut said: mpsc::Receiver<Said>,
        mut plans: mpsc::Receiver<Replan>,
        heard: watch::Sender<bool>,
    ) {
        // As long as the last list took to lay out, so that thousands who join one by one are few changes and not a
        // thousand.
        let mut rest = Duration::ZERO;
        loop {
            let mut changed = false;
            let deadline = self.next.as_ref().map(|(_, until)| *until).into_iter();
            let deadline = deadline.chain(self.members.next_deadline()).min();
            tokio::select! {
                first = said.recv() => {
                    let Some(first) = first else { return };
                    changed |= self.take_in(first);
                    tokio::time::sleep(rest).await;
                    // Whatever else waits is taken in before the set is laid out anew: a thousand joins at
                    // once are one change.
                    while let Ok(next) = said.try_recv() {
                        changed |= self.take_in(next);
                    }
                }
                Some(replan) = plans.recv(), if self.next.is_none() => {
                    self.next = Some((replan, self.clock.now() + NEW_SOURCES_WAIT));
                }
                Some(_) = self.signals.recv() => {}
                () = until(&self.clock, deadline) => {
                    changed |= self.members.expire(self.clock.now());
                }
            }
            let adopted = self.replan();
            changed |= self.retire();
            if changed || adopted.is_some() {
                let begun = Instant::now();
                self.publish(adopted.is_some());
                rest = if begun.elapsed() < WORTH_A_REST { Duration::ZERO } else { begun.elapsed() };
            }
            if let Some((told, silent)) = adopted {
                // Whoever asked may have left.
                let _ = told.send(Adopted { generation: self.published.generation(), silent });
            }
            if self.backends.plan().sources.keys().all(|source| self.heard.contains(source)) {
                self.is_settled = true;
                heard.send_replace(true);
            }
        }
    }

    fn take_in(&mut self, (source, update): Said) -> bool {
        self.heard.insert(source);
        self.members.apply(self.clock.now(), source, update)
    }

    /// Goes over to the next plan once the sources that are new with it have spoken, or have had the time for it.
    /// Returns whom to tell, and who has said nothing.
    fn replan(&mut self) -> Option<(oneshot::Sender<Adopted>, Vec<String>)> {
        let ((plan, _), until) = self.next.as_ref()?;
        let present = &self.backends.plan().sources;
        let is_new = |source: &SourceId| !present.contains_key(source);
        let unlisted = |source: &SourceId| !self.members.has_list(*source);
        let is_silent =
            |source: &SourceId| is_new(source) && unlisted(source) && !self.heard.contains(source);
        if plan.sources.keys().any(is_silent) && self.clock.now() < *until {
            return None;
        }
        let ((plan, told), _) = self.next.take()?;
        let silent = plan.sources.keys().filter(|source| is_new(source) && unlisted(source));
        let silent: Vec<SourceId> = silent.copied().collect();
        let names = silent.iter().map(|source| plan.name_of(*source)).collect();
        let registries = silent.into_iter().filter(|source| plan.registries.contains_key(source));
        self.awaited.retain(|source| plan.sources.contains_key(source));
        self.awaited.extend(registries);
        let before = self.backends.plan();
        let dropped = before.registries.keys().filter_map(|source| before.sources.get_key_value(source));
        self.retiring.extend(dropped.map(|(source, followed)| (*source, Arc::clone(followed))));
        self.retiring.retain(|source, _| !plan.sources.contains_key(source));
        self.members.keep(&plan.sources.keys().chain(self.retiring.keys()).copied().collect());
        self.heard.retain(|source| plan.sources.contains_key(source));
        if !self.awaited.is_empty() && !self.retiring.is_empty() {
            warn!("a registry that is new has not answered: what the one before lists holds until it does");
        }
        self.backends.follow(plan);
        Some((told, names))
    }

    /// Lets go of registries that are not wanted any more, once those that are have listed something. True if the
    /// list of members may have changed.
    fn retire(&mut self) -> bool {
        let members = &self.members;
        self.awaited.retain(|source| !members.has_list(*source));
        if self.retiring.is_empty() || !self.awaited.is_empty() {
            return false;
        }
        let heirs = &self.backends.plan().registries;
        for (source, followed) in std::mem::take(&mut self.retiring) {
            match Arc::try_unwrap(followed) {
                Ok(_) => self.members.retire(self.clock.now(), source, heirs.keys()),
                // The plan that comes next wants it again.
                Err(followed) => {
                    self.retiring.insert(source, followed);
                }
            }
        }
        true
    }

    fn publish(&mut self, replanned: bool) {
        let mut listed = self.members.list();
        // Whoever is there from the beginning has a full share at once.
        let joined_ms = self.is_settled.then(|| self.published.now_ms());
        let rules_changed = self.backends.lay_out(&mut listed, &mut self.roster, joined_ms);
        if listed == self.listed && !replanned {
            return self.members.forget_last_words();
        }
        self.tell_changes(&listed);
        let plan = self.backends.plan();
        if listed.keys().any(|identity| identity.scheme == Scheme::Https) {
            plan.general.tls.prepare();
        }
        self.roster.retain(|identity| listed.contains_key(identity));
        let before = self.published.current();
        let routes = if replanned || rules_changed {
            let rules = self.backends.advertised_rules();
            Arc::new(Routes::new(&plan.routing, &rules, &plan.general, &before.routes))
        } else {
            Arc::clone(&before.routes)
        };
        self.published.publish(Snapshot {
            generation: before.generation + 1,
            routes,
            backends: self.backends.all(),
            general: Arc::clone(&plan.general),
            timeouts: StepTimeouts::of(&plan.general, &Policy::default()),
        });
        self.listed = listed;
        self.members.forget_last_words();
        self.warn_of_second_service();
    }

    fn tell_changes(&self, listed: &BTreeMap<Identity, Member>) {
        for (identity, _) in self.listed.iter().filter(|(identity, _)| !listed.contains_key(identity)) {
            let (address, reason) = (identity.address(), self.members.why_gone(identity).as_str());
            info!(service = %identity.service, id = %identity.id, %address, reason, "instance left");
        }
        for (identity, member) in listed {
            let (address, known) = (identity.address(), self.listed.get(identity));
            if known.is_none() {
                let version = member.instance.version.as_ref().map_or("none", |version| version.as_str());
                info!(service = %identity.service, id = %identity.id, %address, version, "instance joined");
            }
            match (known.is_some_and(|known| known.draining), member.draining) {
                (false, true) => {
                    info!(service = %identity.service, id = %identity.id, %address, "instance drains");
                }
                (true, false) => {
                    info!(service = %identity.service, id = %identity.id, %address, "instance takes requests again");
                }
                _ => {}
            }
        }
    }

    fn warn_of_second_service(&mut self) {
        if self.warned || !self.backends.is_open() {
            return;
        }
        let open = self.listed.values().filter(|member| member.instance.routes.is_empty());
        let names: BTreeSet<&str> = open.map(|member| member.instance.service.as_str()).collect();
        if names.len() > 1 {
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            warn!(services = names, "requests go to all of these in turn; choose one with --service");
            self.warned = true;
        }
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
