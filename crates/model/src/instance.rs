use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{InstanceId, Meta, Run, ServiceName, Ttl, Version};

/// How a balancer speaks to an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain HTTP/1.1.
    #[default]
    Http,
    /// HTTP/1.1 over TLS.
    Https,
}

impl Scheme {
    /// The scheme as a URL spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// One place that serves, as the registry publishes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// The service that it is part of.
    pub service: ServiceName,
    /// Its name within the service; the same over several runs.
    pub id: InstanceId,
    /// Which life of it this is.
    pub run: Run,
    /// Its version, if its owner named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The address that it listens on.
    pub host: IpAddr,
    /// The port that it listens on; never 0.
    pub port: u16,
    /// How to speak to it.
    #[serde(default)]
    pub scheme: Scheme,
    /// Its share of the traffic relative to others, 1 to 1000.
    pub weight: u16,
    /// Where it stands, for choices that prefer the near.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Host and path prefixes that it wants to serve; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    /// Whatever its owner wants to tell; queries match on it.
    #[serde(default, skip_serializing_if = "Meta::is_empty")]
    pub meta: Meta,
    /// How long its lease lives.
    pub ttl_s: Ttl,
    /// Whether it takes no new requests.
    #[serde(default)]
    pub draining: bool,
}

impl Instance {
    /// Host and port together.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// What makes it this run and no other.
    pub fn identity(&self) -> Identity {
        Identity {
            service: self.service.clone(),
            id: self.id.clone(),
            run: self.run,
            scheme: self.scheme,
            host: self.host,
            port: self.port,
        }
    }
}

/// What tells one run from every other. Weight, zone and meta are not part of it: they may change within a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The service.
    pub service: ServiceName,
    /// The instance.
    pub id: InstanceId,
    /// The life of the instance.
    pub run: Run,
    /// How to speak to it.
    pub scheme: Scheme,
    /// The address that it listens on.
    pub host: IpAddr,
    /// The port that it listens on.
    pub port: u16,
}

impl Identity {
    /// Host and port together.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} at {}", self.service, self.id, self.address())
    }
}
