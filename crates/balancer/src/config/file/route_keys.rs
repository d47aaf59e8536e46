//! The keys of routes and backends. The comments here are what docs/configuration.md and editors show.

use std::borrow::Cow;
use std::num::NonZeroU32;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::health_keys::{HealthEntry, RetryKeys};
use super::spot::{Factor, Named, OneOrMany, ServiceQuery, SizeOrNone, Spot, Text, Time, Url};
use crate::config::{Sticky, StrategyName};

/// A route: which requests it is for, and what happens to them. It has exactly one destination: `backend`, a backend
/// of its own (`servers`, `service` or both), `split`, `respond` or `redirect_to`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Route")]
pub(super) struct RouteKeys {
    /// The host asked for, without its port: `example.com`, or `*.example.com` for all below it. Any without it.
    pub(super) host: Option<Spot<String>>,
    /// The path: `/health` and no other, or `/api/*` for `/api` and all below it. Where paths decide, one that leads
    /// elsewhere for some servers gets `400`: dot segments beside `%2F`, `%5C`, `\` or empty segments, and `..;`.
    #[schemars(extend("default" = "/*"))]
    pub(super) path: Option<Spot<String>>,
    /// The methods, such as `GET`; any without it.
    #[schemars(with = "Option<OneOrMany<String>>")]
    pub(super) methods: Option<OneOrMany<Spot<String>>>,
    /// Fields that a request must carry with these values.
    #[schemars(with = "Option<Named<Text>>")]
    pub(super) headers: Option<Named<Spot<String>>>,
    /// Parameters of the query that a request must carry with these values.
    #[schemars(with = "Option<Named<Text>>")]
    pub(super) query: Option<Named<Spot<String>>>,

    /// The name of a backend.
    pub(super) backend: Option<Spot<String>>,
    /// Servers of the route's own backend.
    pub(super) servers: Option<Spot<Vec<Spot<ServerEntry>>>>,
    /// The service whose instances are the route's own backend.
    #[schemars(with = "Option<ServiceQuery>")]
    pub(super) service: Option<Spot<String>>,
    /// Shares of the traffic, by weight from 0 to 1000. A key is the name of a backend, or with an `@` a query.
    #[schemars(with = "Option<Named<Weight>>")]
    pub(super) split: Option<Spot<Named<u32>>>,
    /// The same answer for everybody.
    pub(super) respond: Option<Spot<RespondKeys>>,
    /// Sends clients to a URL, in which `{host}` is the host asked for and `{path}` the path with its query.
    #[schemars(with = "Option<Url>")]
    pub(super) redirect_to: Option<Spot<String>>,

