//! The command line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use berth_balancer::config::{Admin, Settings, Upstream, parse_size};
use berth_balancer::proxy::{ProxySettings, Timeouts};
use berth_balancer::tls::UpstreamTls;
use berth_balancer::{AccessFormat, AccessTarget, Limits, OTHER_FILES};
use berth_client::{RegistryAddress, RegistryList};
use berth_daemon::LogFormat;
use berth_model::{Invalid, Query};
use berth_web::Token;
use clap::Parser;
use ipnet::IpNet;

const EXAMPLES: &str = "Examples:
  balancer --registry localhost:9090                 every instance that the registry lists, in turn
  balancer --registry localhost:9090 --service 'web@1.x'
  balancer --upstream localhost:3000,localhost:3001  two servers, no registry
  balancer --port 8000 --access-log -                another port; a line per request on stdout";

/// The default of --admin. Only a port that was asked for must be free.
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9099);

/// Forwards HTTP requests to the live instances that a registry lists, each in turn.
#[derive(Debug, Parser)]
#[command(name = "balancer", version = berth_daemon::VERSION, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// A registry to follow; repeat it, or separate with commas, for several [default: localhost:9090]
    #[arg(long, env = "BERTH_REGISTRY", value_name = "HOST:PORT")]
    registry: Vec<RegistryList>,

    /// Serve only instances of this service, such as web or web@1.x
    #[arg(long, value_name = "QUERY")]
    service: Option<Query>,

    /// A server beside those of the registry; alone it means that there is no registry
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    upstream: Vec<Upstream>,

    // Not a doc comment: rustdoc would look for a link between the brackets.
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = parse_listen, conflicts_with = "port")]
    #[arg(help = "Where clients connect [default: [::]:8080]")]
    listen: Option<SocketAddr>,

    /// The port where clients connect, on all addresses
    #[arg(long, value_name = "N")]
    port: Option<u16>,

    /// Where health and metrics are served, or none [default: 127.0.0.1:9099]
    #[arg(long, value_name = "ADDR|none", value_parser = parse_admin)]
    admin: Option<Admin>,

    /// The bearer token for the registry and of the admin port
    #[arg(long, env = "BERTH_TOKEN", value_name = "TOKEN", hide_env_values = true, value_parser = parse_token)]
    token: Option<String>,

    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    /// Client connections at once [default: 10000, or what the limit of open files allows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: Option<u32>,

    /// The largest request head
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = parse_size)]
    max_head: usize,

    /// The longest request target
    #[arg(long, value_name = "SIZE", default_value = "16KiB", value_parser = parse_size)]
    max_target: usize,

    /// The most fields in a head; 128 at most
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=128))]
    max_fields: u16,

    /// For a connection to an upstream
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_time)]
    timeout_connect: Duration,

    /// For a request head, from its first byte on
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_time)]
    timeout_head: Duration,

    /// For the head of an answer
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_time)]
    timeout_answer: Duration,

    /// For silence within a body
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_time)]
    timeout_body: Duration,

    /// The largest request body, or none
    #[arg(long, value_name = "SIZE|none", default_value = "none", value_parser = parse_most_body)]
    max_body: MostBody,

    /// For a client that does not read
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time)]
    timeout_send: Duration,

    /// For a client connection between two requests
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_time)]
    timeout_idle: Duration,

    /// For silence within a tunnel, such as a WebSocket
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_time)]
    timeout_tunnel: Duration,

    /// For an upstream connection between two requests
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time)]
    timeout_upstream_idle: Duration,

    /// How long running requests may take after SIGTERM or Ctrl-C
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time)]
    grace: Duration,

    /// Networks whose X-Forwarded-* fields are believed
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    trusted_proxies: Vec<IpNet>,

    /// Certificates in PEM that https upstreams must be vouched for by, in place of the system's
    #[arg(long, value_name = "FILE", value_parser = parse_ca)]
    upstream_ca: Option<UpstreamTls>,

    /// Do not add this balancer to the Via field of requests
    #[arg(long)]
    no_via: bool,

    /// Where a line per request goes: a file, - for stdout, or off
    #[arg(long, value_name = "FILE|-|off", default_value = "off")]
    access_log: String,

    /// How a line of the access log looks
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    access_log_format: AccessFormat,

    /// How the log on stderr looks
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) log_format: LogFormat,
}

