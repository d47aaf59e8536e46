//! Requests per second, of each route, backend and endpoint.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use berth_pick::Endpoint;
use serde::Serialize;
use tokio::time::MissedTickBehavior;

use crate::upstreams::{Lasting, LiveBackend, Published, Snapshot};

#[cfg(test)]
mod tests;

/// How often the totals are looked at.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// Over what the means are taken, in seconds.
const SHORT_S: f64 = 10.0;
const LONG_S: f64 = 60.0;

/// How many requests a second something takes, from its total, which is looked at now and then.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Meter {
    total: u64,
    /// Between the last two looks, per second.
    last: f64,
    /// Means that are weighted exponentially and begin at 0.
    short: f64,
    long: f64,
}

impl Meter {
    /// Begins with what was there before: nobody knows when that came.
    fn begin(total: u64) -> Self {
        Self { total, ..Self::default() }
    }

    /// Takes in the total at a look this long after the one before.
    fn sample(&mut self, total: u64, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        // A total that is smaller belongs to another thing of the same name.
        let more = total.saturating_sub(self.total);
        self.total = total;
        if seconds > 0.0 {
            self.last = more as f64 / seconds;
            let towards = |mean: f64, over_s: f64| mean + (self.last - mean) * -(-seconds / over_s).exp_m1();
            (self.short, self.long) = (towards(self.short, SHORT_S), towards(self.long, LONG_S));
        }
    }
}

/// The meters of all that there is now.
#[derive(Debug, Default)]
struct Meters {
    /// By their rules.
    routes: HashMap<String, Meter>,
    /// By their names.
    backends: HashMap<String, Meter>,
    /// By their keys.
    endpoints: HashMap<u64, Meter>,
}

impl Meters {
    fn sample(&mut self, snapshot: &Snapshot, elapsed: Duration) {
        let owned = |(name, requests): (&str, u64)| (name.to_owned(), requests);
        sample(&mut self.routes, snapshot.requests_of_routes().map(owned), elapsed);
        sample(&mut self.backends, snapshot.requests_of_backends().map(owned), elapsed);
        let endpoints = snapshot.endpoints().map(|endpoint| (endpoint.key(), endpoint.requests()));
        sample(&mut self.endpoints, endpoints, elapsed);
    }
}

/// Takes in all totals. What has none any more is forgotten.
fn sample<K: Eq + Hash>(
    meters: &mut HashMap<K, Meter>,
    totals: impl Iterator<Item = (K, u64)>,
    elapsed: Duration,
) {
    let mut known = std::mem::take(meters);
    meters.reserve(known.len());
    for (key, total) in totals {
        let mut meter = known.remove(&key).unwrap_or_else(|| Meter::begin(total));
        meter.sample(total, elapsed);
        meters.insert(key, meter);
    }
}

/// Looks at the totals every second for as long as anybody holds it.
#[derive(Debug)]
pub(crate) struct Rates {
    published: Arc<Published>,
    meters: Mutex<Meters>,
}

impl Rates {
    /// Begins to look, on the runtime of the caller.
    pub(crate) fn follow(published: Arc<Published>) -> Arc<Self> {
        let rates = Arc::new(Self { published, meters: Mutex::default() });
        let held = Arc::downgrade(&rates);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(SAMPLE_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut before = Instant::now();
            loop {
                ticks.tick().await;
                let Some(rates) = held.upgrade() else { return };
                let now = Instant::now();
                rates.meters().sample(&rates.published.current(), now - before);
                before = now;
            }
        });
        rates
    }

    fn meters(&self) -> MutexGuard<'_, Meters> {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that is there now, with the totals of this moment and the rates of the last look.
    pub(crate) fn report(&self) -> Report {
        let (snapshot, meters) = (self.published.current(), self.meters());
        let route = |(name, requests): (&str, u64)| OfRoute {
            name: name.to_owned(),
            figures: Figures::of(requests, meters.routes.get(name)),
        };
        let backend = |backend: &Arc<LiveBackend>| {
            let Lasting { name, requests, places, .. } = &*backend.lasting;
            OfBackend {
                name: name.clone(),
                waiting: places.gate.waiting(),
                figures: Figures::of(requests.load(Ordering::Relaxed), meters.backends.get(name)),
            }
        };
        let endpoints = snapshot.endpoints();
        Report {
            routes: snapshot.requests_of_routes().map(route).collect(),
            backends: snapshot.named_backends().map(backend).collect(),
            endpoints: endpoints.map(|it| OfEndpoint::of(it, meters.endpoints.get(&it.key()))).collect(),
        }
    }
}

/// What `GET /v1/rates` answers with.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    routes: Vec<OfRoute>,
    backends: Vec<OfBackend>,
    endpoints: Vec<OfEndpoint>,
}

#[derive(Debug, Serialize)]
struct OfRoute {
    name: String,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Debug, Serialize)]
struct OfBackend {
    name: String,
    /// Requests that wait for a place now.
    waiting: usize,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Debug, Serialize)]
struct OfEndpoint {
    service: String,
    id: String,
    /// A text: it may be more than a reader's numbers hold.
    run: String,
    address: SocketAddr,
    in_flight: u64,
    #[serde(flatten)]
    figures: Figures,
}

impl OfEndpoint {
    fn of(endpoint: &Endpoint, meter: Option<&Meter>) -> Self {
        let identity = endpoint.identity();
        Self {
            service: identity.service.to_string(),
            id: identity.id.to_string(),
            run: identity.run.to_string(),
            address: endpoint.address(),
            in_flight: endpoint.in_flight(),
            figures: Figures::of(endpoint.requests(), meter),
        }
    }
}

/// Requests in all, and per second to one decimal.
#[derive(Debug, Serialize)]
struct Figures {
    requests: u64,
    /// Over the last whole second.
    per_second: f64,
    per_second_10s: f64,
    per_second_60s: f64,
}

impl Figures {
    fn of(requests: u64, meter: Option<&Meter>) -> Self {
        let meter = meter.copied().unwrap_or_default();
        let rounded = |rate: f64| (rate * 10.0).round() / 10.0;
        Self {
            requests,
            per_second: rounded(meter.last),
            per_second_10s: rounded(meter.short),
            per_second_60s: rounded(meter.long),
        }
    }
}
