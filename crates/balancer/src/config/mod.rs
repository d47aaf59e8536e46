//! What a balancer may be told, checked: from the command line today, from a file later.

mod routing;
mod size;
mod upstream;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use berth_client::RegistryAddress;
use berth_model::Query;

use crate::proxy::ProxySettings;
use crate::telemetry::{AccessFormat, AccessTarget};
pub use routing::{
    Action, Backend, Fixed, Instances, Placeholder, Policy, PublicUrl, Route, RouteTimeouts, Routing, Server,
    SplitKey, StrategyName, Target, Template,
};
pub use size::parse_size;
pub use upstream::Upstream;

/// Where the admin port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin {
    /// Nowhere.
    None,
    /// There if it is free, else the balancer goes on without.
    Preferred(SocketAddr),
    /// There, or the balancer does not start.
    Required(SocketAddr),
}

/// Everything that a balancer needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Whether the listening address may become the IPv4 one on a machine without IPv6.
    pub listen_anyhow: bool,
    /// The admin port.
    pub admin: Admin,
    /// The bearer token for the registries, and of the admin port.
    pub token: Option<String>,
    /// Registries that are followed, all at once.
    pub registries: Vec<RegistryAddress>,
    /// Which instances are served; all if there is none.
    pub query: Option<Query>,
    /// Upstreams beside those of the registries.
    pub upstreams: Vec<Upstream>,
    /// Worker threads; each has its own listener and connections.
    pub threads: usize,
    /// Client connections at once, over all workers.
    pub most_connections: usize,
    /// How many files the process may have open.
    pub open_files: usize,
    /// The data path.
    pub proxy: ProxySettings,
    /// Where the access log goes.
    pub access_log: AccessTarget,
    /// How its lines look.
    pub access_format: AccessFormat,
    /// How long requests may take to end after the first signal.
    pub grace: Duration,
}

impl AccessTarget {
    /// Reads `off`, `-` or a file's path.
    pub fn parse(text: &str) -> Self {
        match text {
            "off" => AccessTarget::Off,
            "-" => AccessTarget::Stdout,
            path => AccessTarget::File(PathBuf::from(path)),
        }
    }
}
