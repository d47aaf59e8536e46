//! Endpoints that have left while requests run at them: those are to finish, unless nobody is there any more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use berth_fleet::{Order, Probed};
use berth_pick::{Endpoint, Signal};
use tracing::warn;

use super::Upstreams;
use crate::routing::{Health, ProbeKind};

/// However many doubt an endpoint, it is asked so often.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Who has left and may still have requests.
#[derive(Debug, Default)]
pub(super) struct Departed {
    by_key: HashMap<u64, Gone>,
}

#[derive(Debug)]
struct Gone {
    endpoint: Arc<Endpoint>,
    asked: Option<Duration>,
}

impl Departed {
    pub(super) fn note(&mut self, endpoint: Option<&Arc<Endpoint>>) {
        let Some(endpoint) = endpoint else { return };
        self.by_key.insert(endpoint.key(), Gone { endpoint: Arc::clone(endpoint), asked: None });
    }

    /// Goes on with those that are to be kept.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Endpoint) -> bool) {
        self.by_key.retain(|_, gone| keep(&gone.endpoint));
    }

    /// Traffic has met something at the endpoint with this key: whether it is time to ask who is there.
    fn doubted(&mut self, now: Duration, key: u64) -> Option<Order> {
        let gone = self.by_key.get_mut(&key)?;
        let is_silent = gone.endpoint.signals().take().any(|signal| signal == Signal::Silent);
        let is_time = gone.asked.is_none_or(|asked| now >= asked + ASK_EVERY);
        (is_silent && is_time).then(|| {
            gone.asked = Some(now);
            Order { endpoint: Arc::clone(&gone.endpoint), check: None, began: now }
        })
    }
}

impl Upstreams {
    /// Requests wait at an endpoint that is gone, if it has this key. Whoever finishes what it has may have closed its port
    /// or accept nobody any more, so it is only asked for a connection, and a refusal will do: then its machine is there,
    /// and resets what nobody holds.
    pub(super) fn doubt_departed(&mut self, key: u64) {
        if self.prober.slots().free == 0 {
            return;
        }
        if let Some(order) = self.backends.departed().doubted(self.clock.now(), key) {
            let health = Health { probe: ProbeKind::Connect, ..Health::default() };
            let tls = self.backends.plan().general.tls.clone();
            self.prober.send(order, Arc::new(health), tls, self.clock.clone());
        }
    }

    /// A probe of an endpoint that is gone has ended. One that was sent before says nothing: it asked for an answer.
    pub(super) fn probed_departed(&mut self, order: &Order, probed: Probed) {
        let (endpoint, departed) = (&order.endpoint, self.backends.departed());
        let is_ours =
            departed.by_key.get(&endpoint.key()).is_some_and(|gone| gone.asked == Some(order.began));
        if is_ours && probed == Probed::Unanswered && !endpoint.signals().is_given_up() {
            let identity = endpoint.identity();
            let (service, id, address) = (&identity.service, &identity.id, identity.address());
            warn!(%service, %id, %address, "nobody is there any more: requests that wait there go elsewhere");
            endpoint.signals().give_up(true);
            self.published.note_given_up();
        }
    }
}
