use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use berth_daemon::{raise_descriptor_limit, shutdown_on_signals};
use berth_registry::{Limits, Settings};
use berth_web::Token;
use clap::Args;
use clap::error::ErrorKind as Usage;
use tokio::net::{TcpListener, TcpSocket};
use tracing::{debug, warn};

use super::wrong_usage;

/// What runs at the end has this long: streams end at once, and calls take milliseconds.
const GRACE: Duration = Duration::from_secs(5);

/// Kept free of connections: for dials and for dial-backs that are watched (256 each), for connections that are being
/// refused (64), and for the process itself.
const RESERVED_DESCRIPTORS: usize = 640;

/// How many connections may wait to be accepted, as far as the system allows it. After a restart everybody comes at
/// once, and whoever finds no room here comes again a second later.
const BACKLOG: u32 = 4096;

/// How often another free port is tried when the one of 127.0.0.1 is taken on ::1.
const PORT_TRIES: usize = 16;

/// Run the registry.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  registry listen 9090                 on this machine only (127.0.0.1 and ::1)
  registry listen 10.0.0.5:9090 --token-file /etc/berth/token
                                       for other machines, which must show the token
  registry listen [::]:9090 --insecure for everybody who can reach this machine")]
pub(super) struct Listen {
    /// The port, or the address and port. A port alone listens on loopback only.
    #[arg(value_name = "[ADDR:]PORT")]
    at: Place,
    /// A file that holds the token which callers must send.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Let everybody who reaches the port register and remove instances.
    #[arg(long)]
    insecure: bool,
    #[command(flatten)]
    limits: LimitFlags,
}

/// What the registry may cost. Beyond a limit, callers get an error that names it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct LimitFlags {
    /// The most instances, those that ended within 10 minutes included; then 503
    #[arg(long, value_name = "N", default_value_t = Limits::default().instances)]
    max_instances: usize,
    /// The most instances of one service, counted in the same way; then 429
    #[arg(long, value_name = "N", default_value_t = Limits::default().per_service)]
    max_per_service: usize,
    /// The most instances at one host address, counted in the same way; then 429
    #[arg(long, value_name = "N", default_value_t = Limits::default().per_address)]
    max_per_address: usize,
    /// What all instances may hold, in bytes, about; then 503
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().bytes)]
    max_bytes: usize,
    /// The most watches and waiting queries; then 503
    #[arg(long, value_name = "N", default_value_t = Limits::default().watchers)]
    max_watchers: usize,
    /// The most links; then 503
    #[arg(long, value_name = "N", default_value_t = Limits::default().links)]
    max_links: usize,
    /// The most connections; then 503 [default: 65536, or what the limit of open files allows]
    #[arg(long, value_name = "N", value_parser = parse_connections)]
    max_connections: Option<usize>,
    /// The largest request body in bytes; then 413
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().body_bytes)]
    max_body: usize,
    /// The longest name or id in bytes, at most 128; then 400
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().name_bytes, value_parser = parse_name_bytes)]
    max_name: usize,
}

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// 127.0.0.1 and ::1.
    Loopback(u16),
    /// One address.
    Address(SocketAddr),
}

impl Listen {
    pub(super) fn run(self) -> Result<()> {
        if self.at.is_beyond_loopback() && self.token_file.is_none() && !self.insecure {
            let sentence = format!(
                "listening on {} lets other machines in: add --token-file FILE, or --insecure to let everybody in",
                self.at
            );
            wrong_usage(Usage::MissingRequiredArgument, sentence);
        }
        let token = self.token_file.map(|path| {
            let text = std::fs::read_to_string(&path);
            let text = text.with_context(|| format!("cannot read the token file {}", path.display()))?;
            text.parse::<Token>().with_context(|| format!("the token file {}", path.display()))
        });
        let descriptors = usize::try_from(raise_descriptor_limit()).unwrap_or(usize::MAX);
        debug!(limit = descriptors, "open files");
        let settings = Settings { token: token.transpose()?, limits: self.limits.checked(descriptors) };
        let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
        runtime.block_on(async {
            let shutdown = shutdown_on_signals(GRACE).context("cannot listen for signals")?;
            let listeners = self.at.bind()?;
            berth_registry::run(listeners, settings, &shutdown).await;
            Ok(())
        })
    }
}

