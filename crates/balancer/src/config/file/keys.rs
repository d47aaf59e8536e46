//! The keys of the file. The comments here are what docs/configuration.md and editors show.

use schemars::JsonSchema;
use serde::Deserialize;

use super::route_keys::{BackendKeys, RouteKeys};
use super::spot::{
    Address, HostAndPort, Named, Network, OneOrMany, ServiceQuery, Size, SizeOrNone, Spot, Text, Time, Url,
};

/// The configuration of `balancer`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Configuration")]
pub(super) struct FileKeys {
    /// Where clients connect. A bare port is that port on all addresses.
    #[schemars(with = "Option<Address>", extend("default" = "[::]:8080"))]
    pub(super) listen: Option<Spot<String>>,
    /// The port where clients connect, on all addresses; instead of `listen`.
    #[schemars(with = "Option<u16>", extend("default" = 8080))]
    pub(super) port: Option<Spot<u16>>,
    /// The registries to follow, all at once. The default only holds where nothing else is named that serves, or
    /// where a `service` asks for it.
    #[schemars(with = "Option<OneOrMany<HostAndPort>>", extend("default" = "localhost:9090"))]
    pub(super) registry: Option<OneOrMany<Spot<String>>>,
    /// Instances of this service, such as `web` or `web@1.x`, serve what no route is for.
    #[schemars(with = "Option<ServiceQuery>")]
    pub(super) service: Option<Spot<String>>,
    /// Servers that serve what no route is for.
    #[schemars(with = "Option<OneOrMany<Url>>")]
    pub(super) upstream: Option<OneOrMany<Spot<String>>>,
    /// Where health, metrics and `POST /reload` are served, or `none`. A bare port is that port on 127.0.0.1; beyond loopback it
    /// needs a `token`.
    #[schemars(with = "Option<Address>", extend("default" = "127.0.0.1:9099"))]
    pub(super) admin: Option<Spot<String>>,
    /// The bearer token for the registries and of the admin port. Better written `${BERTH_TOKEN}` than into the file.
    #[schemars(with = "Option<Text>")]
    pub(super) token: Option<Spot<String>>,
    /// Worker threads; one per core where nothing is said.
    #[schemars(range(min = 1, max = 1024))]
    pub(super) threads: Option<u16>,
    /// Client connections at once; by default 10000, or what the limit of open files allows.
    #[schemars(range(min = 1, max = 4294967295_u32))]
    pub(super) max_connections: Option<u32>,
    /// What each client address may have at once.
    pub(super) per_client: Option<Spot<PerClientKeys>>,
    /// The largest request head, else 431.
    #[schemars(with = "Option<Size>", extend("default" = "64KiB"))]
    pub(super) max_head: Option<Spot<String>>,
    /// The longest request target, else 414.
    #[schemars(with = "Option<Size>", extend("default" = "16KiB"))]
    pub(super) max_target: Option<Spot<String>>,
    /// The most fields in a head, else 431.
    #[schemars(range(min = 1, max = 128), extend("default" = 128))]
    pub(super) max_fields: Option<u16>,
    /// The largest request body, else 413; or `none`.
    #[schemars(with = "Option<SizeOrNone>", extend("default" = "none"))]
    pub(super) max_body: Option<Spot<String>>,
    /// For a connection to an upstream, then the next one is tried.
    #[schemars(with = "Option<Time>", extend("default" = "2s"))]
    pub(super) timeout_connect: Option<Spot<String>>,
    /// For a request head, from its first byte on, else 408.
    #[schemars(with = "Option<Time>", extend("default" = "10s"))]
    pub(super) timeout_head: Option<Spot<String>>,
    /// For the head of an answer, else 504.
    #[schemars(with = "Option<Time>", extend("default" = "60s"))]
    pub(super) timeout_answer: Option<Spot<String>>,
    /// For silence within a body.
    #[schemars(with = "Option<Time>", extend("default" = "60s"))]
    pub(super) timeout_body: Option<Spot<String>>,
    /// For a client that does not read.
    #[schemars(with = "Option<Time>", extend("default" = "30s"))]
    pub(super) timeout_send: Option<Spot<String>>,
    /// For a client connection between two requests.
    #[schemars(with = "Option<Time>", extend("default" = "60s"))]
    pub(super) timeout_idle: Option<Spot<String>>,
    /// For silence within a tunnel, such as a WebSocket.
    #[schemars(with = "Option<Time>", extend("default" = "1h"))]
    pub(super) timeout_tunnel: Option<Spot<String>>,
    /// For an upstream connection between two requests.
    #[schemars(with = "Option<Time>", extend("default" = "30s"))]
    pub(super) timeout_upstream_idle: Option<Spot<String>>,
    /// How long running requests may take after SIGTERM or Ctrl-C.
    #[schemars(with = "Option<Time>", extend("default" = "30s"))]
    pub(super) grace: Option<Spot<String>>,
    /// Networks whose `X-Forwarded-*` fields are believed.
    #[schemars(with = "Option<OneOrMany<Network>>")]
    pub(super) trusted_proxies: Option<OneOrMany<Spot<String>>>,
    /// A file of certificates in PEM that https upstreams must be vouched for by, in place of the system's.
    pub(super) upstream_ca: Option<Spot<String>>,
    /// Whether requests name this balancer in their `Via` field.
    #[schemars(extend("default" = true))]
    pub(super) via: Option<bool>,
    /// Where the balancer keeps what the registries have listed, for a start while none of them answers: a file, or
    /// `none`. Without it a file of its own under `$XDG_STATE_HOME/berth` or `~/.local/state/berth`.
    pub(super) state: Option<String>,
    /// Where a line per request goes: a file, `-` for stdout, or `off`.
    #[schemars(extend("default" = "off"))]
    pub(super) access_log: Option<String>,
    /// How a line of the access log looks.
    #[schemars(extend("default" = "combined"))]
    pub(super) access_log_format: Option<AccessFormatKey>,
    /// How the log on stderr looks.
    #[schemars(extend("default" = "text"))]
    pub(super) log_format: Option<LogFormatKey>,
    /// Whether instances are routed that say what they want to serve, where no route of the file is for it. It is
    /// never so with a `service` at this level.
    #[schemars(extend("default" = true))]
    pub(super) advertised_routes: Option<bool>,
    /// The routes. The most specific one wins.
    pub(super) routes: Option<Vec<Spot<RouteKeys>>>,
    /// Backends by their names, for routes to name.
    pub(super) backends: Option<Named<Spot<BackendKeys>>>,
}

/// What each client address may have at once: one of these, or both. IPv6 counts by its first 64 bits. Peers among the
/// `trusted_proxies` may have any number.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "PerClient")]
pub(super) struct PerClientKeys {
    /// Connections; one more gets `429` and is closed. Those that came while nothing was said here do not count.
    #[schemars(range(min = 1, max = 4294967295_u32))]
    pub(super) max_connections: Option<u32>,
    /// Requests under way, tunnels among them; one more gets `429`.
    #[schemars(range(min = 1, max = 4294967295_u32))]
    pub(super) max_requests: Option<u32>,
}

/// How a line of the access log looks.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum AccessFormatKey {
    Combined,
    Json,
}

/// How the log looks.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum LogFormatKey {
    Text,
    Json,
}