impl Cli {
    /// What clap cannot check: options that need one another.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.admin {
            Some(Admin::Required(address))
                if !address.ip().to_canonical().is_loopback()
                    && self.token.as_deref().is_none_or(str::is_empty) =>
            {
                Err(format!(
                    "an admin port on {address} lets other machines in: add --token, or choose 127.0.0.1"
                ))
            }
            _ => Ok(()),
        }
    }

    /// Settings for a process that may open so many files.
    pub(crate) fn settings(self, open_files: u64) -> Settings {
        let default = if self.upstream.is_empty() { vec![RegistryAddress::default()] } else { Vec::new() };
        let registries = RegistryList::united(self.registry, default);
        let everywhere = |port| SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
        let threads = self.threads.map_or_else(
            || std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            usize::from,
        );
        Settings {
            listen: self.listen.unwrap_or_else(|| everywhere(self.port.unwrap_or(8080))),
            listen_anyhow: self.listen.is_none(),
            admin: self.admin.unwrap_or(Admin::Preferred(DEFAULT_ADMIN)),
            token: self.token.filter(|token| !token.is_empty()),
            registries,
            query: self.service,
            upstreams: self.upstream,
            threads,
            most_connections: most_connections(self.max_connections, open_files),
            open_files: usize::try_from(open_files).unwrap_or(usize::MAX),
            proxy: ProxySettings {
                limits: Limits {
                    head_bytes: self.max_head,
                    target_bytes: self.max_target,
                    fields: usize::from(self.max_fields),
                },
                timeouts: Timeouts {
                    connect: self.timeout_connect,
                    head: self.timeout_head,
                    answer: self.timeout_answer,
                    body: self.timeout_body,
                    send: self.timeout_send,
                    idle: self.timeout_idle,
                    tunnel: self.timeout_tunnel,
                    upstream_idle: self.timeout_upstream_idle,
                },
                most_body_bytes: self.max_body.0,
                trusted_proxies: self.trusted_proxies,
                tls: self.upstream_ca.unwrap_or_default(),
                via: !self.no_via,
            },
            access_log: AccessTarget::parse(&self.access_log),
            access_format: self.access_log_format,
            grace: self.grace,
        }
    }
}

/// Every client may need an upstream connection too, and some files are open for other reasons.
fn most_connections(asked: Option<u32>, open_files: u64) -> usize {
    let open_files = usize::try_from(open_files).unwrap_or(usize::MAX);
    let allowed = (open_files.saturating_sub(OTHER_FILES) / 2).max(1);
    asked.map_or(10_000.min(allowed), |asked| usize::try_from(asked).unwrap_or(usize::MAX))
}

fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port));
    }
    let spelled = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let address = spelled.as_deref().unwrap_or(text).parse();
    address.map_err(|_| "write a port or an address and a port, such as 8080 or 127.0.0.1:8080".to_owned())
}

fn parse_admin(text: &str) -> Result<Admin, String> {
    match text {
        "none" => return Ok(Admin::None),
        // A bare port: what the admin port tells is nobody else's business.
        port if port.bytes().all(|byte| byte.is_ascii_digit()) => parse_listen(&format!("127.0.0.1:{port}")),
        address => parse_listen(address),
    }
    .map(Admin::Required)
}

/// An empty variable in the environment is as good as none.
fn parse_token(text: &str) -> Result<String, Invalid> {
    if text.is_empty() { Ok(String::new()) } else { text.parse::<Token>().map(|_| text.to_owned()) }
}

/// The largest body; nothing without a limit.
#[derive(Clone, Copy, Debug)]
struct MostBody(Option<u64>);

fn parse_most_body(text: &str) -> Result<MostBody, Invalid> {
    if text == "none" {
        return Ok(MostBody(None));
    }
    parse_size(text).map(|bytes| MostBody(Some(bytes as u64)))
}

fn parse_ca(text: &str) -> Result<UpstreamTls, String> {
    UpstreamTls::trusting(Path::new(text))
        .map_err(|error| format!("{error}; name a file of certificates in PEM"))
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| format!("{error}; write 500ms, 10s or 1h"))?;
    if time.is_zero() {
        return Err("a time of 0 would end everything at once; write 500ms, 10s or 1h".to_owned());
    }
    Ok(time)
}
