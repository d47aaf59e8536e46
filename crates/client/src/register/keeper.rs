use std::sync::Arc;
use std::time::Duration;

use berth_model::{Instance, Patch, Reason, Registered, Registration, Renewed, RunName};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::host::reachable_host;
use super::{Owner, State};
use crate::link::{Linked, Word};
use crate::{Backoff, Error, Links, Lookup};

/// Renewals come no faster than this, whatever a registry asks for.
const SHORTEST_RENEWAL: Duration = Duration::from_millis(100);

/// A renewal is given so long at least, however short the lease.
const SHORTEST_RENEWAL_WAIT: Duration = Duration::from_millis(500);

/// Renewals come no slower than the longest lease.
const LONGEST_RENEWAL: Duration = Duration::from_secs(3600);

/// How often a goodbye is tried. Saying it twice does no harm, as it names the run.
const GOODBYE_TRIES: u32 = 3;

/// Keeps a run registered with one registry.
pub(super) struct Keeper {
    lookup: Lookup,
    link_to: LinkTo,
    /// Names the run, once the registry knows it.
    link: Option<Linked>,
    /// Whether the registry has forgotten whose the run is.
    must_link: bool,
    owner: Arc<Owner>,
    said: Arc<watch::Sender<Registration>>,
    body: watch::Receiver<Registration>,
    state: watch::Sender<State>,
    stop: CancellationToken,
    /// What the next call is.
    phase: Phase,
    /// Whether the registry may know this run.
    was_sent: bool,
    /// Whether it ever accepted this run.
    was_registered: bool,
    /// What was last logged as wrong; the same is not said twice.
    trouble: Option<Trouble>,
    backoff: Backoff,
    slow_backoff: Backoff,
}

/// How to get a link.
pub(super) struct LinkTo {
    pub(super) links: Links,
    pub(super) token: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Register,
    Renew,
}

#[derive(PartialEq, Eq)]
enum Trouble {
    Away,
    Refused(String),
}

enum Heard {
    Nothing,
    Call,
    Ended(String),
}

enum Next {
    Now,
    After(Duration),
    Ended(String),
}

