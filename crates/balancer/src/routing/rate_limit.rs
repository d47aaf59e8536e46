//! How many requests a route takes, as a whole or from each client. The generic cell rate algorithm (ITU-T I.371) needs
//! one number for that: when the next request would be due, had all of them kept to the pace.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use berth_http1::RequestHead;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

use super::client_of;
use super::client_table::ClientTable;

#[cfg(test)]
mod tests;

/// How many requests are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// So many,
    pub requests: NonZeroU32,
    /// in so much time, at an even pace. More than 0.
    pub per: Duration,
    /// How many may come at once after a pause. At the pace they take a year at most.
    pub burst: NonZeroU32,
    /// Who is counted for himself; none if all requests of the route count together.
    pub by: Option<LimitBy>,
}

/// What tells clients apart for a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitBy {
    /// The address; of IPv6 the network of 64 bits.
    Address,
    /// A field of the request. A request without it, with an empty one or with several goes by the address.
    Header(String),
}

impl LimitBy {
    /// What the request has for the field, if it goes by one. Of a field that comes twice, upstreams may read either
    /// line.
    fn field<'h>(&self, head: &RequestHead<'h>) -> Option<&'h [u8]> {
        let LimitBy::Header(name) = self else { return None };
        let mut values = head.fields(name);
        let first = values.next().filter(|value| !value.is_empty())?;
        values.next().is_none().then_some(first)
    }
}

impl RateLimit {
    /// The time from one request to the next at the limit's pace.
    pub(crate) fn pace(&self) -> Duration {
        (self.per / self.requests.get()).max(Duration::from_nanos(1))
    }
}

/// The time since the first routes were laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elapsed(Instant);

impl Clock for Elapsed {
    type Instant = Nanos;
    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

/// A limit with what it remembers.
#[derive(Debug)]
pub(crate) struct Limiter<C: Clock<Instant = Nanos> = Elapsed> {
    pub(crate) limit: RateLimit,
    memory: Arc<Memory>,
    gcra: Gcra<C>,
}

type Gcra<C> = RateLimiter<Asked, Store, C, NoOpMiddleware<Nanos>>;

/// What a limit remembers.
#[derive(Debug)]
enum Memory {
    /// All requests are one client's; 0 before the first of them.
    Whole(AtomicU64),
    Clients(ClientTable),
}

/// What a limit is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Asked {
    /// The client, if it goes by clients.
    key: u64,
    /// Whether the request is counted, if it passes.
    counts: bool,
}

/// The memory as the algorithm sees it.
#[derive(Debug)]
struct Store(Arc<Memory>);

impl StateStore for Store {
    type Key = Asked;

    fn measure_and_replace<T, F, E>(&self, asked: &Asked, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let decide = |arrival_ns: Option<u64>| {
            let (told, next) = decide(arrival_ns.map(Nanos::new))?;
            Ok((told, asked.counts.then(|| next.as_u64())))
        };
        match &*self.0 {
            Memory::Whole(arrival_ns) => update(arrival_ns, decide),
            Memory::Clients(table) => table.update(asked.key, decide),
        }
    }
}

/// Shows what is remembered of all requests together, and remembers what is made of that, if anything.
fn update<T, E>(
    arrival_ns: &AtomicU64,
    decide: impl Fn(Option<u64>) -> Result<(T, Option<u64>), E>,
) -> Result<T, E> {
    let mut before = arrival_ns.load(Ordering::Relaxed);
    loop {
        let (made, next) = decide((before > 0).then_some(before))?;
        let Some(next) = next else { return Ok(made) };
        match arrival_ns.compare_exchange_weak(before, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return Ok(made),
            Err(now) => before = now,
        }
    }
}

impl<C: Clock<Instant = Nanos>> Limiter<C> {
    fn new(limit: &RateLimit, clock: C) -> Self {
        // A pace is more than nothing, so there is a quota for it.
        let quota = Quota::with_period(limit.pace()).unwrap_or(Quota::per_second(limit.requests));
        let memory = Arc::new(match &limit.by {
            None => Memory::Whole(AtomicU64::new(0)),
            Some(_) => Memory::Clients(ClientTable::default()),
        });
        let store = Store(Arc::clone(&memory));
        let gcra = RateLimiter::new(quota.allow_burst(limit.burst), store, clock);
        Self { limit: limit.clone(), memory, gcra }
    }

    /// Whether a request passes, which is counted if so. `address` finds out who sent it, if that matters.
    ///
    /// # Errors
    /// It is one too many; the next one may come after so much time.
    fn ask(
        &self,
        head: &RequestHead<'_>,
        address: impl FnOnce() -> IpAddr,
        counts: bool,
    ) -> Result<(), Duration> {
        let key = match &*self.memory {
            Memory::Whole(_) => 0,
            Memory::Clients(table) => {
                let field = self.limit.by.as_ref().and_then(|by| by.field(head));
                // An option hashes its kind too: a field with an address in it is nobody's address.
                let address = field.is_none().then(|| client_of(address()));
                table.key((field, address))
            }
        };
        let asked = self.gcra.check_key(&Asked { key, counts });
        asked.map_err(|until| until.wait_time_from(self.gcra.clock().now()))
    }
}

/// Takes a request, if all these limits let it pass; else it counts for none of them, unless another one came in
/// between.
///
/// # Errors
/// It is one too many for this limit; the next one may come after so much time.
pub(super) fn take<'l, C: Clock<Instant = Nanos>>(
    limiters: &'l [Arc<Limiter<C>>],
    head: &RequestHead<'_>,
    address: impl Fn() -> IpAddr,
) -> Result<(), (&'l RateLimit, Duration)> {
    let ask = |limiter: &'l Limiter<C>, counts| {
        limiter.ask(head, &address, counts).map_err(|wait| (&limiter.limit, wait))
    };
    if limiters.len() > 1 {
        limiters.iter().try_for_each(|limiter| ask(limiter, false))?;
    }
    limiters.iter().try_for_each(|limiter| ask(limiter, true))
}

/// Makes the limits of all routes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limiters {
    clock: Elapsed,
}

impl Default for Limiters {
    fn default() -> Self {
        Self { clock: Elapsed(Instant::now()) }
    }
}

impl Limiters {
    /// The limits of a route, those from `before` that are the same. Addresses come first, as nobody can make them up
    /// at will, then fields, then the whole: what refuses a client is told rather than what refuses everybody.
    pub(super) fn of(self, limits: &[RateLimit], before: &[Arc<Limiter>]) -> Box<[Arc<Limiter>]> {
        let mut known: Vec<&Arc<Limiter>> = before.iter().collect();
        let limiter = |limit: &RateLimit| match known.iter().position(|known| known.limit == *limit) {
            Some(place) => Arc::clone(known.remove(place)),
            None => Arc::new(Limiter::new(limit, self.clock)),
        };
        let mut limiters: Vec<Arc<Limiter>> = limits.iter().map(limiter).collect();
        limiters.sort_by_key(|limiter| match limiter.limit.by {
            Some(LimitBy::Address) => 0,
            Some(LimitBy::Header(_)) => 1,
            None => 2,
        });
        limiters.into()
    }
}
