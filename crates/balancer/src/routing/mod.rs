//! Where requests go, as the operator has decided it: routes, and the backends behind them.

use std::time::Duration;

use berth_http1::FieldEdits;
use berth_model::{Invalid, Query, ServiceName};
use berth_route::Rule;
use schemars::JsonSchema;
use serde::Deserialize;

mod capacity;
mod choosing;
mod client_table;
mod general;
mod health;
mod rate_limit;
mod retry;
mod routes;
mod upstream;

pub use capacity::{Capacity, QueueSettings};
pub(crate) use choosing::client_of;
pub use choosing::{Choosing, HashBy, Sticky};
pub use general::{Millis, PerClient, ProxySettings, Timeouts};
pub use health::{Health, ProbeKind};
pub use rate_limit::{LimitBy, RateLimit};
pub use retry::{Retry, RetryOn};
pub(crate) use routes::{Edits, LiveRoute, Routes, StepTimeouts, split_query};
pub use upstream::Upstream;

/// Routes and backends. Routes name backends by their place.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    /// The routes; no two of them have the same rule.
    pub routes: Vec<Route>,
    /// The backends; no two of them have the same name.
    pub backends: Vec<Backend>,
    /// Whether instances are routed that say what they want to serve.
    pub advertised_routes: bool,
}

impl Routing {
    /// The one service whose instances may be wanted, if it is one.
    pub(crate) fn only_service(&self) -> Option<&ServiceName> {
        let mut only: Option<&ServiceName> = None;
        for backend in &self.backends {
            match &backend.instances {
                Instances::None => {}
                Instances::WithoutRoutes => return None,
                Instances::Query(query) if only.is_none_or(|known| *known == query.service) => {
                    only = Some(&query.service);
                }
                Instances::Query(_) => return None,
            }
        }
        only.filter(|_| !self.advertised_routes)
    }
}

/// One route.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Which requests take it.
    pub rule: Rule,
    /// What happens to them.
    pub action: Action,
    /// How.
    pub policy: Policy,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// It goes to an endpoint.
    Forward(Target),
    /// The client is sent to an endpoint's public URL, for good if so: `mode: redirect`.
    Redirect {
        /// The endpoint's backend.
        target: Target,
        /// 308 instead of 307.
        permanent: bool,
    },
    /// The client is told which endpoint it would be: `pick: true`.
    Pick(Target),
    /// The same answer for everybody: `respond`.
    Respond(Fixed),
    /// The client is sent to another URL: `redirect_to`.
    RedirectTo {
        /// Where.
        location: Template,
        /// 308 instead of 307.
        permanent: bool,
    },
}

impl Action {
    /// Where it takes endpoints from, if it needs one.
    #[inline]
    pub(crate) fn target(&self) -> Option<&Target> {
        match self {
            Action::Forward(target) | Action::Redirect { target, .. } | Action::Pick(target) => Some(target),
            Action::Respond(_) | Action::RedirectTo { .. } => None,
        }
    }
}

impl Action {
    /// The backends that it names, by their places.
    pub(crate) fn backends(&self) -> Vec<usize> {
        match self.target() {
            Some(Target::Backend(backend)) => vec![*backend],
            Some(Target::Split { shares, .. }) => shares.iter().map(|(backend, _)| *backend).collect(),
            None => Vec::new(),
        }
    }

    /// The same, but for where its backends are in the list.
    pub(crate) fn without_backends(&self) -> Self {
        let mut same = self.clone();
        match &mut same {
            Action::Forward(target) | Action::Redirect { target, .. } | Action::Pick(target) => {
                match target {
                    Target::Backend(place) => *place = 0,
                    Target::Split { shares, .. } => shares.iter_mut().for_each(|(place, _)| *place = 0),
                }
            }
            Action::Respond(_) | Action::RedirectTo { .. } => {}
        }
        same
    }
}

/// Where endpoints are taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// From this backend.
    Backend(usize),
    /// From several, each with its share.
    Split {
        /// Backends and their weights, 0 to 1000 each and not all 0, in the order of the file.
        shares: Vec<(usize, u32)>,
        /// What decides for a client that must stay; none, or a client without it, takes turns.
        by: Option<SplitKey>,
    },
}

/// What tells clients apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitKey {
    /// A field of the request.
    Header(String),
    /// A cookie.
    Cookie(String),
}

