use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use berth_client::RegistryAddress;
use berth_daemon::LogFormat;
use berth_http1::Limits;
use berth_model::Query;
use ipnet::IpNet;
use thiserror::Error;

use super::grammar::MostBody;
use super::{Admin, Loaded, PerClient, Settings, StatePlace, Upstream, default, state};
use crate::OTHER_FILES;
use crate::proxy::{ProxySettings, Timeouts};
use crate::telemetry::{AccessFormat, AccessTarget};
use crate::tls::UpstreamTls;

/// The default of --admin. Only a port that was asked for must be free.
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9099);

/// What an operator has said, on the command line and in the environment or in the file; nothing where nothing was
/// said.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the fields are the flags, and their help is in the command line")]
pub struct Options {
    pub registry: Option<Vec<RegistryAddress>>,
    pub service: Option<Query>,
    pub upstream: Option<Vec<Upstream>>,
    pub listen: Option<Listen>,
    pub admin: Option<Admin>,
    pub token: Option<String>,
    pub threads: Option<u16>,
    pub max_connections: Option<u32>,
    pub max_head: Option<usize>,
    pub max_target: Option<usize>,
    pub max_fields: Option<u16>,
    pub max_body: Option<MostBody>,
    pub timeout_connect: Option<Duration>,
    pub timeout_head: Option<Duration>,
    pub timeout_answer: Option<Duration>,
    pub timeout_body: Option<Duration>,
    pub timeout_send: Option<Duration>,
    pub timeout_idle: Option<Duration>,
    pub timeout_tunnel: Option<Duration>,
    pub timeout_upstream_idle: Option<Duration>,
    pub grace: Option<Duration>,
    pub trusted_proxies: Option<Vec<IpNet>>,
    pub upstream_ca: Option<UpstreamTls>,
    pub via: Option<bool>,
    pub per_client: Option<PerClient>,
    pub state: Option<StatePlace>,
    /// The folder of the usual state file; no flag, but the user's environment. Without it there is no such file.
    pub state_home: Option<PathBuf>,
    pub access_log: Option<AccessTarget>,
    pub access_log_format: Option<AccessFormat>,
    pub log_format: Option<LogFormat>,
}

/// Where clients connect, and how much it matters that it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
    /// Whether it may become the IPv4 one on a machine without IPv6.
    pub anyhow: bool,
}

impl Listen {
    /// This address and no other.
    pub fn on(address: SocketAddr) -> Self {
        Self { address, anyhow: false }
    }

    /// This port, on all addresses that there are.
    pub fn everywhere(port: u16) -> Self {
        Self { address: SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port), anyhow: true }
    }
}

/// Options that each are right, but not together.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unsettled {
    /// The admin port lets everybody in.
    #[error("an admin port on {0} lets other machines in: add --token, or choose 127.0.0.1")]
    OpenAdmin(SocketAddr),
}

impl Options {
    /// These, and those of the file where these say nothing.
    #[must_use]
    pub fn over(self, file: Self) -> Self {
        Self {
            registry: self.registry.or(file.registry),
            service: self.service.or(file.service),
            upstream: self.upstream.or(file.upstream),
            listen: self.listen.or(file.listen),
            admin: self.admin.or(file.admin),
            token: self.token.or(file.token),
            threads: self.threads.or(file.threads),
            max_connections: self.max_connections.or(file.max_connections),
            max_head: self.max_head.or(file.max_head),
            max_target: self.max_target.or(file.max_target),
            max_fields: self.max_fields.or(file.max_fields),
            max_body: self.max_body.or(file.max_body),
            timeout_connect: self.timeout_connect.or(file.timeout_connect),
            timeout_head: self.timeout_head.or(file.timeout_head),
            timeout_answer: self.timeout_answer.or(file.timeout_answer),
            timeout_body: self.timeout_body.or(file.timeout_body),
            timeout_send: self.timeout_send.or(file.timeout_send),
            timeout_idle: self.timeout_idle.or(file.timeout_idle),
            timeout_tunnel: self.timeout_tunnel.or(file.timeout_tunnel),
            timeout_upstream_idle: self.timeout_upstream_idle.or(file.timeout_upstream_idle),
            grace: self.grace.or(file.grace),
            trusted_proxies: self.trusted_proxies.or(file.trusted_proxies),
            upstream_ca: self.upstream_ca.or(file.upstream_ca),
            via: self.via.or(file.via),
            per_client: self.per_client.or(file.per_client),
            state: self.state.or(file.state),
            state_home: self.state_home.or(file.state_home),
            access_log: self.access_log.or(file.access_log),
            access_log_format: self.access_log_format.or(file.access_log_format),
            log_format: self.log_format.or(file.log_format),
        }
    }
}

