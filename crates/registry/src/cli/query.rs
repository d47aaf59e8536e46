use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, bail};
use berth_client::model::{self, Found, Identity, Instance, Services};
use clap::Args;
use serde_json::{Map, Value, json};

use super::connect::{Connect, block_on};
use super::output::{self, Format};
use super::wait::{parse_time, until_found};

/// What there is to show: the members of an instance's JSON, and its host and port together.
const FIELDS: [&str; 14] = [
    "service", "id", "run", "version", "address", "host", "port", "scheme", "weight", "zone", "routes",
    "ttl_s", "draining", "meta",
];

/// The columns of a table for which none were named.
const COLUMNS: [&str; 6] = ["id", "address", "version", "weight", "draining", "meta"];

/// Show where a service is, or which services there are.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  registry query                          all services, and how many instances each has
  registry query web                      the instances of a service
  registry query 'web@1.x'                those of a range of versions, as npm writes them
  registry query web --meta zone=a        those that carry this meta
  registry query web id address meta.git  only these columns
  registry query web --wait 30s           once there is one; exit code 1 if none comes
  registry query web -o json              for programs

Fields: service id run version address host port scheme weight zone routes ttl_s draining meta meta.KEY")]
pub(super) struct Query {
    /// The service, and perhaps a range of its versions
    #[arg(value_name = "NAME[@RANGE]")]
    what: Option<model::Query>,
    /// Show these only
    #[arg(value_name = "FIELD")]
    fields: Vec<Field>,
    /// Show only instances with this meta
    #[arg(long, value_name = "KEY=VALUE", value_parser = super::register::parse_meta)]
    meta: Vec<(String, String)>,
    /// Wait so long for an instance that matches
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "what")]
    wait: Option<Duration>,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    connect: Connect,
}

/// One of [`FIELDS`], or `meta.KEY`.
#[derive(Clone, Debug)]
struct Field(String);

impl Query {
    pub(super) fn run(self) -> Result<()> {
        let Some(mut query) = self.what else {
            if !self.meta.is_empty() {
                bail!("--meta needs a service: registry query NAME --meta KEY=VALUE");
            }
            let services = block_on(all_services(&self.connect))?;
            return print_services(&services, self.output);
        };
        query.meta.extend(self.meta);
        let found = match self.wait {
            None => block_on(united(&self.connect, &query))?,
            time => block_on(until_found(&self.connect, &query, time))?,
        };
        match self.output {
            Format::Json if self.fields.is_empty() => output::json(&found),
            Format::Json => output::json(&chosen(&found, &self.fields)),
            Format::Table if found.instances.is_empty() => {
                tracing::warn!("no instance of {query} is registered");
                Ok(())
            }
            Format::Table if self.fields.is_empty() => {
                print_table(&found, &COLUMNS.map(|name| Field(name.to_owned())))
            }
            Format::Table => print_table(&found, &self.fields),
        }
    }
}

/// What all registries say of a service, united by identity: listed by any is listed, draining in any is draining.
pub(super) async fn united(connect: &Connect, query: &model::Query) -> Result<Found> {
    let answers = connect.call(async |lookup| lookup.query(query).await).await?;
    let mut answers = answers.into_iter();
    let Some(mut first) = answers.next() else { bail!("no registry is named") };
    let mut by_identity: BTreeMap<Identity, Instance> = BTreeMap::new();
    for instance in
        std::mem::take(&mut first.instances).into_iter().chain(answers.flat_map(|found| found.instances))
    {
        let draining = instance.draining;
        let known = by_identity.entry(instance.identity()).or_insert(instance);
        known.draining |= draining;
    }
    first.instances = by_identity.into_values().collect();
    Ok(first)
}

async fn all_services(connect: &Connect) -> Result<Services> {
    let mut answers = connect.call(async |lookup| lookup.services().await).await?;
    if answers.len() > 1 {
        let names: BTreeSet<_> = answers.iter().flat_map(|answer| answer.services.keys().cloned()).collect();
        let mut services = BTreeMap::new();
        for name in names {
            let found = united(connect, &model::Query::all(name.clone())).await?;
            services.insert(name, found.instances.len());
        }
        answers[0].services = services;
    }
    Ok(answers.swap_remove(0))
}

fn print_services(services: &Services, format: Format) -> Result<()> {
    match format {
        Format::Json => output::json(services),
        Format::Table if services.services.is_empty() => {
            tracing::warn!("no service is registered");
            Ok(())
        }
        Format::Table => {
            let rows =
                services.services.iter().map(|(name, number)| vec![name.to_string(), number.to_string()]);
            output::table(&["service", "instances"], rows.collect())
        }
    }
}

fn print_table(found: &Found, fields: &[Field]) -> Result<()> {
    let titles: Vec<&str> = fields.iter().map(|field| field.0.as_str()).collect();
    let row = |instance| fields.iter().map(|field| text(&field.of(instance))).collect();
    output::table(&titles, found.instances.iter().map(row).collect())
}

fn chosen(found: &Found, fields: &[Field]) -> Value {
    let of =
        |instance| fields.iter().map(|field| (field.0.clone(), field.of(instance))).collect::<Map<_, _>>();
    let instances: Vec<_> = found.instances.iter().map(of).collect();
    json!({"service": found.service, "revision": found.revision, "instances": instances})
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(is) => if *is { "yes" } else { "no" }.to_owned(),
        Value::String(text) => output::printable(text),
        Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(" "),
        Value::Object(all) => {
            let pair = |(key, value): (&String, _)| format!("{}={}", output::printable(key), text(value));
            all.iter().map(pair).collect::<Vec<_>>().join(" ")
        }
        Value::Number(number) => number.to_string(),
    }
}

impl Field {
    fn of(&self, instance: &Instance) -> Value {
        match self.0.strip_prefix("meta.") {
            Some(key) => json!(instance.meta.get(key)),
            None if self.0 == "address" => json!(instance.address()),
            None => json!(instance)[&self.0].take(),
        }
    }
}

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if FIELDS.contains(&text) || text.starts_with("meta.") {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("the fields are {}, meta.KEY", FIELDS.join(", ")))
    }
}
