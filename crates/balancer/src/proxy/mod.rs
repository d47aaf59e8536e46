//! The data path. A request's walk, in the order of the files: [`worker`] accepts, [`connection`] reads heads,
//! [`exchange`] tells one request, [`attempt`] finds an endpoint that answers, [`pool`] keeps its connection,
//! [`relay`] moves the bodies and [`tunnel`] what comes after an upgrade, [`record`] notes the ending. [`shared`] is
//! what all connections of a worker share; [`client`], [`request`] with its [`upload`], and [`answer`] are what an
//! exchange works on; [`stream`], [`outlet`] and [`splice`] move bytes.

use std::net::IpAddr;
use std::time::Duration;

use berth_http1::Limits;
use ipnet::IpNet;

use crate::tls::UpstreamTls;

pub(crate) mod listener;
pub(crate) mod worker;

mod connection;

mod exchange;

mod attempt;

mod pool;

mod relay;

mod tunnel;

mod record;

mod answer;
mod buffers;
mod client;
mod connect;
mod deadlines;
mod failure;
mod outlet;
mod reply;
mod request;
mod shared;
mod splice;
mod stream;
mod upload;
mod view;

pub(crate) use deadlines::TICK;

/// What the data path may be told; every worker has the same.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// How large a head may be.
    pub limits: Limits,
    /// How long each side may take for each step.
    pub timeouts: Timeouts,
    /// The largest body of a request, in bytes; none without a limit.
    pub most_body_bytes: Option<u64>,
    /// Peers that are believed when they say whom they forward for.
    pub trusted_proxies: Vec<IpNet>,
    /// How upstreams prove who they are.
    pub tls: UpstreamTls,
    /// Whether requests carry a `Via` that names this balancer.
    pub via: bool,
}

/// How long each step may take.
#[derive(Clone, Copy, Debug)]
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
    fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&peer))
    }
}
