//! The command line.

mod admin;
mod endpoints;
mod reload;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use berth_balancer::config::{
    Admin, Listen, MostBody, Options, StatePlace, Upstream, parse_admin, parse_ca, parse_listen,
    parse_most_body, parse_size, parse_time, parse_token,
};
use berth_balancer::tls::UpstreamTls;
use berth_balancer::{AccessFormat, AccessTarget};
use berth_client::RegistryList;
use berth_daemon::LogFormat;
use berth_model::Query;
use clap::{Parser, Subcommand};
use endpoints::Endpoints;
use ipnet::IpNet;
use reload::Reload;

const EXAMPLES: &str = "Examples:
  balancer --registry localhost:9090                 every instance that the registry lists, in turn
  balancer --registry localhost:9090 --service 'web@1.x'
  balancer --upstream localhost:3000,localhost:3001  two servers, no registry
  balancer --port 8000 --access-log -                another port; a line per request on stdout
  balancer -c balancer.yaml                          routes and settings from a file
  balancer check -c balancer.yaml                    says what is wrong with it
  balancer reload                                    has it read again by a balancer that runs
  balancer endpoints                                 what a balancer that runs believes of each, and why";

/// Forwards HTTP requests to the live instances that a registry lists, each in turn.
#[derive(Debug, Parser)]
#[command(name = "balancer", version = berth_daemon::VERSION, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The configuration, in YAML; - for stdin. Flags and the environment have the last word
    #[arg(short, long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,

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

    /// Where health, metrics and POST /reload are served, or none [default: 127.0.0.1:9099]
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

    /// The largest request head [default: 64KiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_head: Option<usize>,

    /// The longest request target [default: 16KiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_target: Option<usize>,

    /// The most fields in a head; 128 at most [default: 128]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=128))]
    max_fields: Option<u16>,

    /// For a connection to an upstream [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout_connect: Option<Duration>,

    /// For a request head, from its first byte on [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout_head: Option<Duration>,

    /// For the head of an answer [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout_answer: Option<Duration>,

    /// For silence within a body [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout_body: Option<Duration>,

    /// The largest request body, or none [default: none]
    #[arg(long, value_name = "SIZE|none", value_parser = parse_most_body)]
    max_body: Option<MostBody>,

    /// For a client that does not read [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout_send: Option<Duration>,

    /// For a client connection between two requests [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout_idle: Option<Duration>,

    /// For silence within a tunnel, such as a WebSocket [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout_tunnel: Option<Duration>,

    /// For an upstream connection between two requests [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout_upstream_idle: Option<Duration>,

    /// How long running requests may take after SIGTERM or Ctrl-C [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    grace: Option<Duration>,

    /// Networks whose X-Forwarded-* fields are believed
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    trusted_proxies: Vec<IpNet>,

    /// Certificates in PEM that https upstreams must be vouched for by, in place of the system's
    #[arg(long, value_name = "FILE", value_parser = parse_ca)]
    upstream_ca: Option<UpstreamTls>,

    /// Do not add this balancer to the Via field of requests
    #[arg(long)]
    no_via: bool,

    /// Where what the registries list is kept for a start without them [default: under $XDG_STATE_HOME/berth]
    #[arg(long, env = "BERTH_STATE", value_name = "FILE|none")]
    state: Option<String>,

    /// Where a line per request goes: a file, - for stdout, or off [default: off]
    #[arg(long, value_name = "FILE|-|off")]
    access_log: Option<String>,

    /// How a line of the access log looks [default: combined]
    #[arg(long, value_name = "FORMAT", value_enum)]
    access_log_format: Option<AccessFormat>,

    /// How the log on stderr looks [default: text]
    #[arg(long, value_name = "FORMAT", value_enum)]
    log_format: Option<LogFormat>,
}

/// What else there is to do than to serve.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Says what is wrong with a configuration, and serves nothing: balancer check -c FILE
    #[command(visible_alias = "validate")]
    Check,
    /// Has a balancer that runs read its configuration again, waits, and says what has changed
    Reload(Reload),
    /// Asks a balancer that runs what it believes of its endpoints, and why
    Endpoints(Endpoints),
}

impl Cli {
    /// What was said on the command line and in the environment.
    pub(crate) fn options(&self) -> Options {
        let registry = RegistryList::united(self.registry.clone(), Vec::new());
        Options {
            registry: (!registry.is_empty()).then_some(registry),
            service: self.service.clone(),
            upstream: (!self.upstream.is_empty()).then(|| self.upstream.clone()),
            listen: self.listen.map(Listen::on).or_else(|| self.port.map(Listen::everywhere)),
            admin: self.admin,
            token: self.token.clone().filter(|token| !token.is_empty()),
            threads: self.threads,
            max_connections: self.max_connections,
            max_head: self.max_head,
            max_target: self.max_target,
            max_fields: self.max_fields,
            max_body: self.max_body,
            timeout_connect: self.timeout_connect,
            timeout_head: self.timeout_head,
            timeout_answer: self.timeout_answer,
            timeout_body: self.timeout_body,
            timeout_send: self.timeout_send,
            timeout_idle: self.timeout_idle,
            timeout_tunnel: self.timeout_tunnel,
            timeout_upstream_idle: self.timeout_upstream_idle,
            grace: self.grace,
            trusted_proxies: (!self.trusted_proxies.is_empty()).then(|| self.trusted_proxies.clone()),
            upstream_ca: self.upstream_ca.clone(),
            via: self.no_via.then_some(false),
            per_client: None,
            state: self.state.as_deref().and_then(StatePlace::parse),
            state_home: state_home(),
            access_log: self.access_log.as_deref().map(AccessTarget::parse),
            access_log_format: self.access_log_format,
            log_format: self.log_format,
        }
    }
}

/// Where this user's programs keep what they want to find again (XDG Base Directory Specification).
fn state_home() -> Option<PathBuf> {
    // What is not absolute is to be ignored.
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")));
    home.map(|home| home.join("berth"))
}
