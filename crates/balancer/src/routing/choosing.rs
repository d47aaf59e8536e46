//! How a backend chooses among its endpoints.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use berth_http1::RequestHead;
use berth_pick::{Chooser, Strategy, hash};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{StrategyName, split_query};

/// How long endpoints that join have to reach their full share, where the strategy would send them all there is.
const SLOW_START: Duration = Duration::from_secs(10);

/// How a backend chooses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choosing {
    /// The strategy.
    pub strategy: StrategyName,
    /// What `consistent_hash` goes by.
    pub hash_by: HashBy,
    /// How many times the mean of requests under way an endpoint may have before a hashing strategy goes on to another.
    pub bounded_load: Option<f32>,
    /// How long endpoints that join have to reach their full share; what suits the strategy if nothing is said.
    pub slow_start: Option<Duration>,
    /// What keeps a client at the endpoint that it had first.
    pub sticky: Option<Sticky>,
}

/// What keeps a client at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Sticky {
    /// A cookie that the balancer sets.
    Cookie,
}

/// What `consistent_hash` goes by. A request without it goes by the client's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HashBy {
    /// The client's address.
    #[default]
    Address,
    /// A field of the request.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// The path.
    Path,
    /// A parameter of the query.
    Query(String),
}

impl Choosing {
    /// A chooser that begins its turn where `entropy` decides.
    pub(crate) fn chooser(&self, entropy: u64) -> Chooser {
        let (strategy, goes_by_load) = match self.strategy {
            StrategyName::RoundRobin => (Strategy::RoundRobin, false),
            StrategyName::WeightedRoundRobin => (Strategy::WeightedRoundRobin, false),
            StrategyName::LeastConnections => (Strategy::LeastConnections, true),
            StrategyName::WeightedLeastConnections => (Strategy::WeightedLeastConnections, true),
            StrategyName::Random => (Strategy::Random, false),
            StrategyName::P2c => (Strategy::P2c, true),
            StrategyName::PeakEwma => (Strategy::PeakEwma, true),
            StrategyName::IpHash | StrategyName::ConsistentHash => {
                (Strategy::Hash { bounded_load: self.bounded_load }, false)
            }
            StrategyName::Load => (Strategy::Load, true),
        };
        let usual = if goes_by_load { SLOW_START } else { Duration::ZERO };
        Chooser::new(strategy, self.slow_start.unwrap_or(usual), entropy)
    }

    /// What keeps a request to an endpoint, hashed, if the strategy goes by it.
    #[inline]
    pub(crate) fn key_of(&self, head: &RequestHead<'_>, peer: IpAddr) -> u64 {
        match self.strategy {
            StrategyName::IpHash => of_address(peer),
            StrategyName::ConsistentHash => self.key_in(head, peer),
            _ => 0,
        }
    }

    fn key_in(&self, head: &RequestHead<'_>, peer: IpAddr) -> u64 {
        let found = match &self.hash_by {
            HashBy::Address => None,
            HashBy::Header(name) => head.field(name),
            HashBy::Cookie(name) => head.cookie(name),
            HashBy::Path => Some(split_query(head.target).0),
            HashBy::Query(name) => parameter(split_query(head.target).1, name.as_bytes()),
        };
        found.map_or_else(|| of_address(peer), |key| hash(0, key))
    }
}

fn of_address(peer: IpAddr) -> u64 {
    match client_of(peer) {
        IpAddr::V4(address) => hash(0, &address.octets()),
        IpAddr::V6(address) => hash(0, &address.octets()[..8]),
    }
}

/// What an address counts as where clients are told apart by it: IPv6 without its last 64 bits, and an IPv4 address in
/// IPv6 clothes as what it is.
pub(crate) fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        // A network of this length is one customer's, who changes within it (RFC 8981).
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// The value of a parameter, as it is written; `query` begins with its question mark.
fn parameter<'a>(query: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut pairs = query.strip_prefix(b"?")?.split(|byte| *byte == b'&');
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}
