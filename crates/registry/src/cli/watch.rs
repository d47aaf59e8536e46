use anyhow::Result;
use berth_client::model::{Change, Instance, ServiceName, Snapshot};
use berth_client::{Update, Watch as Stream};
use clap::Args;
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
    #[serde(flatten)]
    data: &'a T,
}

impl Watch {
    pub(super) fn run(self) -> Result<()> {
        let (address, token) = self.connect.first();
        block_on(async {
            let mut updates = Stream::start(address.clone(), token, self.service);
            let mut connected = false;
            loop {
                let update = updates.next().await;
                if let Update::Away { why } = &update
                    && !connected
                {
                    return Err(unreachable(format!("registry {address} cannot be watched: {why}")));
                }
                connected = true;
                match self.output {
                    Format::Json => print_json(&update)?,
                    Format::Table => print_lines(&update)?,
                }
            }
        })
    }
}

fn print_json(update: &Update) -> Result<()> {
    match update {
        Update::Snapshot(data) => output::json(&Named { event: "snapshot", data }),
        Update::Change(data) => output::json(&Named { event: "change", data }),
        Update::Away { why } => output::json(&json!({"event": "away", "why": why})),
    }
}

fn print_lines(update: &Update) -> Result<()> {
    match update {
        Update::Snapshot(Snapshot { instances, .. }) => {
            instances.iter().try_for_each(|instance| print_line("listed", instance, ""))
        }
        Update::Change(Change { kind, instance, reason, .. }) => {
            print_line(kind.as_str(), instance, reason.map_or("", |reason| reason.as_str()))
        }
        Update::Away { why } => {
            warn!("the registry is away, trying again: {why}");
            Ok(())
        }
    }
}

fn print_line(what: &str, instance: &Instance, reason: &str) -> Result<()> {
    let Instance { service, id, run, weight, .. } = instance;
    let name = instance
        .version
        .as_ref()
        .map_or_else(|| service.to_string(), |version| format!("{service}@{version}"));
    let draining = if instance.draining { " draining" } else { "" };
    let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    let address = instance.address();
    output::line(format!("{what:7} {name}/{id} at {address}{reason} run={run} weight={weight}{draining}"))
}
