use std::io::{IsTerminal, stderr};
use std::net::SocketAddr;
use std::time::Duration;

use berth_client::model::{InstanceId, NamedVersion, Ttl};
use berth_client::{RegistryList, Settings};
use clap::{Parser, ValueEnum};
use tracing_subscriber::EnvFilter;

const EXAMPLES: &str = "Examples:
  server                                  a free port, registered as `server` with localhost:9090
  server --name web@1.2.3 --port 3000     another name, a version, and a port of your choice
  server --registry a:9090,b:9090         registered with two registries
  server --delay 50ms --work 0            slow, but not busy";

/// An example service: registers itself and answers each request with the sum of the numbers below N.
#[derive(Debug, Parser)]
#[command(name = "server", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// A registry to register with; repeat it, or separate with commas, for several [default: localhost:9090]
    #[arg(long, env = "BERTH_REGISTRY", value_name = "HOST:PORT")]
    registry: Vec<RegistryList>,

    /// The registries' bearer token
    #[arg(long, env = "BERTH_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,

    /// The service, with or without a version
    #[arg(long, value_name = "NAME[@VERSION]", default_value = "server")]
    name: NamedVersion,

    /// The name of this instance, the same over restarts [default: a random one]
    #[arg(long, value_name = "ID")]
    id: Option<InstanceId>,

    /// A host and path prefix to serve, such as /api, instead of everything; repeat it for several
    #[arg(long, value_name = "PATH")]
    route: Vec<String>,

    /// What else to tell of this instance; repeat it for several
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_meta)]
    meta: Vec<(String, String)>,

    /// How long it stays listed after its last sign of life, 2 to 3600
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = parse_ttl)]
    ttl: Ttl,

    /// Where it listens; 0 takes a free port
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) port: u16,

    /// How many numbers are added up on each request
    #[arg(long, value_name = "N", default_value_t = 100_000,
          value_parser = clap::value_parser!(u64).range(..=1_000_000_000))]
    pub(crate) work: u64,

    /// Wait before each answer, such as 50ms
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_time)]
    pub(crate) delay: Duration,

    /// How log lines look
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// A line for people
    Text,
    /// A JSON object a line
    Json,
}

impl Cli {
    /// What to register once the listener is bound.
    pub(crate) fn registration(self, listening: SocketAddr) -> Settings {
        let mut settings = Settings::new(self.name, listening);
        settings.registries = RegistryList::united(self.registry, settings.registries);
        settings.token = self.token.filter(|token| !token.is_empty());
        settings.routes = self.route;
        settings.id = self.id;
        settings.meta = self.meta.into_iter().collect();
        settings.ttl = self.ttl;
        settings
    }

    /// Sends the log to stderr, from level info up unless `RUST_LOG` says otherwise.
    pub(crate) fn init_logs(&self) {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        let builder =
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_target(false);
        match self.log_format {
            LogFormat::Text => {
                let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                builder.with_ansi(stderr().is_terminal() && !no_color).init();
            }
            LogFormat::Json => builder.json().flatten_event(true).init(),
        }
    }
}

fn parse_meta(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write a key and a value, such as color=blue".to_owned()),
    }
}

fn parse_ttl(text: &str) -> Result<Ttl, String> {
    let mend = || "write a number of seconds from 2 to 3600".to_owned();
    text.parse::<f64>().ok().and_then(|seconds| Ttl::try_from(seconds).ok()).ok_or_else(mend)
}

fn parse_time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write 50ms, 2s or 1m"))
}
