//! Routes as the data path uses them: found in a table, with everything laid out that a request needs.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use berth_http1::{FieldEdits, RequestHead};
use berth_route::{Ambiguous, Asked, PathPattern, Rule, Shares, Table, read_path};

use super::general::{Millis, ProxySettings};
use super::rate_limit::{self, Limiter, Limiters};
use super::{Action, Policy, RateLimit, Retry, Routing, SplitKey, Target};

/// The place of no backend.
const NO_BACKEND: usize = usize::MAX;

/// All routes at one moment.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// Those that the operator has written, without the one for everything.
    file: Table,
    /// Those that services advertise.
    advertised: Table,
    /// The operator's, the one for everything, the advertised ones.
    routes: Vec<LiveRoute>,
    /// Where the one for everything is.
    fallback: Option<usize>,
    /// Where the first advertised one is.
    advertised_at: usize,
    /// Whether any of them is not for all paths.
    decide_by_path: bool,
    /// The turns of all splits.
    turns: HashMap<Rule, Arc<Shares>>,
    /// The requests of all routes.
    totals: HashMap<Rule, Arc<AtomicU64>>,
    limiters: Limiters,
    /// The limits of all routes that have some.
    limits: HashMap<Rule, Box<[Arc<Limiter>]>>,
}

/// One route.
#[derive(Debug)]
pub(crate) struct LiveRoute {
    /// Its rule, as it is told.
    pub(crate) name: String,
    /// Requests that took it, over all workers; each adds its own at its ticks. It lasts as long as there is a route
    /// of this rule.
    pub(crate) requests: Arc<AtomicU64>,
    pub(crate) action: Action,
    /// The turns of a split.
    shares: Option<Arc<Shares>>,
    pub(crate) timeouts: StepTimeouts,
    pub(crate) most_body_bytes: u64,
    /// What is changed in requests, if anything is.
    pub(crate) edits: Option<Edits>,
    /// What is changed in answers, if anything is.
    pub(crate) response_headers: Option<FieldEdits>,
    /// When requests are sent again.
    pub(crate) retry: Retry,
    /// How many requests it takes, in the order in which they are asked.
    limits: Box<[Arc<Limiter>]>,
}

/// What a route changes in requests.
#[derive(Debug)]
pub(crate) struct Edits {
    pub(crate) strip_prefix: String,
    pub(crate) add_prefix: String,
    pub(crate) rewrite_host: Option<String>,
    pub(crate) fields: FieldEdits,
}

/// How long each step of a request may take on its route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepTimeouts {
    pub(crate) connect: Millis,
    pub(crate) answer: Millis,
    pub(crate) body: Millis,
    pub(crate) send: Millis,
    pub(crate) tunnel: Millis,
}

impl StepTimeouts {
    pub(crate) fn of(general: &ProxySettings, policy: &Policy) -> Self {
        let (general, own) = (&general.timeouts, &policy.timeouts);
        Self {
            connect: own.connect.unwrap_or(general.connect).into(),
            answer: own.answer.unwrap_or(general.answer).into(),
            body: own.body.unwrap_or(general.body).into(),
            send: own.send.unwrap_or(general.send).into(),
            tunnel: own.tunnel.unwrap_or(general.tunnel).into(),
        }
    }
}

impl Routes {
    /// Lays out the routes. `advertised` has a rule for each backend behind those of `routing`. The turns of splits
    /// and the totals that were there `before` go on, and its limits know their clients.
    pub(crate) fn new(
        routing: &Routing,
        advertised: &[Rule],
        general: &ProxySettings,
        before: &Routes,
    ) -> Self {
        let (everything, file): (Vec<_>, Vec<_>) =
            routing.routes.iter().partition(|route| route.rule.is_any());
        let fallback = (!everything.is_empty()).then_some(file.len());
        let rules: Vec<Rule> = file.iter().chain(&everything).map(|route| route.rule.clone()).collect();
        let mut routes: Vec<LiveRoute> = Vec::with_capacity(rules.len() + advertised.len());
        let totals = totals_of(rules.iter().chain(advertised), &before.totals);
        let counted = |rule| (rule, Arc::clone(&totals[rule]));
        let (mut turns, mut limits) = (HashMap::new(), HashMap::new());
        for route in file.iter().chain(&everything) {
            let shares = shares_of(&route.action, before.turns.get(&route.rule));
            if let Some(shares) = &shares {
                turns.insert(route.rule.clone(), Arc::clone(shares));
            }
            let (counted, action) = (counted(&route.rule), route.action.clone());
            let mut live = LiveRoute::new(counted, action, &route.policy, shares, general);
            if !route.policy.rate_limits.is_empty() {
                let known = before.limits.get(&route.rule).map(AsRef::as_ref).unwrap_or_default();
                live.limits = before.limiters.of(&route.policy.rate_limits, known);
                limits.insert(route.rule.clone(), live.limits.clone());
            }
            routes.push(live);
        }
        let advertised_at = routes.len();
        let decide_by_path = rules.iter().chain(advertised).any(|rule| rule.path != PathPattern::any());
        for (index, rule) in advertised.iter().enumerate() {
            let action = Action::Forward(Target::Backend(routing.backends.len() + index));
            routes.push(LiveRoute::new(counted(rule), action, &Policy::default(), None, general));
        }
        Self {
            file: Table::new(&rules[..file.len()]),
            advertised: Table::new(advertised),
            routes,
            fallback,
            advertised_at,
            decide_by_path,
            turns,
            totals,
            limiters: before.limiters,
            limits,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.routes.len()
    }

    /// The route of a request, and its place: the operator's most specific one, else the most specific of the
    /// advertised ones, else the operator's for everything.
    ///
    /// # Errors
    /// Paths decide, and this one could pass by a route that its upstream would read it as.
    #[inline]
    pub(crate) fn find(&self, head: &RequestHead<'_>) -> Result<Option<usize>, Ambiguous> {
        if self.routes.len() == 1 && self.fallback.is_some() {
            return Ok(self.fallback);
        }
        self.look_up(head)
    }

    fn look_up(&self, head: &RequestHead<'_>) -> Result<Option<usize>, Ambiguous> {
        let (path, query) = split_query(head.target);
        let path = if self.decide_by_path { read_path(path)? } else { Cow::Borrowed(path) };
        let query = query.get(1..).unwrap_or_default();
        let asked = Asked { method: head.method, host: head.host, path: &path, query };
        let has_field = |name: &str, value: &str| head.has_field(name, value);
        let advertised = || self.advertised.find(&asked, has_field).map(|place| self.advertised_at + place);
        Ok(self.file.find(&asked, has_field).or_else(advertised).or(self.fallback))
    }

    pub(crate) fn get(&self, place: usize) -> &LiveRoute {
        &self.routes[place]
    }

    /// All of them, by their places.
    pub(crate) fn all(&self) -> &[LiveRoute] {
        &self.routes
    }
}

/// The totals of these rules, those from before where there are any.
fn totals_of<'a>(
    rules: impl Iterator<Item = &'a Rule>,
    before: &HashMap<Rule, Arc<AtomicU64>>,
) -> HashMap<Rule, Arc<AtomicU64>> {
    rules.map(|rule| (rule.clone(), before.get(rule).cloned().unwrap_or_default())).collect()
}

