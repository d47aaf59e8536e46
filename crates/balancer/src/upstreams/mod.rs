//! The one owner of the list of endpoints: takes in what the sources say and what the operator decides, lays out the
//! sets of all backends, publishes them to the workers, and tells the log who joined or left and why.

mod backends;
mod members;
mod published;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_client::Update;
use berth_daemon::RunningClock;
use berth_model::{Identity, Scheme};
use berth_pick::Roster;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

use crate::routing::{Policy, ProxySettings, Routes, Routing, StepTimeouts, Upstream};

use backends::Backends;
pub(crate) use members::SourceId;
use members::{Member, Members};
pub(crate) use published::{Published, Snapshot};

/// What a source said.
pub(crate) type Said = (SourceId, Update);

/// Laying out the list in less time than this is no burden, however often.
const WORTH_A_REST: Duration = Duration::from_millis(1);

/// How long a new plan waits for sources that are new with it, so that no backend seems empty.
const NEW_SOURCES_WAIT: Duration = Duration::from_secs(2);

/// What the operator has decided, with the sources that it needs.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) routing: Arc<Routing>,
    pub(crate) general: Arc<ProxySettings>,
    /// The servers that are named, by their source.
    pub(crate) servers: BTreeMap<SourceId, Upstream>,
    /// All sources, these servers among them.
    pub(crate) sources: BTreeSet<SourceId>,
}

impl Plan {
    fn has_fallback(&self) -> bool {
        self.routing.routes.iter().any(|route| route.rule.is_any())
    }
}

/// A new plan, and whom to tell of the generation that follows it.
pub(crate) type Replan = (Plan, oneshot::Sender<u64>);

/// The task that owns the list.
#[derive(Debug)]
pub(crate) struct Upstreams {
    members: Members,
    backends: Backends,
    listed: BTreeMap<Identity, Member>,
    roster: Roster,
    published: Arc<Published>,
    clock: RunningClock,
    /// Sources that have spoken.
    heard: BTreeSet<SourceId>,
    /// The plan that is waited for, until then.
    next: Option<(Replan, Duration)>,
    warned: bool,
}

/// The first snapshot: all routes, and nobody behind them yet.
pub(crate) fn nobody(plan: &Plan, entropy: u64) -> Snapshot {
    let backends = Backends::new(plan.clone(), entropy).all();
    let routes = Routes::new(&plan.routing, &[], &plan.general, &Routes::default());
    let (general, timeouts) =
        (Arc::clone(&plan.general), StepTimeouts::of(&plan.general, &Policy::default()));
    Snapshot { generation: 0, routes: Arc::new(routes), backends, general, timeouts }
}

impl Upstreams {
    pub(crate) fn new(plan: Plan, published: Arc<Published>, clock: RunningClock, entropy: u64) -> Self {
        Self {
            members: Members::new(&plan.sources),
            backends: Backends::new(plan, entropy),
            listed: BTreeMap::new(),
            roster: Roster::default(),
            published,
            clock,
            heard: BTreeSet::new(),
            next: None,
            warned: false,
        }
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
                () = until(&self.clock, deadline) => {
                    changed |= self.members.expire(self.clock.now());
                }
            }
            let told = self.replan();
            if changed || told.is_some() {
                let begun = Instant::now();
                self.publish(told.is_some());
                rest = if begun.elapsed() < WORTH_A_REST { Duration::ZERO } else { begun.elapsed() };
            }
            if let Some(told) = told {
                // Whoever asked may have left.
                let _ = told.send(self.published.generation());
            }
            if self.backends.plan().sources.is_subset(&self.heard) {
                heard.send_replace(true);
            }
        }
    }

    fn take_in(&mut self, (source, update): Said) -> bool {
        self.heard.insert(source);
        self.members.apply(self.clock.now(), source, update)
    }

    /// Goes over to the next plan once all of its sources have spoken, or have had the time for it.
    fn replan(&mut self) -> Option<oneshot::Sender<u64>> {
        let ((plan, _), until) = self.next.as_ref()?;
        if !plan.sources.is_subset(&self.heard) && self.clock.now() < *until {
            return None;
        }
        let ((plan, told), _) = self.next.take()?;
        self.members.keep(&plan.sources);
        self.heard.retain(|source| plan.sources.contains(source));
        self.backends.follow(plan);
        Some(told)
    }

    fn publish(&mut self, replanned: bool) {
        let mut listed = self.members.list();
        let rules_changed = self.backends.lay_out(&mut listed, &mut self.roster);
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
