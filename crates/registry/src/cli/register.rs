use std::net::IpAddr;

use anyhow::Result;
use berth_client::model::{InstanceId, NamedVersion, Registered, Registration, Ttl};
use clap::Args;
use clap::error::ErrorKind;
use tracing::warn;

use super::connect::Connect;
use super::output::{self, Format};
use super::wrong_usage;

/// Register an instance once, for something that cannot do so itself.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  registry register web@1.2.3 --port 3000
  registry register web --port 3000 --id a --meta zone=a --ttl 3600
  registry register db --registry 10.0.0.5:9090 --host 10.0.0.7 --port 5432

The lease runs out after --ttl seconds, unless the command is repeated before.")]
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
    /// How long it stays listed, 2 to 3600
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = parse_ttl)]
    ttl: Ttl,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    connect: Connect,
}

impl Register {
    pub(super) fn run(self) -> Result<()> {
        let id = self.id.clone().unwrap_or_else(|| default_id(self.port));
        let registration = self.registration();
        let service = &self.name.service;
        let registered =
            self.connect.call(async |lookup| lookup.register(service, &id, &registration).await)?;
        self.print(&registered)
    }

    /// What to send, checked here as the registry will check it.
    fn registration(&self) -> Registration {
        let registration = Registration {
            version: self.name.version.clone(),
            host: self.host,
            meta: self.meta.iter().cloned().collect(),
            ttl_s: self.ttl,
            ..Registration::of_port(self.port)
        };
        let body = serde_json::to_vec(&registration).unwrap_or_default();
        Registration::from_json(&body)
            .unwrap_or_else(|invalid| wrong_usage(ErrorKind::ValueValidation, invalid))
    }

    fn print(&self, registered: &Registered) -> Result<()> {
        match self.output {
            Format::Json => output::json(registered)?,
            Format::Table => {
                let instance = &registered.instance;
                let version = instance.version.as_ref().map_or("-", |version| version.as_str());
                let row = [
                    instance.service.as_str(),
                    instance.id.as_str(),
                    &instance.address().to_string(),
                    version,
                    &instance.run.to_string(),
                ];
                let row = row.iter().map(ToString::to_string).collect();
                output::table(&["service", "id", "address", "version", "run"], vec![row])?;
            }
        }
        let ttl_s = f64::from(registered.instance.ttl_s);
        warn!("it is listed for {ttl_s} s: repeat this before, or renew its lease, to keep it");
        Ok(())
    }
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