/// The turns of a route's split, those from before if the weights are the same.
fn shares_of(action: &Action, before: Option<&Arc<Shares>>) -> Option<Arc<Shares>> {
    let Some(Target::Split { shares, .. }) = action.target() else { return None };
    let weights: Vec<u32> = shares.iter().map(|(_, weight)| *weight).collect();
    match before {
        Some(before) if before.weights() == weights => Some(Arc::clone(before)),
        _ => Shares::new(&weights, fastrand::u64(..)).map(Arc::new),
    }
}

/// A target's path, and its query with the `?`.
pub(crate) fn split_query(target: &[u8]) -> (&[u8], &[u8]) {
    target.split_at(target.iter().position(|byte| *byte == b'?').unwrap_or(target.len()))
}

impl LiveRoute {
    fn new(
        (rule, requests): (&Rule, Arc<AtomicU64>),
        action: Action,
        policy: &Policy,
        shares: Option<Arc<Shares>>,
        general: &ProxySettings,
    ) -> Self {
        let edits = Edits {
            strip_prefix: policy.strip_prefix.clone().unwrap_or_default(),
            add_prefix: policy.add_prefix.clone().unwrap_or_default(),
            rewrite_host: policy.rewrite_host.clone(),
            fields: policy.request_headers.clone(),
        };
        let response_headers = policy.response_headers.clone();
        Self {
            name: rule.to_string(),
            requests,
            action,
            shares,
            timeouts: StepTimeouts::of(general, policy),
            most_body_bytes: policy.most_body_bytes.unwrap_or(general.most_body_bytes).unwrap_or(u64::MAX),
            edits: edits.changes_something().then_some(edits),
            response_headers: (!response_headers.is_empty()).then_some(response_headers),
            retry: policy.retry.clone(),
            limits: Box::default(),
        }
    }

    /// Whether it takes only so many requests.
    #[inline]
    pub(crate) fn is_limited(&self) -> bool {
        !self.limits.is_empty()
    }

    /// Takes a request. `address` finds out who sent it, if that matters.
    ///
    /// # Errors
    /// It is one too many for this limit; the next one may come after so much time.
    pub(crate) fn take(
        &self,
        head: &RequestHead<'_>,
        address: impl Fn() -> IpAddr,
    ) -> Result<(), (&RateLimit, Duration)> {
        rate_limit::take(&self.limits, head, address)
    }

    /// The place of the backend that a request goes to. Of several it is the one whose turn it is, or the client's own;
    /// there is nothing at it if the route asks no endpoint.
    #[inline]
    pub(crate) fn backend(&self, head: &RequestHead<'_>) -> usize {
        match self.action.target() {
            Some(Target::Backend(backend)) => *backend,
            Some(Target::Split { shares, by }) => self.share(shares, by.as_ref(), head),
            None => NO_BACKEND,
        }
    }

    fn share(&self, shares: &[(usize, u32)], by: Option<&SplitKey>, head: &RequestHead<'_>) -> usize {
        let Some(turns) = &self.shares else { return shares[0].0 };
        let key = by.and_then(|by| match by {
            SplitKey::Header(name) => head.field(name),
            SplitKey::Cookie(name) => head.cookie(name),
        });
        shares[key.map_or_else(|| turns.next(), |key| turns.of(key))].0
    }

    /// The backends that may serve in the place of one that cannot: whoever else has a share, the largest first.
    #[cold]
    pub(crate) fn others(&self, given_up: &[usize]) -> Option<usize> {
        let Some(Target::Split { shares, .. }) = self.action.target() else { return None };
        let left = shares.iter().filter(|(backend, weight)| *weight > 0 && !given_up.contains(backend));
        left.max_by_key(|(_, weight)| *weight).map(|(backend, _)| *backend)
    }
}

impl Edits {
    fn changes_something(&self) -> bool {
        let paths = [&self.strip_prefix, &self.add_prefix];
        paths.iter().any(|prefix| !prefix.is_empty())
            || self.rewrite_host.is_some()
            || !self.fields.is_empty()
    }
}
