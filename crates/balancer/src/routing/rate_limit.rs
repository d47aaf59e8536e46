//! How many requests a route takes, as a whole or from each client. The generic cell rate algorithm (ITU-T I.371) needs
//! one number for that: when the next request would be due, had all of them kept to the pace.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_http1::RequestHead;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, StateStore};
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
    /// A field of the request; a request without it goes by the address.
    Header(String),
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
    memory: Memory<C>,
}

type Gcra<S, C> = RateLimiter<<S as StateStore>::Key, S, C, NoOpMiddleware<Nanos>>;

#[derive(Debug)]
enum Memory<C: Clock<Instant = Nanos>> {
    /// All requests are one client's.
    Whole(Gcra<InMemoryState, C>),
    /// Clients are in the table, told apart by the limit's number too.
    Clients { number: u64, table: Arc<ClientTable>, gcra: Gcra<Column, C> },
}

/// What the table remembers for one limit. A limiter's times are told from its own beginning, the table's from one that
/// all limits share.
#[derive(Debug)]
struct Column {
    table: Arc<ClientTable>,
    begun: Nanos,
}

impl StateStore for Column {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let begun_ns = self.begun.as_u64();
        self.table.update(*key, |arrival_ns| {
            let (told, next) = decide(arrival_ns.map(|at_ns| Nanos::new(at_ns.saturating_sub(begun_ns))))?;
            Ok((told, next.as_u64() + begun_ns))
        })
    }
}

impl<C: Clock<Instant = Nanos>> Limiter<C> {
    fn new(limit: &RateLimit, table: &Arc<ClientTable>, clock: C) -> Self {
        let pace = limit.pace();
        // A pace is more than nothing, so there is a quota for it.
        let quota = Quota::with_period(pace).unwrap_or(Quota::per_second(limit.requests));
        let quota = quota.allow_burst(limit.burst);
        let memory = match &limit.by {
            None => Memory::Whole(RateLimiter::new(quota, InMemoryState::default(), clock)),
            Some(_) => {
                let column = Column { table: Arc::clone(table), begun: clock.now() };
                let gcra = RateLimiter::new(quota, column, clock);
                Memory::Clients { number: table.number(), table: Arc::clone(table), gcra }
            }
        };
        Self { limit: limit.clone(), memory }
    }

    /// Takes a request. `address` finds out who sent it, if that matters.
    ///
    /// # Errors
    /// It is one too many; the next one may come after so much time.
    pub(crate) fn take(
        &self,
        head: &RequestHead<'_>,
        address: impl FnOnce() -> IpAddr,
    ) -> Result<(), Duration> {
        let (taken, now) = match &self.memory {
            Memory::Whole(gcra) => (gcra.check(), gcra.clock().now()),
            Memory::Clients { number, table, gcra } => {
                let field = match &self.limit.by {
                    Some(LimitBy::Header(name)) => head.field(name),
                    Some(LimitBy::Address) | None => None,
                };
                // An option hashes its kind too: a field with an address in it is nobody's address.
                let address = field.is_none().then(|| client_of(address()));
                (gcra.check_key(&table.key(*number, (field, address))), gcra.clock().now())
            }
        };
        taken.map_err(|until| until.wait_time_from(now))
    }
}

/// The limits of all routes, and what they share.
#[derive(Clone, Debug)]
pub(super) struct Limiters {
    table: Arc<ClientTable>,
    clock: Elapsed,
}

impl Default for Limiters {
    fn default() -> Self {
        Self { table: Arc::default(), clock: Elapsed(Instant::now()) }
    }
}

impl Limiters {
    /// The limits of a route, those from `before` that are the same. Those that go by clients come first: a client that
    /// has used up its own takes nothing from all.
    pub(super) fn of(&self, limits: &[RateLimit], before: &[Arc<Limiter>]) -> Box<[Arc<Limiter>]> {
        let mut known: Vec<&Arc<Limiter>> = before.iter().collect();
        let limiter = |limit: &RateLimit| match known.iter().position(|known| known.limit == *limit) {
            Some(place) => Arc::clone(known.remove(place)),
            None => Arc::new(Limiter::new(limit, &self.table, self.clock)),
        };
        let mut limiters: Vec<Arc<Limiter>> = limits.iter().map(limiter).collect();
        limiters.sort_by_key(|limiter| limiter.limit.by.is_none());
        limiters.into()
    }
}
