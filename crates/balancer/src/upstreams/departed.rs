//! Endpoints that have left while requests run at them: those are to finish, unless nobody is there any more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use berth_fleet::{Order, Probed};
use berth_pick::{Endpoint, Signal};
use tracing::warn;

use super::Upstreams;
use crate::routing::{Health, ProbeKind};

/// After each answer nobody is asked for twice as long as after the one before, as what asks may fill the queue of one
/// that accepts nobody.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A packet may be lost.
const SILENCES: u32 = 2;

/// A probe of which nothing was heard for so long is forgotten.
const LOST_AFTER: Duration = Duration::from_secs(10);

/// Who has left and may still have requests.
#[derive(Debug, Default)]
pub(super) struct Departed {
    by_key: HashMap<u64, Gone>,
}

#[derive(Debug)]
struct Gone {
    endpoint: Arc<Endpoint>,
    /// When the probe began that is under way.
    asked: Option<Duration>,
    not_before: Duration,
    pause: Duration,
    /// Unanswered probes in a row.
    silences: u32,
}

impl Departed {
    pub(super) fn note(&mut self, endpoint: Option<&Arc<Endpoint>>) {
        let Some(endpoint) = endpoint else { return };
        endpoint.signals().leave(true);
        let gone = Gone {
            endpoint: Arc::clone(endpoint),
            asked: None,
            not_before: Duration::ZERO,
            pause: FIRST_PAUSE,
            silences: 0,
        };
        self.by_key.insert(endpoint.key(), gone);
    }

    /// Goes on with those that are to be kept.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Endpoint) -> bool) {
        self.by_key.retain(|_, gone| keep(&gone.endpoint));
    }

    /// Traffic has met something at the endpoint with this key: whether it is time to ask who is there.
    pub(super) fn doubted(&mut self, now: Duration, key: u64, may_ask: bool) -> Option<Order> {
        let gone = self.by_key.get_mut(&key)?;
        // Taken in any case: those that wait are not raised again.
        let is_silent = gone.endpoint.signals().take().any(|signal| signal == Signal::Silent);
        let is_under_way = gone.asked.is_some_and(|asked| now < asked + LOST_AFTER);
        let asks = is_silent && may_ask && !is_under_way && now >= gone.not_before;
        asks.then(|| {
            gone.asked = Some(now);
            Order { endpoint: Arc::clone(&gone.endpoint), check: None, began: now }
        })
    }

    /// A probe has ended, or could not be sent: whether nobody is there any more. One that was sent before says nothing, as
    /// it asked for an answer.
    pub(super) fn probed(&mut self, now: Duration, order: &Order, probed: Option<Probed>) -> bool {
        let gone = self.by_key.get_mut(&order.endpoint.key());
        let Some(gone) = gone.filter(|gone| gone.asked == Some(order.began)) else { return false };
        gone.asked = None;
        match probed {
            None => {}
            Some(Probed::Unanswered) => gone.silences += 1,
            Some(Probed::Answered { .. } | Probed::Refused) => {
                gone.silences = 0;
                gone.not_before = now + gone.pause;
                gone.pause *= 2;
            }
        }
        gone.silences == SILENCES
    }
}

impl Upstreams {
    /// Requests wait at an endpoint that is gone, if it has this key. Whoever finishes what it has may have closed its port
    /// or accept nobody any more, so it is only asked for a connection, and a refusal will do: then its machine is there,
    /// and resets what nobody holds.
    pub(super) fn doubt_departed(&mut self, key: u64) {
        // Those that are listed come first. Those of them that are out leave half of the slots free.
        let slots = self.prober.slots();
        let may_ask = slots.free > slots.all / 4;
        if let Some(order) = self.backends.departed().doubted(self.clock.now(), key, may_ask) {
            let health = Health { probe: ProbeKind::Connect, ..Health::default() };
            let tls = self.backends.plan().general.tls.clone();
            self.prober.send(order, Arc::new(health), tls, self.clock.clone());
        }
    }

    /// A probe of an endpoint that is gone has ended, or could not be sent.
    pub(super) fn probed_departed(&mut self, order: &Order, probed: Option<Probed>) {
        if self.backends.departed().probed(self.clock.now(), order, probed) {
            let identity = order.endpoint.identity();
            let (service, id, address) = (&identity.service, &identity.id, identity.address());
            warn!(%service, %id, %address, "nobody is there any more: requests that wait there go elsewhere");
            order.endpoint.signals().give_up(true);
            self.published.note_given_up();
        }
    }
}
