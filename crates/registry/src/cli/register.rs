use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use berth_client::model::{Instance, InstanceId, NamedVersion, Registered, Registration, Run, Ttl, Verify};
use berth_client::{Registration as Kept, Settings};
use berth_daemon::shutdown_on_signals;
use clap::error::ErrorKind;
use clap::{Args, ValueEnum};
use tracing::warn;

use super::connect::{Connect, block_on, most_telling, patiently};
use super::output::{self, Format};
use super::wrong_usage;

/// How long a goodbye may take.
const GRACE: Duration = Duration::from_secs(5);

/// Register an instance for something that cannot do so itself.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  registry register web@1.2.3 --port 3000
  registry register web --port 3000 --hold    for as long as this command runs
  registry register web --port 3000 --id a --meta zone=a --ttl 3600
  registry register api --port 3000 --route /api --route api.example.com/
  registry register db --registry 10.0.0.5:9090 --host 10.0.0.7 --port 5432

Without --hold the lease runs out after --ttl seconds, unless the command is repeated before.")]
pub(super) struct Register {
    /// The service, with or without a version
    #[arg(value_name = "NAME[@VERSION]")]
    name: NamedVersion,
    /// The port that it listens on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// The address that it listens on [default: the one from which the registry is called]
    #[arg(long, value_name = "IP")]
    host: Option<IpAddr>,
    /// Its name within the service, the same over restarts [default: this machine's name and the port]
    #[arg(long, value_name = "ID")]
    id: Option<InstanceId>,
    /// What else to tell of it; repeat it for several
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_meta)]
    meta: Vec<(String, String)>,
    /// A host and path prefix that it serves, such as /api or api.example.com/, instead of everything; repeat it for
    /// several
    #[arg(long, value_name = "ROUTE")]
    route: Vec<String>,
    /// How long it stays listed, 2 to 3600
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = parse_ttl)]
    ttl: Ttl,
    /// Whether the registry dials it before it lists it
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    verify: Dial,
    /// Stay, keep it registered and linked, and deregister it on Ctrl-C
    #[arg(long)]
    hold: bool,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Dial {
    /// It must accept a connection
    #[default]
    Tcp,
    /// It is listed as it is
    None,
}

impl Register {
    pub(super) fn run(self) -> Result<()> {
        let id = self.id.clone().unwrap_or_else(|| default_id(self.port));
        let registration = self.registration();
        if self.hold {
            return block_on(self.keep(id, registration));
        }
        let first = block_on(self.register_everywhere(&id, registration))?;
        match self.output {
            Format::Json => output::json(&first)?,
            Format::Table => print_table(&first.instance)?,
        }
        let ttl_s = f64::from(first.instance.ttl_s);
        warn!(
            "it is listed for {ttl_s} s: repeat this before, or renew its lease, or use --hold, to keep it"
        );
        Ok(())
    }

    /// The first registry that is there makes the run, or knows it; the others are told the same one.
    async fn register_everywhere(
        &self,
        id: &InstanceId,
        mut registration: Registration,
    ) -> Result<Registered> {
        let service = &self.name.service;
        let mut first: Option<Registered> = None;
        let mut failures = Vec::new();
        for lookup in self.connect.lookups()? {
            match patiently(|| lookup.register(service, id, &registration)).await {
                Ok(registered) => {
                    registration.run = Some(registered.instance.run);
                    first.get_or_insert(registered);
                }
                Err(error) => failures.push(error),
            }
        }
        match first {
            Some(first) => {
                failures.iter().for_each(|error| warn!("{error}"));
                Ok(first)
            }
            None => Err(most_telling(failures)),
        }
    }

    /// Holds lease and link until a signal comes.
    async fn keep(&self, id: InstanceId, registration: Registration) -> Result<()> {
        let shutdown = shutdown_on_signals(GRACE).context("cannot listen for signals")?;
        let listening = SocketAddr::new(self.host.unwrap_or(Ipv6Addr::UNSPECIFIED.into()), self.port);
        let kept = Kept::start(Settings {
            registries: self.connect.registries(),
            token: self.connect.token(),
            id: Some(id),
            meta: registration.meta,
            routes: registration.routes,
            ttl: registration.ttl_s,
            verify: registration.verify,
            ..Settings::new(self.name.clone(), listening)
        })?;
        let mut states = kept.states();
        let held = async {
            kept.registered().await?;
            if let Err(error) = self.print_kept(kept.id(), kept.run()).await {
                warn!("it is registered, but cannot be shown: {error:#}");
            }
            let ended = states.wait_for(|state| state.ended.is_some()).await;
            match ended.ok().and_then(|state| state.ended.clone()) {
                Some(why) => bail!("the registration was ended: {why}"),
                None => bail!("the registration's tasks are gone"),
            }
        };
        tokio::select! {
            ended = held => return ended,
            () = shutdown.graceful.cancelled() => {}
        }
        kept.stop().await;
        Ok(())
    }

    async fn print_kept(&self, id: &InstanceId, run: Run) -> Result<()> {
        let query = berth_client::model::Query::all(self.name.service.clone());
        let found = super::query::united(&self.connect, &query).await?;
        let ours = found.instances.iter().find(|instance| instance.id == *id && instance.run == run);
        match (ours, self.output) {
            (Some(instance), Format::Json) => output::json(instance),
            (Some(instance), Format::Table) => print_table(instance),
            (None, _) => Ok(()),
        }
    }

    /// What to send, checked here as the registry will check it.
    fn registration(&self) -> Registration {
        let registration = Registration {
            version: self.name.version.clone(),
            host: self.host,
            meta: self.meta.iter().cloned().collect(),
            routes: self.route.clone(),
            ttl_s: self.ttl,
            verify: match self.verify {
                Dial::Tcp => Verify::Tcp,
                Dial::None => Verify::None,
            },
            ..Registration::of_port(self.port)
        };
        let body = serde_json::to_vec(&registration).unwrap_or_default();
        Registration::from_json(&body)
            .unwrap_or_else(|invalid| wrong_usage(ErrorKind::ValueValidation, invalid))
    }
}

fn print_table(instance: &Instance) -> Result<()> {
    let version = instance.version.as_ref().map_or("-", |version| version.as_str());
    let row = [
        instance.service.as_str(),
        instance.id.as_str(),
        &instance.address().to_string(),
        version,
        &instance.run.to_string(),
    ];
    let row = row.iter().map(ToString::to_string).collect();
    output::table(&["service", "id", "address", "version", "run"], vec![row])
}

/// Reads `key=value`.
pub(super) fn parse_meta(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or_else(|| "write KEY=VALUE".to_owned())?;
    Ok((key.to_owned(), value.to_owned()))
}

fn parse_ttl(text: &str) -> Result<Ttl, String> {
    let seconds: f64 = text.parse().map_err(|_| "write a number of seconds".to_owned())?;
    Ttl::try_from(seconds).map_err(|invalid| format!("it {}. {}", invalid.problem, invalid.mend))
}

/// The same at each call from this machine, and another than that of any other machine.
fn default_id(port: u16) -> InstanceId {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let named = format!("{}-{port}", machine.trim()).parse();
    // A machine's name may hold what an id may not; then another one is made each time.
    named
        .or_else(|_| format!("{:016x}-{port}", fastrand::u64(..)).parse())
        .unwrap_or_else(|invalid| wrong_usage(ErrorKind::ValueValidation, invalid))
}
