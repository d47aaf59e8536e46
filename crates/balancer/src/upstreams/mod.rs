//! The one owner of the list of endpoints: takes in what the sources say, lays out the next set, publishes it to
//! the workers, and tells the log who joined or left and why.

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
use berth_pick::{Endpoint, Roster, RoundRobin, Set, Strategy};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::tls::UpstreamTls;

pub(crate) use members::SourceIndex;
use members::{Member, Members};
pub(crate) use published::{Published, Snapshot};

/// What a source said.
pub(crate) type Said = (SourceIndex, Update);

/// Laying out the list in less time than this is no burden, however often.
const WORTH_A_REST: Duration = Duration::from_millis(1);

/// Makes the first, empty snapshot.
pub(crate) fn nobody(subject: Arc<str>, entropy: u64) -> Snapshot {
    let strategy = Arc::new(RoundRobin::starting_at(entropy));
    Snapshot { generation: 0, set: Set::default(), strategy, subject }
}

/// The task that owns the list.
#[derive(Debug)]
pub(crate) struct Upstreams {
    members: Members,
    authorities: Vec<Option<String>>,
    tls: UpstreamTls,
    listed: BTreeMap<Identity, Member>,
    roster: Roster,
    published: Arc<Published>,
    clock: RunningClock,
    /// Sources that have not spoken yet.
    unheard: BTreeSet<SourceIndex>,
    /// Warn when clients would meet more than one service.
    one_service_expected: bool,
    warned: bool,
}

impl Upstreams {
    /// `authorities` has an entry for each source: the name that its endpoints go by, if it is their own.
    pub(crate) fn new(
        authorities: Vec<Option<String>>,
        published: Arc<Published>,
        clock: RunningClock,
        mixes: bool,
    ) -> Self {
        let sources = authorities.len();
        Self {
            members: Members::new(sources),
            authorities,
            tls: UpstreamTls::default(),
            listed: BTreeMap::new(),
            roster: Roster::default(),
            published,
            clock,
            unheard: (0..sources).collect(),
            one_service_expected: mixes,
            warned: false,
        }
    }

    /// Says how endpoints that speak https prove who they are.
    pub(crate) fn secured_by(mut self, tls: UpstreamTls) -> Self {
        self.tls = tls;
        self
    }

    /// Follows the sources until all of them are gone. `heard` is set when each has spoken, if only to
    /// say that it is away.
    pub(crate) async fn run(mut self, mut said: mpsc::Receiver<Said>, heard: watch::Sender<bool>) {
        // As long as the last list took to lay out, so that thousands who join one by one are few changes and not a
        // thousand.
        let mut rest = Duration::ZERO;
        loop {
            let mut changed = false;
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
                () = until(&self.clock, self.members.next_deadline()) => {
                    changed |= self.members.expire(self.clock.now());
                }
            }
            if changed {
                let begun = Instant::now();
                self.publish();
                rest = if begun.elapsed() < WORTH_A_REST { Duration::ZERO } else { begun.elapsed() };
            }
            if self.unheard.is_empty() {
                heard.send_replace(true);
            }
        }
    }

    fn take_in(&mut self, (source, update): Said) -> bool {
        self.unheard.remove(&source);
        self.members.apply(self.clock.now(), source, update)
    }

    fn publish(&mut self) {
        let listed = self.members.list();
        if listed == self.listed {
            return self.members.forget_last_words();
        }
        self.tell_changes(&listed);
        let eligible: Vec<Arc<Endpoint>> = listed
            .iter()
            .filter(|(_, member)| !member.draining)
            .map(|(identity, member)| {
                self.roster.endpoint(identity, self.authorities[member.source].as_deref())
            })
            .collect();
        if eligible.iter().any(|endpoint| endpoint.identity().scheme == Scheme::Https) {
            self.tls.prepare();
        }
        self.roster.retain(|identity| listed.contains_key(identity));
        let before = self.published.current();
        let set = before.strategy.arrange(&before.set, &eligible);
        self.published.publish(Snapshot {
            generation: before.generation + 1,
            set,
            strategy: Arc::clone(&before.strategy),
            subject: Arc::clone(&before.subject),
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
        if !self.one_service_expected || self.warned {
            return;
        }
        let names: BTreeSet<&str> = self.listed.keys().map(|identity| identity.service.as_str()).collect();
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
