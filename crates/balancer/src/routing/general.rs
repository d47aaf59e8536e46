//! What holds for all traffic, where a route says nothing else.

use std::net::IpAddr;
use std::time::Duration;

use berth_http1::Limits;
use ipnet::IpNet;

use crate::tls::UpstreamTls;

/// What the data path may be told; every worker has the same.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxySettings {
    /// How large a head may be.
    pub limits: Limits,
    /// How long each side may take for each step.
    pub timeouts: Timeouts,
    /// The largest body of a request, in bytes; none without a limit.
    pub most_body_bytes: Option<u64>,
    /// Requests of each backend that wait at once for an upstream connection to come about.
    pub most_pending: u32,
    /// Peers that are believed when they say whom they forward for.
    pub trusted_proxies: Vec<IpNet>,
    /// How upstreams prove who they are.
    pub tls: UpstreamTls,
    /// Whether requests carry a `Via` that names this balancer.
    pub via: bool,
    /// What each client may have at once, if that is bounded.
    pub per_client: Option<PerClient>,
}

/// What each client address may have at once. Peers that are trusted may have any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerClient {
    /// Connections.
    pub max_connections: Option<u32>,
    /// Requests under way, tunnels among them.
    pub max_requests: Option<u32>,
}

/// How long each step may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A connection to an upstream.
    pub connect: Duration,
    /// A request head, from its first byte on.
    pub head: Duration,
    /// The head of an answer, once the request is sent.
    pub answer: Duration,
    /// Silence within a body.
    pub body: Duration,
    /// A client that does not read.
    pub send: Duration,
    /// A client connection between two requests.
    pub idle: Duration,
    /// Silence within a tunnel.
    pub tunnel: Duration,
    /// An upstream connection between two requests.
    pub upstream_idle: Duration,
}

impl ProxySettings {
    #[inline]
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        if self.trusted_proxies.is_empty() {
            return false;
        }
        let peer = peer.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&peer))
    }
}

/// A time in whole milliseconds, rounded up: how long something may take. It is 49 days at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(u32);

impl Millis {
    /// So many seconds.
    pub(crate) const fn of_secs(seconds: u32) -> Self {
        Self(seconds * 1000)
    }

    /// The time as a number.
    #[inline]
    pub fn get(self) -> u64 {
        u64::from(self.0)
    }
}

impl From<Duration> for Millis {
    fn from(time: Duration) -> Self {
        let millis = time.as_millis() + u128::from(!time.subsec_nanos().is_multiple_of(1_000_000));
        Self(u32::try_from(millis).unwrap_or(u32::MAX))
    }
}