impl LimitFlags {
    fn checked(self, descriptors: usize) -> Limits {
        let allowed = descriptors.saturating_sub(RESERVED_DESCRIPTORS).max(1);
        let connections = self.max_connections.unwrap_or(Limits::default().connections.min(allowed));
        if connections > allowed {
            warn!(connections, allowed, "--max-connections is more than the limit of open files allows");
        }
        Limits {
            instances: self.max_instances,
            per_service: self.max_per_service,
            per_address: self.max_per_address,
            bytes: self.max_bytes,
            watchers: self.max_watchers,
            links: self.max_links,
            connections,
            body_bytes: self.max_body,
            name_bytes: self.max_name,
            ..Limits::default()
        }
    }
}

fn parse_connections(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "write a number above 0".to_owned())
}

fn parse_name_bytes(text: &str) -> Result<usize, String> {
    let in_range = |number: &usize| (1..=Limits::default().name_bytes).contains(number);
    text.parse().ok().filter(in_range).ok_or_else(|| "write a number from 1 to 128".to_owned())
}

impl Place {
    fn is_beyond_loopback(self) -> bool {
        match self {
            Place::Loopback(_) => false,
            Place::Address(address) => !address.ip().to_canonical().is_loopback(),
        }
    }

    fn bind(self) -> Result<Vec<TcpListener>> {
        match self {
            Place::Address(address) => Ok(vec![bind(address)?]),
            Place::Loopback(port) => bind_loopback(port),
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_port = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let port = |text: &str| text.parse().map_err(|_| format!("{text} is no port: use 0 to 65535"));
        match text.rsplit_once(':') {
            _ if is_port => Ok(Place::Loopback(port(text)?)),
            Some(("localhost", rest)) => Ok(Place::Loopback(port(rest)?)),
            _ => text.parse().map(Place::Address).map_err(|_| {
                "write a port such as 9090, or an IP address and port such as 10.0.0.5:9090 or [::]:9090"
                    .to_owned()
            }),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Loopback(port) => write!(f, "localhost:{port}"),
            Place::Address(address) => write!(f, "{address}"),
        }
    }
}

/// Both loopback addresses with one port, because `localhost` may mean either.
fn bind_loopback(port: u16) -> Result<Vec<TcpListener>> {
    for _ in 0..PORT_TRIES {
        let v4 = bind((Ipv4Addr::LOCALHOST, port).into())?;
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, v4.local_addr()?.port()));
        match listen(v6) {
            Ok(v6) => return Ok(vec![v4, v6]),
            // The free port that the system chose for one address may be taken on the other.
            Err(error) if error.kind() == ErrorKind::AddrInUse && port == 0 => {}
            Err(error) if error.kind() == ErrorKind::AddrInUse => return Err(explain(v6, error)),
            Err(error) => {
                debug!(%error, "no IPv6 loopback here");
                return Ok(vec![v4]);
            }
        }
    }
    bail!("found no port that is free on both 127.0.0.1 and ::1; name one")
}

fn bind(address: SocketAddr) -> Result<TcpListener> {
    listen(address).map_err(|error| explain(address, error))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart need not wait for the old connections to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn explain(address: SocketAddr, error: io::Error) -> anyhow::Error {
    let mend = match error.kind() {
        ErrorKind::AddrInUse => {
            "another program, perhaps another registry, listens there: stop it or use another port"
        }
        ErrorKind::PermissionDenied => "ports below 1024 need a privilege: use a higher one",
        ErrorKind::AddrNotAvailable => "this machine does not have that address",
        _ => "",
    };
    let error = anyhow::Error::new(error);
    let error = if mend.is_empty() { error } else { error.context(mend) };
    error.context(format!("cannot listen on {address}"))
}