    /// What keeps a client with the same backend of a `split`; requests without it take turns.
    pub(super) split_by: Option<Spot<SplitByKeys>>,
    /// How an endpoint is chosen. Beside `backend` the route gets endpoints as that backend has them, chosen in its
    /// own way.
    #[schemars(extend("default" = "round_robin"))]
    pub(super) strategy: Option<Spot<StrategyName>>,
    /// What `consistent_hash` goes by; without it, or if a request does not have it, by the client's address.
    pub(super) hash_by: Option<Spot<HashByKeys>>,
    /// `ip_hash` and `consistent_hash` go on to another endpoint if one has more than so many times the mean of requests
    /// under way.
    #[schemars(with = "Option<Factor>")]
    pub(super) bounded_load: Option<Spot<String>>,
    /// How long an endpoint that joins later takes to reach its full share; 10s for the strategies that go by load, else
    /// 0s.
    #[schemars(with = "Option<Time>")]
    pub(super) slow_start: Option<Spot<String>>,
    /// Keeps a client at the endpoint that it had first, by a cookie, for as long as that may be chosen.
    pub(super) sticky: Option<Spot<Sticky>>,
    /// Requests at each endpoint at once; more wait in the `queue`. Beside `backend` this is that backend's to say, as
    /// are the next three; beside `pick` it has no meaning.
    #[schemars(with = "Option<u32>", range(min = 1, max = 4294967295_u32))]
    pub(super) max_in_flight: Option<Spot<u32>>,
    /// Upstream connections in use at once, over all endpoints. With `max_in_flight` more wait in the `queue`, else they
    /// get 503.
    #[schemars(with = "Option<u32>", range(min = 1, max = 4294967295_u32))]
    pub(super) max_connections: Option<Spot<u32>>,
    /// Requests that wait at once for an upstream connection to come about, else 503; by default half of the client
    /// connections that there may be, so that one backend which hangs leaves room for others.
    #[schemars(with = "Option<u32>", range(min = 1, max = 4294967295_u32))]
    pub(super) max_pending: Option<Spot<u32>>,
    /// How requests wait that find all endpoints at their `max_in_flight`, or none.
    pub(super) queue: Option<Spot<QueueKeys>>,
    /// How the endpoints are looked at; without it only where there is a doubt. Beside `backend` this is that backend's
    /// to say.
    pub(super) health: Option<Spot<HealthEntry>>,
    /// Whether the balancer carries the request, or sends the client to the endpoint's public URL.
    #[schemars(extend("default" = "proxy"))]
    pub(super) mode: Option<Spot<ModeKey>>,
    /// Whether clients may remember where they were sent: 308 instead of 307.
    #[schemars(extend("default" = false))]
    pub(super) permanent: Option<Spot<bool>>,
    /// Whether clients are only told which endpoint it would be: `{"url": …}`.
    #[schemars(extend("default" = false))]
    pub(super) pick: Option<Spot<bool>>,
    /// What is taken off the front of the path, whole segments.
    pub(super) strip_prefix: Option<Spot<String>>,
    /// What is put in front of the path, after `strip_prefix`.
    pub(super) add_prefix: Option<Spot<String>>,
    /// The Host that the endpoint is asked for.
    pub(super) rewrite_host: Option<Spot<String>>,
    /// Changes to the fields of requests. In what came, `_` in a name counts as `-`, as it does to many servers. A
    /// request with a trailer of such a name gets `400`.
    pub(super) request_headers: Option<Spot<EditKeys>>,
    /// Changes to the fields of the endpoints' answers.
    pub(super) response_headers: Option<Spot<EditKeys>>,
    /// As at the top, for this route.
    #[schemars(with = "Option<Time>")]
    pub(super) timeout_connect: Option<Spot<String>>,
    /// As at the top, for this route.
    #[schemars(with = "Option<Time>")]
    pub(super) timeout_answer: Option<Spot<String>>,
    /// As at the top, for this route.
    #[schemars(with = "Option<Time>")]
    pub(super) timeout_body: Option<Spot<String>>,
    /// As at the top, for this route.
    #[schemars(with = "Option<Time>")]
    pub(super) timeout_send: Option<Spot<String>>,
    /// As at the top, for this route.
    #[schemars(with = "Option<Time>")]
    pub(super) timeout_tunnel: Option<Spot<String>>,
    /// As at the top, for this route.
    #[schemars(with = "Option<SizeOrNone>")]
    pub(super) max_body: Option<Spot<String>>,
    /// How many requests the route takes, else 429: a limit, or up to 8, each of which holds.
    #[schemars(with = "Option<RateLimits>")]
    pub(super) rate_limit: Option<Spot<OneOrMany<Spot<RateLimitKeys>>>>,
    /// When a request is sent again that an endpoint did not answer.
    pub(super) retry: Option<Spot<RetryKeys>>,
    /// Not supported yet.
    #[schemars(with = "Option<Text>")]
    pub(super) docker_image: Option<Spot<Ignored>>,
}