impl Keeper {
    pub(super) fn new(
        lookup: Lookup,
        link_to: LinkTo,
        owner: Arc<Owner>,
        said: Arc<watch::Sender<Registration>>,
        state: watch::Sender<State>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            lookup,
            link_to,
            link: None,
            must_link: true,
            owner,
            body: said.subscribe(),
            said,
            state,
            stop,
            phase: Phase::Register,
            was_sent: false,
            was_registered: false,
            trouble: None,
            backoff: Backoff::new(),
            slow_backoff: Backoff::slow(),
        }
    }

    /// Registers and renews until told to stop, and says goodbye.
    ///
    /// A call that is under way is never given up for the goodbye: the registry might read it after that.
    pub(super) async fn run(mut self) {
        while !self.stop.is_cancelled() {
            let next = match self.phase {
                Phase::Register => self.register().await,
                Phase::Renew => self.renew().await,
            };
            match next {
                Next::Now => {}
                Next::After(pause) => {
                    if let Some(why) = self.wait(pause).await {
                        return self.end(why);
                    }
                }
                Next::Ended(why) => return self.end(why),
            }
        }
        self.deregister().await;
    }

    /// Waits until it is time for the next call, or something else asks for one. Returns why the run was ended on
    /// purpose, if the link says so.
    async fn wait(&mut self, pause: Duration) -> Option<String> {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                Ok(()) = self.body.changed() => {
                    self.phase = Phase::Register;
                    return None;
                }
                word = next_word(&mut self.link) => match self.hear(word) {
                    Heard::Nothing => {}
                    Heard::Call => return None,
                    Heard::Ended(why) => return Some(why),
                },
                () = sleep_until(until) => return None,
            }
        }
    }

    fn hear(&mut self, word: Word) -> Heard {
        let registry = self.lookup.address().clone();
        match word {
            Word::Linked => {
                info!(%registry, "linked: a crash would be seen at once");
                self.state.send_if_modified(|state| state.linked_at.insert(registry))
            }
            Word::Unlinked => self.state.send_if_modified(|state| state.linked_at.remove(&registry)),
            Word::Asked(patch) => {
                self.said.send_if_modified(|body| take_over(&patch, body));
                let Patch { draining, weight, .. } = patch;
                info!(%registry, draining, weight, "an operator changed this instance");
                // Said once more here, though nothing may be new in it: until then the operator's word holds.
                self.phase = Phase::Register;
                return Heard::Call;
            }
            Word::Ended(Some(reason @ (Reason::Removed | Reason::Replaced))) => {
                return Heard::Ended(format!("this run was ended: {reason}"));
            }
            // It expired while this process stood still, or the registry is a new one.
            Word::Ended(reason) => {
                debug!(%registry, ?reason, "the registry does not know this run, registering again");
                self.forgotten();
                return Heard::Call;
            }
        };
        Heard::Nothing
    }

    /// A link that is still open says nothing of a run that is not known (any more).
    fn forgotten(&mut self) {
        self.set_registered(false);
        let registry = self.lookup.address();
        self.state.send_if_modified(|state| state.linked_at.remove(registry));
        self.must_link = true;
        self.phase = Phase::Register;
    }

    /// Lets the link name the run, now that the registry knows it.
    fn link(&mut self) {
        if !std::mem::take(&mut self.must_link) {
            return;
        }
        if let Some(link) = &self.link {
            return link.renew();
        }
        let Owner { service, id, run, .. } = &*self.owner;
        let name = RunName { service: service.clone(), id: id.clone(), run: *run };
        match self.link_to.links.add(self.lookup.address(), self.link_to.token.as_deref(), name) {
            Ok(link) => self.link = Some(link),
            // The lease alone will do; the token was good enough for the other calls.
            Err(error) => warn!(%error, "no link can be opened"),
        }
    }

    async fn register(&mut self) -> Next {
        match self.put().await {
            Ok(registered) => {
                self.tell_registered(&registered.instance);
                self.phase = Phase::Renew;
                self.link();
                self.worked(registered.renew_s)
            }
            Err(error) => self.failed(&error),
        }
    }

    async fn put(&mut self) -> Result<Registered, Error> {
        let mut body = self.body.borrow_and_update().clone();
        let registry = self.lookup.address();
        let host = reachable_host(self.owner.listening.ip(), registry).await;
        body.host =
            Some(host.map_err(|error| Error::Unreachable {
                registry: registry.clone(),
                why: error.to_string(),
            })?);
        self.was_sent = true;
        self.lookup.register(&self.owner.service, &self.owner.id, &body).await
    }

    async fn renew(&mut self) -> Next {
        match self.call_renew().await {
            Ok(renewed) => {
                if self.trouble.is_some() {
                    info!("registry {} is back, and the lease still runs", self.lookup.address());
                }
                self.worked(renewed.renew_s)
            }
            Err(error) if error.is_not_found() => {
                debug!(%error, "registering again");
                self.forgotten();
                Next::Now
            }
            Err(error) => self.failed(&error),
        }
    }

    /// A renewal that gets lost must leave time for another within the lease.
    async fn call_renew(&self) -> Result<Renewed, Error> {
        let deadline = (self.body.borrow().ttl_s.duration() / 6).max(SHORTEST_RENEWAL_WAIT);
        let call = self.lookup.renew(&self.owner.service, &self.owner.id, self.owner.run);
        timeout(deadline, call).await.unwrap_or_else(|_| {
            Err(Error::Unreachable {
                registry: self.lookup.address().clone(),
                why: "it did not answer in time".to_owned(),
            })
        })
    }

    async fn deregister(&mut self) {
        if !self.was_sent {
            return;
        }
        let owner = self.owner.clone();
        self.backoff.reset();
        for tries_left in (0..GOODBYE_TRIES).rev() {
            let registry = self.lookup.address();
            match self.lookup.end(&owner.service, &owner.id, Some(owner.run)).await {
                Ok(()) => return info!(%registry, "deregistered"),
                Err(error) if error.is_not_found() || error.is_gone() => {
                    return debug!(%error, "already gone");
                }
                Err(error) if self.trouble == Some(Trouble::Away) => return debug!(%error, "still away"),
                // It may have been restarted under a connection that we kept, or be catching its breath.
                Err(error) if error.is_passing() && tries_left > 0 => sleep(self.backoff.next_pause()).await,
                Err(error) => {
                    return warn!(%registry, why = %error.why(), "not deregistered: the lease runs out");
                }
            }
        }
    }

    fn worked(&mut self, renew_s: f64) -> Next {
        self.trouble = None;
        self.backoff.reset();
        self.slow_backoff.reset();
        self.set_registered(true);
        let asked = Duration::try_from_secs_f64(renew_s).unwrap_or(SHORTEST_RENEWAL);
        let pause = asked.clamp(SHORTEST_RENEWAL, LONGEST_RENEWAL);
        // ± 10 %, so that processes that started together do not renew together for ever.
        Next::After(pause.mul_f64(0.9 + 0.2 * fastrand::f64()))
    }

    fn failed(&mut self, error: &Error) -> Next {
        self.set_registered(false);
        if error.is_gone() {
            return Next::Ended(error.why());
        }
        if error.is_passing() {
            self.tell_trouble(Trouble::Away, error);
            let asked = Backoff::spread(error.retry_after().unwrap_or_default());
            return Next::After(self.next_pause().max(asked));
        }
        // Somebody has to mend this instance or the registry, and may do it while both run.
        self.tell_trouble(Trouble::Refused(error.why()), error);
        Next::After(self.slow_backoff.next_pause())
    }

    /// The pause before the next try. A lease that may still run is not left alone for so long that it ends: a
    /// registry that stood still for a while counts hardly any of that time, and goes on where it was.
    fn next_pause(&mut self) -> Duration {
        let pause = self.backoff.next_pause();
        match self.phase {
            Phase::Register => pause,
            Phase::Renew => pause.min(self.body.borrow().ttl_s.duration() / 6),
        }
    }

    /// Ends the run everywhere: what one registry ended on purpose must not go on in another.
    fn end(&self, why: String) {
        error!(registry = %self.lookup.address(), why, "this instance was ended on purpose and registers no more");
        self.state.send_modify(|state| state.ended = Some(why));
        self.stop.cancel();
    }

    fn set_registered(&self, registered: bool) {
        let registry = self.lookup.address();
        self.state.send_if_modified(|state| {
            if registered {
                state.registered_at.insert(registry.clone())
            } else {
                state.registered_at.remove(registry)
            }
        });
    }

    fn tell_registered(&mut self, instance: &Instance) {
        let registry = self.lookup.address();
        let (service, id, address) = (&instance.service, &instance.id, instance.address());
        if !std::mem::replace(&mut self.was_registered, true) {
            info!(%registry, %service, %id, %address, "registered");
        } else if !self.state.borrow().registered_at.contains(registry) {
            info!(%registry, %service, %id, %address, "registered again");
        }
    }

    fn tell_trouble(&mut self, trouble: Trouble, error: &Error) {
        if self.trouble.as_ref() == Some(&trouble) {
            debug!(%error, "still in trouble");
            return;
        }
        let registry = self.lookup.address();
        match (&trouble, error.problem()) {
            (Trouble::Away, _) => warn!(why = %error.why(), "registry {registry} is away, trying again"),
            (Trouble::Refused(why), None) => {
                error!(why, "registry {registry} cannot be used, trying again slowly");
            }
            (Trouble::Refused(_), Some(problem)) => {
                let (field, mend) = (problem.field.as_deref(), problem.mend.as_deref());
                error!(field, mend, why = %problem, "registry {registry} refused this instance, trying again slowly");
            }
        }
        self.trouble = Some(trouble);
    }
}

/// True if that changes what the owner says.
fn take_over(patch: &Patch, body: &mut Registration) -> bool {
    let before = (body.draining, body.weight, body.meta.clone());
    body.draining = patch.draining.unwrap_or(body.draining);
    body.weight = patch.weight.unwrap_or(body.weight);
    if let Some(meta) = &patch.meta {
        body.meta.clone_from(meta);
    }
    before != (body.draining, body.weight, body.meta.clone())
}

async fn next_word(link: &mut Option<Linked>) -> Word {
    match link {
        Some(link) => link.next().await,
        None => std::future::pending().await,
    }
}
