//! What a balancer may be told, checked: by flags, by the environment, and by a file.

mod default;
mod file;
mod grammar;
mod options;
mod size;
mod state;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use berth_client::RegistryAddress;
use berth_daemon::LogFormat;

pub use crate::routing::{
    Action, Backend, Capacity, Choosing, Fixed, HashBy, Health, Instances, LimitBy, PerClient, Placeholder,
    Policy, ProbeKind, ProxySettings, PublicUrl, QueueSettings, RateLimit, Retry, RetryOn, Route,
    RouteTimeouts, Routing, Server, SplitKey, Sticky, StrategyName, Target, Template, Upstream,
};
use crate::telemetry::{AccessFormat, AccessTarget};
pub use default::default_routing;
pub use file::{Place, Problem, Problems, load, schema};
pub use grammar::{MostBody, parse_admin, parse_ca, parse_listen, parse_most_body, parse_time, parse_token};
pub use options::{Listen, Options, Unsettled, settle};
pub use size::parse_size;
pub use state::StatePlace;

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
    /// Worker threads; each has its own listener and connections.
    pub threads: usize,
    /// Client connections at once, over all workers.
    pub most_connections: usize,
    /// How many files the process may have open.
    pub open_files: usize,
    /// The data path.
    pub proxy: ProxySettings,
    /// Where it is kept what registries have said.
    pub state: StatePlace,
    /// Where the access log goes.
    pub access_log: AccessTarget,
    /// How its lines look.
    pub access_format: AccessFormat,
    /// How lines of the log look.
    pub log_format: LogFormat,
    /// How long requests may take to end after the first signal.
    pub grace: Duration,
    /// Where requests go.
    pub routing: Routing,
}

/// A file that was read.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says of the balancer as a whole.
    pub options: Options,
    /// Its routes.
    pub routes: Vec<Route>,
    /// Their backends.
    pub backends: Vec<Backend>,
    /// Whether instances may say what they want to serve, if the file says anything about it.
    pub advertised_routes: Option<bool>,
    /// What looks wrong, but can be used.
    pub warnings: Vec<Problem>,
}

impl Loaded {
    /// Whether the file says nothing at all.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
            && self.backends.is_empty()
            && self.advertised_routes.is_none()
            && self.options == Options::default()
    }
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