/// A backend: endpoints, and how one is chosen. It has `servers`, a `service`, or both.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Backend")]
pub(super) struct BackendKeys {
    /// How an endpoint is chosen.
    #[schemars(extend("default" = "round_robin"))]
    pub(super) strategy: Option<Spot<StrategyName>>,
    /// What `consistent_hash` goes by; without it, or if a request does not have it, by the client's address.
    pub(super) hash_by: Option<Spot<HashByKeys>>,
    /// `ip_hash` and `consistent_hash` go on to another endpoint if one has more than so many times the mean of requests
    /// under way.
    #[schemars(with = "Option<Factor>")]
    pub(super) bounded_load: Option<Spot<String>>,
    /// How long an endpoint that joins later takes to reach its full share; 10s for the strategies that go by load, else
    /// 0s.
    #[schemars(with = "Option<Time>")]
    pub(super) slow_start: Option<Spot<String>>,
    /// Keeps a client at the endpoint that it had first, by a cookie, for as long as that may be chosen.
    pub(super) sticky: Option<Spot<Sticky>>,
    /// Requests at each endpoint at once; more wait in the `queue`. WebSockets count for as long as they last.
    #[schemars(with = "Option<u32>", range(min = 1, max = 4294967295_u32))]
    pub(super) max_in_flight: Option<Spot<u32>>,
    /// Upstream connections in use at once, over all endpoints. With `max_in_flight` more wait in the `queue`, else they
    /// get 503.
    #[schemars(with = "Option<u32>", range(min = 1, max = 4294967295_u32))]
    pub(super) max_connections: Option<Spot<u32>>,
    /// Requests that wait at once for an upstream connection to come about, else 503; by default half of the client
    /// connections that there may be, so that one backend which hangs leaves room for others.
    #[schemars(with = "Option<u32>", range(min = 1, max = 4294967295_u32))]
    pub(super) max_pending: Option<Spot<u32>>,
    /// How requests wait that find all endpoints at their `max_in_flight`, or none.
    pub(super) queue: Option<Spot<QueueKeys>>,
    /// How the endpoints are looked at; without it only where there is a doubt.
    pub(super) health: Option<Spot<HealthEntry>>,
    /// Servers, each a URL or a mapping.
    pub(super) servers: Option<Spot<Vec<Spot<ServerEntry>>>>,
    /// The service whose instances are endpoints, such as `web@1.x`.
    #[schemars(with = "Option<ServiceQuery>")]
    pub(super) service: Option<Spot<String>>,
    /// Not supported yet.
    #[schemars(with = "Option<Text>")]
    pub(super) docker_image: Option<Spot<Ignored>>,
}

/// A server as a URL or as a mapping.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct ServerEntry(pub(super) ServerKeys);

impl JsonSchema for ServerEntry {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "ServerEntry".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [generator.subschema_for::<Url>(), generator.subschema_for::<ServerKeys>()] })
    }
}

/// A server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Server")]
pub(super) struct ServerKeys {
    // The first field: a server that is only a text is its URL.
    /// Where it is: `http://10.0.0.1:8080`, `https://example.org` or `localhost:3000`.
    #[schemars(with = "Url")]
    pub(super) url: Spot<String>,
    /// Its share relative to others, for strategies that know weights.
    #[schemars(range(min = 1, max = 1000), extend("default" = 1))]
    pub(super) weight: Option<u16>,
    /// Where clients reach it without the balancer, for `mode: redirect` and `pick`.
    #[schemars(with = "Option<Url>")]
    pub(super) public_url: Option<Spot<String>>,
    /// Not supported yet.
    #[schemars(with = "Option<Text>")]
    pub(super) docker_image: Option<Spot<Ignored>>,
}

/// A fixed answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Respond")]
pub(super) struct RespondKeys {
    /// The status.
    #[schemars(with = "Option<Status>", extend("default" = 200))]
    pub(super) status: Option<Spot<u16>>,
    /// What the client reads.
    #[schemars(with = "Option<Text>")]
    pub(super) body: Option<Spot<String>>,
    /// Fields. A body without `Content-Type` is `text/plain; charset=utf-8`.
    #[schemars(with = "Option<Named<Text>>")]
    pub(super) headers: Option<Named<Spot<String>>>,
}

