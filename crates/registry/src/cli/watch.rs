use anyhow::Result;
use berth_client::model::{Change, Instance, ServiceName, Snapshot};
use berth_client::{RegistryAddress, Update, Watch as Stream};
use clap::Args;
use futures_util::stream::{self, StreamExt, select_all};
use serde::Serialize;
use serde_json::json;
use tracing::warn;

use super::connect::{Connect, block_on, unreachable};
use super::output::{self, Format};

/// Follow what happens: a line for each instance that is there, then one for every change, with its reason.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  registry watch                 all services
  registry watch web             one service
  registry watch web -o json     a JSON object a line")]
pub(super) struct Watch {
    /// The service
    #[arg(value_name = "NAME")]
    service: Option<ServiceName>,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    connect: Connect,
}

/// An update as a line of JSON: the event's data and its name.
#[derive(Serialize)]
struct Named<'a, T> {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry: Option<String>,
    #[serde(flatten)]
    data: &'a T,
}

impl Watch {
    pub(super) fn run(self) -> Result<()> {
        let (registries, token) = (self.connect.registries(), self.connect.token());
        let several = registries.len() > 1;
        block_on(async {
            let follow = |address: RegistryAddress| {
                let updates = Stream::start(address.clone(), token.clone(), self.service.clone());
                stream::unfold((address, updates), async |(address, mut updates)| {
                    let update = updates.next().await;
                    Some(((address.clone(), update), (address, updates)))
                })
                .boxed()
            };
            let mut unheard = registries.len();
            let mut updates = select_all(registries.into_iter().map(follow));
            let mut connected = false;
            while let Some((address, update)) = updates.next().await {
                if let Update::Away { why } = &update
                    && !connected
                {
                    unheard = unheard.saturating_sub(1);
                    if unheard == 0 {
                        return Err(unreachable(format!("registry {address} cannot be watched: {why}")));
                    }
                } else {
                    connected = true;
                }
                let from = several.then_some(&address);
                match self.output {
                    Format::Json => print_json(&update, from)?,
                    Format::Table => print_lines(&update, from)?,
                }
            }
            Ok(())
        })
    }
}

fn print_json(update: &Update, registry: Option<&RegistryAddress>) -> Result<()> {
    let registry = registry.map(ToString::to_string);
    match update {
        Update::Snapshot(data) => output::json(&Named { event: "snapshot", registry, data }),
        Update::Change(data) => output::json(&Named { event: "change", registry, data }),
        Update::Away { why } => output::json(&Named { event: "away", registry, data: &json!({"why": why}) }),
    }
}

fn print_lines(update: &Update, registry: Option<&RegistryAddress>) -> Result<()> {
    match update {
        Update::Snapshot(Snapshot { instances, .. }) => {
            instances.iter().try_for_each(|instance| print_line("listed", instance, "", registry))
        }
        Update::Change(Change { kind, instance, reason, .. }) => {
            let reason = reason.map_or("", |reason| reason.as_str());
            print_line(kind.as_str(), instance, reason, registry)
        }
        Update::Away { why } => {
            let name =
                registry.map_or_else(|| "the registry".to_owned(), |address| format!("registry {address}"));
            warn!("{name} is away, trying again: {why}");
            Ok(())
        }
    }
}

fn print_line(
    what: &str,
    instance: &Instance,
    reason: &str,
    registry: Option<&RegistryAddress>,
) -> Result<()> {
    let Instance { service, id, run, weight, .. } = instance;
    let name = instance
        .version
        .as_ref()
        .map_or_else(|| service.to_string(), |version| format!("{service}@{version}"));
    let draining = if instance.draining { " draining" } else { "" };
    let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    let address = instance.address();
    let registry = registry.map_or_else(String::new, |address| format!(" registry={address}"));
    output::line(format!(
        "{what:7} {name}/{id} at {address}{reason} run={run} weight={weight}{draining}{registry}"
    ))
}
