use std::time::Duration;

use anyhow::{Result, bail};
use berth_client::model::{self, Found, Instance};
use berth_client::{Backoff, Error, Lookup};
use clap::Args;
use futures_util::future::select_all;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::connect::{Connect, block_on};
use super::output::{self, Format};
use super::query::united;

/// One call waits no longer than this, so that a registry that died is noticed.
const MOST_PER_CALL: Duration = Duration::from_secs(60);

/// Wait until a service is there: then exit with 0, or with 1 when the time is over.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  registry wait web                        until there is an instance of it, however long that takes
  registry wait 'web@1.x' --timeout 30s    of these versions, within 30 seconds
  registry wait db && start-what-needs-it")]
pub(super) struct Wait {
    /// The service, and perhaps a range of its versions
    #[arg(value_name = "NAME[@RANGE]")]
    what: model::Query,
    /// Only instances with this meta count
    #[arg(long, value_name = "KEY=VALUE", value_parser = super::register::parse_meta)]
    meta: Vec<(String, String)>,
    /// How long to wait [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout: Option<Duration>,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    connect: Connect,
}

impl Wait {
    pub(super) fn run(self) -> Result<()> {
        let mut query = self.what;
        query.meta.extend(self.meta);
        let found = block_on(until_found(&self.connect, &query, self.timeout))?;
        match self.output {
            Format::Json => output::json(&found),
            Format::Table => found.instances.iter().try_for_each(print),
        }
    }
}

fn print(instance: &Instance) -> Result<()> {
    output::line(format!("{}/{} at {}", instance.service, instance.id, instance.address()))
}

/// Waits until any registry knows an instance that matches. One that is away is tried again.
///
/// # Errors
/// The time is over, or a registry refuses.
pub(super) async fn until_found(
    connect: &Connect,
    query: &model::Query,
    time: Option<Duration>,
) -> Result<Found> {
    // A time beyond all calendars is for ever.
    let deadline = time.and_then(|time| Instant::now().checked_add(time));
    let lookups = connect.lookups()?;
    let wait = |lookup: &Lookup| Box::pin(wait_at(lookup.clone(), query, deadline));
    let mut waits: Vec<_> = lookups.iter().map(wait).collect();
    let (mut failure, mut timed_out) = (None, false);
    while !waits.is_empty() {
        let (outcome, _, rest) = select_all(waits).await;
        waits = rest;
        match outcome {
            Ok(Some(lookup)) => {
                let found = united(connect, query).await?;
                if !found.instances.is_empty() {
                    return Ok(found);
                }
                // It left again.
                waits.push(wait(&lookup));
            }
            Ok(None) => timed_out = true,
            // The others may still find one.
            Err(error) => {
                if !waits.is_empty() {
                    warn!("{error}");
                }
                failure = Some(error);
            }
        }
    }
    // Where one at least was asked until the time was over, that is the answer.
    match failure {
        Some(failure) if !timed_out => return Err(failure),
        Some(failure) => warn!("{failure}"),
        None => {}
    }
    bail!("no instance of {query} came within {}", humantime::format_duration(time.unwrap_or_default()))
}

/// The registry that has one; none when the time is over.
async fn wait_at(lookup: Lookup, query: &model::Query, deadline: Option<Instant>) -> Result<Option<Lookup>> {
    let mut backoff = Backoff::new();
    loop {
        let left = deadline.map_or(MOST_PER_CALL, |deadline| deadline - Instant::now());
        match lookup.wait(query, left.min(MOST_PER_CALL)).await {
            Ok(found) if !found.instances.is_empty() => return Ok(Some(lookup)),
            Ok(_) => backoff.reset(),
            Err(error) if error.is_passing() => {
                let pause = backoff.next_pause().max(error.retry_after().unwrap_or_default());
                let until = Instant::now() + pause;
                sleep_until(deadline.map_or(until, |deadline| deadline.min(until))).await;
                if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    return Err(away(error));
                }
            }
            Err(error) => return Err(error.into()),
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(None);
        }
    }
}

fn away(error: Error) -> anyhow::Error {
    match error {
        Error::Unreachable { .. } => super::connect::unreachable(error),
        error => error.into(),
    }
}

/// Reads `30s`, `2m`.
pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write 500ms, 30s or 2m"))
}