/// What a route changes on the way, and how much it allows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// What is taken off the front of the path: whole segments, such as `/api`.
    pub strip_prefix: Option<String>,
    /// What is put in front of the path after that, such as `/v1`.
    pub add_prefix: Option<String>,
    /// The Host that the upstream is asked for.
    pub rewrite_host: Option<String>,
    /// Fields of requests.
    pub request_headers: FieldEdits,
    /// Fields of the endpoints' answers.
    pub response_headers: FieldEdits,
    /// Deadlines in place of the general ones.
    pub timeouts: RouteTimeouts,
    /// The largest body in place of the general limit; `Some(None)` is no limit.
    pub most_body_bytes: Option<Option<u64>>,
    /// How many requests it takes; each of these holds.
    pub rate_limits: Vec<RateLimit>,
    /// When they are sent again.
    pub retry: Retry,
}

/// Deadlines of a route, where they are not the general ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteTimeouts {
    /// A connection to an upstream.
    pub connect: Option<Duration>,
    /// The head of an answer.
    pub answer: Option<Duration>,
    /// Silence within a body.
    pub body: Option<Duration>,
    /// A client that does not read.
    pub send: Option<Duration>,
    /// Silence within a tunnel.
    pub tunnel: Option<Duration>,
}

/// An answer that never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// 200 to 599.
    pub status: u16,
    /// Fields, `Content-Type` among them if there is a body.
    pub headers: Vec<(String, String)>,
    /// What the client reads.
    pub body: String,
}

/// A URL with `{host}` and `{path}` in it: the asked host without its port, and the path with its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The text in front of each placeholder, and the placeholder.
    pub parts: Vec<(String, Placeholder)>,
    /// The text behind the last one.
    pub rest: String,
}

/// What stands in a template for something of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// `{host}`.
    Host,
    /// `{path}`.
    Path,
}

/// A set of endpoints with one strategy.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    /// Its name: as the file has it, the query of a split, or the rule of the route that carries it.
    pub name: String,
    /// What clients are told about when nobody serves: `service web@1.x`, `backend api_servers`.
    pub subject: String,
    /// How endpoints are chosen.
    pub choosing: Choosing,
    /// How many requests it takes.
    pub capacity: Capacity,
    /// How its endpoints are looked at.
    pub health: Health,
    /// The backend whose endpoints these are, by its name, if it is another: they share their places and one queue.
    pub shares_with: Option<String>,
    /// Servers that the file names.
    pub servers: Vec<Server>,
    /// Instances that registries list.
    pub instances: Instances,
}

/// Which of the registries' instances are endpoints of a backend.
#[derive(Clone, Debug, PartialEq)]
pub enum Instances {
    /// None.
    None,
    /// Those of a query.
    Query(Query),
    /// All that do not say which routes they want to serve, whatever their service.
    WithoutRoutes,
}

/// A server that is named rather than found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// Where it is.
    pub upstream: Upstream,
    /// Its share relative to others, 1 to 1000.
    pub weight: u16,
    /// Where clients reach it, without a slash at its end.
    pub public_url: Option<PublicUrl>,
}

/// Where clients reach an endpoint without us: `https://cdn1.example.com`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// The URL, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for PublicUrl {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mend = "Write a URL such as https://node1.example.com, without query.";
        let bad = || Invalid::new("public_url", format!("is {text:?}"), mend);
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).ok_or_else(bad)?;
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}?#".contains(&byte);
        let host = rest.split('/').next().unwrap_or_default();
        if host.is_empty() || host.contains('@') || !rest.bytes().all(plain) {
            return Err(bad());
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

/// How a backend chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum StrategyName {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// Each in turn, by weight.
    WeightedRoundRobin,
    /// Whoever has the fewest requests under way.
    LeastConnections,
    /// The same, by weight.
    WeightedLeastConnections,
    /// Anybody.
    Random,
    /// The less busy of two.
    P2c,
    /// Latency times load.
    PeakEwma,
    /// By the client's address.
    IpHash,
    /// By something of the request.
    ConsistentHash,
    /// By the load that instances report.
    Load,
}

impl StrategyName {
    /// The name, as the file has it.
    pub fn as_str(self) -> &'static str {
        match self {
            StrategyName::RoundRobin => "round_robin",
            StrategyName::WeightedRoundRobin => "weighted_round_robin",
            StrategyName::LeastConnections => "least_connections",
            StrategyName::WeightedLeastConnections => "weighted_least_connections",
            StrategyName::Random => "random",
            StrategyName::P2c => "p2c",
            StrategyName::PeakEwma => "peak_ewma",
            StrategyName::IpHash => "ip_hash",
            StrategyName::ConsistentHash => "consistent_hash",
            StrategyName::Load => "load",
        }
    }
}