/// What tells clients apart: one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "SplitBy")]
pub(super) struct SplitByKeys {
    /// The name of a field of requests.
    pub(super) header: Option<Spot<String>>,
    /// The name of a cookie.
    pub(super) cookie: Option<Spot<String>>,
}

/// What of a request decides which endpoint it always goes to: exactly one of these.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "HashBy")]
pub(super) struct HashByKeys {
    /// The name of a field of requests.
    pub(super) header: Option<Spot<String>>,
    /// The name of a cookie.
    pub(super) cookie: Option<Spot<String>>,
    /// The name of a parameter of the query.
    pub(super) query: Option<Spot<String>>,
    /// `true`: the path.
    pub(super) path: Option<Spot<bool>>,
}

/// How requests wait, in the order in which they came.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Queue")]
pub(super) struct QueueKeys {
    /// How many may wait; more get 503.
    #[schemars(range(min = 0, max = 1000000), extend("default" = 1000))]
    pub(super) length: Option<u32>,
    /// How long each may wait, else 503. It is kept to half a second.
    #[schemars(with = "Option<Time>", extend("default" = "10s"))]
    pub(super) timeout: Option<Spot<String>>,
    /// Whether they wait as well while the backend has no endpoint.
    #[schemars(extend("default" = false))]
    pub(super) hold_when_empty: Option<bool>,
}

/// A limit for the requests of a route: so many per time, at an even pace, and after a pause a `burst` at once. What is
/// one too many gets `429`, which tells when to come again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "RateLimit")]
pub(super) struct RateLimitKeys {
    /// How many requests.
    #[schemars(with = "Count")]
    pub(super) requests: NonZeroU32,
    /// In how much time, from 1ms to 1d.
    #[schemars(with = "Option<Time>", extend("default" = "1s"))]
    pub(super) per: Option<Spot<String>>,
    /// How many may come at once; as many as `requests` where nothing is said.
    #[schemars(with = "Option<Count>")]
    pub(super) burst: Option<Spot<NonZeroU32>>,
    /// Who is counted for himself. Without it all requests of the route count together. A file may have 256 limits
    /// with `by`.
    pub(super) by: Option<Spot<LimitByKeys>>,
}

/// What tells clients apart for a limit: one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "LimitBy")]
pub(super) struct LimitByKeys {
    /// `true`: the address, of IPv6 the first 64 bits. Behind one of `trusted_proxies` it is the last one in
    /// `X-Forwarded-For` that is none of them.
    pub(super) address: Option<Spot<bool>>,
    /// The name of a field of requests. A request without it, with an empty one, or with more than one line of it
    /// goes by the address.
    pub(super) header: Option<Spot<String>>,
}

/// Changes to the fields of a message.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "HeaderEdits")]
pub(super) struct EditKeys {
    /// Fields that are there with these values, whatever came.
    #[schemars(with = "Option<Named<Text>>")]
    pub(super) set: Option<Named<Spot<String>>>,
    /// Names of fields that do not go on.
    #[schemars(with = "Option<OneOrMany<String>>")]
    pub(super) remove: Option<OneOrMany<Spot<String>>>,
}

/// The modes.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum ModeKey {
    Proxy,
    Redirect,
}

/// A value that is refused whatever it is.
#[derive(Debug)]
pub(super) struct Ignored;

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// A limit or several, in the schema.
struct RateLimits;

impl JsonSchema for RateLimits {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "RateLimits".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<RateLimitKeys>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1, "maxItems": 8 }] })
    }
}

/// A weight, in the schema.
struct Weight;

impl JsonSchema for Weight {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Weight".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 0, "maximum": 1000 })
    }
}

/// A number of requests, in the schema.
struct Count;

impl JsonSchema for Count {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": 1_000_000_000 })
    }
}

/// A status, in the schema.
struct Status;

impl JsonSchema for Status {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Status".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 200, "maximum": 599 })
    }
}
