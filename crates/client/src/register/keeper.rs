use std::sync::Arc;
use std::time::Duration;

use berth_model::{Instance, Registered, Renewed};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::host::reachable_host;
use super::{Owner, State};
use crate::{Backoff, Error, Lookup};

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
    owner: Arc<Owner>,
    body: watch::Receiver<berth_model::Registration>,
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

enum Next {
    Now,
    After(Duration),
    Ended(String),
}

impl Keeper {
    pub(super) fn new(
        lookup: Lookup,
        owner: Arc<Owner>,
        body: watch::Receiver<berth_model::Registration>,
        state: watch::Sender<State>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            lookup,
            owner,
            body,
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
                Next::After(pause) => self.wait(pause).await,
                Next::Ended(why) => return self.end(why),
            }
        }
        self.deregister().await;
    }

    async fn wait(&mut self, pause: Duration) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            Ok(()) = self.body.changed() => self.phase = Phase::Register,
            () = sleep(pause) => {}
        }
    }

    async fn register(&mut self) -> Next {
        match self.put().await {
            Ok(registered) => {
                self.tell_registered(&registered.instance);
                self.phase = Phase::Renew;
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
                self.set_registered(false);
                self.phase = Phase::Register;
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
            return Next::After(self.backoff.next_pause().max(error.retry_after().unwrap_or_default()));
        }
        // Somebody has to mend this instance or the registry, and may do it while both run.
        self.tell_trouble(Trouble::Refused(error.why()), error);
        Next::After(self.slow_backoff.next_pause())
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