/// What holds in the end: flags before the file before the defaults, for a process that may open so many files.
///
/// # Errors
/// Options exclude one another.
pub fn settle(flags: &Options, file: Option<&Loaded>, open_files: u64) -> Result<Settings, Unsettled> {
    let options = match file {
        Some(file) => flags.clone().over(file.options.clone()),
        None => flags.clone(),
    };
    let token = options.token.clone().filter(|token| !token.is_empty());
    if let Some(Admin::Required(address)) = options.admin
        && !address.ip().to_canonical().is_loopback()
        && token.is_none()
    {
        return Err(Unsettled::OpenAdmin(address));
    }
    let upstreams = options.upstream.clone().unwrap_or_default();
    let most_connections = most_connections(options.max_connections, open_files);
    let registries = default::registries(&options, file);
    let routing = default::routing(options.service.as_ref(), &upstreams, &registries, file);
    let listen = options.listen.unwrap_or(Listen::everywhere(8080));
    let usual_state = || state::usual(options.state_home.as_deref(), listen, &registries, &routing);
    let state = options.state.clone().unwrap_or_else(usual_state);
    let threads = options
        .threads
        .map_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get), usize::from);
    Ok(Settings {
        listen: listen.address,
        listen_anyhow: listen.anyhow,
        admin: options.admin.unwrap_or(Admin::Preferred(DEFAULT_ADMIN)),
        token,
        registries,
        threads,
        most_connections,
        open_files: usize::try_from(open_files).unwrap_or(usize::MAX),
        grace: options.grace.unwrap_or(Duration::from_secs(30)),
        state,
        access_log: options.access_log.clone().unwrap_or(AccessTarget::Off),
        access_format: options.access_log_format.unwrap_or_default(),
        log_format: options.log_format.unwrap_or_default(),
        proxy: proxy(options, most_connections),
        routing,
    })
}

fn proxy(options: Options, most_connections: usize) -> ProxySettings {
    let or_seconds = |time: Option<Duration>, default| time.unwrap_or(Duration::from_secs(default));
    ProxySettings {
        limits: Limits {
            head_bytes: options.max_head.unwrap_or(64 * 1024),
            target_bytes: options.max_target.unwrap_or(16 * 1024),
            fields: usize::from(options.max_fields.unwrap_or(128)),
        },
        timeouts: Timeouts {
            connect: or_seconds(options.timeout_connect, 2),
            head: or_seconds(options.timeout_head, 10),
            answer: or_seconds(options.timeout_answer, 60),
            body: or_seconds(options.timeout_body, 60),
            send: or_seconds(options.timeout_send, 30),
            idle: or_seconds(options.timeout_idle, 60),
            tunnel: or_seconds(options.timeout_tunnel, 3600),
            upstream_idle: or_seconds(options.timeout_upstream_idle, 30),
        },
        most_body_bytes: options.max_body.and_then(|most| most.0),
        // One backend that hangs leaves room for the clients of others.
        most_pending: u32::try_from(most_connections.div_ceil(2)).unwrap_or(u32::MAX),
        trusted_proxies: options.trusted_proxies.unwrap_or_default(),
        tls: options.upstream_ca.unwrap_or_default(),
        via: options.via.unwrap_or(true),
        per_client: options.per_client,
    }
}

/// Every client may need an upstream connection too, and some files are open for other reasons.
fn most_connections(asked: Option<u32>, open_files: u64) -> usize {
    let open_files = usize::try_from(open_files).unwrap_or(usize::MAX);
    let allowed = (open_files.saturating_sub(OTHER_FILES) / 2).max(1);
    asked.map_or(10_000.min(allowed), |asked| usize::try_from(asked).unwrap_or(usize::MAX))
}
