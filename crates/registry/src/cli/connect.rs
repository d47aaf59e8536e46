use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use berth_client::{Error, Lookup, RegistryAddress, RegistryList};
use clap::Args;
use futures_util::future::join_all;
use tracing::warn;

/// A wait that a person at a terminal does not mind.
const SHORT: Duration = Duration::from_secs(2);

const RETRIES: u32 = 3;

/// Which registries a command talks to.
#[derive(Debug, Args)]
pub(super) struct Connect {
    /// A registry; repeat it, or separate with commas, for several: all of them are told, and what they say is united
    /// [default: localhost:9090]
    #[arg(long, env = "BERTH_REGISTRY", value_name = "HOST:PORT")]
    registry: Vec<RegistryList>,
    /// The registries' bearer token
    #[arg(long, env = "BERTH_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl Connect {
    /// Makes a call at every registry at the same time. Returns the answers of those that gave one, at least one;
    /// of the others a warning tells.
    pub(super) async fn call<T, F>(&self, call: impl Fn(Lookup) -> F) -> Result<Vec<T>>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let lookups = self.lookups()?;
        let outcomes = join_all(lookups.iter().map(|lookup| patiently(|| call(lookup.clone())))).await;
        let (mut answers, mut failures) = (Vec::new(), Vec::new());
        for outcome in outcomes {
            match outcome {
                Ok(answer) => answers.push(answer),
                Err(error) => failures.push(error),
            }
        }
        if !answers.is_empty() {
            failures.iter().for_each(|error| warn!("{error}"));
            return Ok(answers);
        }
        Err(most_telling(failures))
    }

    /// All registries, at least one.
    pub(super) fn registries(&self) -> Vec<RegistryAddress> {
        RegistryList::united(self.registry.clone(), vec![RegistryAddress::default()])
    }

    /// An empty variable in the environment is as good as none.
    pub(super) fn token(&self) -> Option<String> {
        self.token.clone().filter(|token| !token.is_empty())
    }

    /// One for each registry.
    pub(super) fn lookups(&self) -> Result<Vec<Lookup>> {
        let lookups = self.registries().into_iter().map(|address| Lookup::new(address, self.token()));
        Ok(lookups.collect::<Result<_, _>>()?)
    }
}

/// When nobody did it, the error of one that could be reached says more than that of one that could not.
pub(super) fn most_telling(failures: Vec<Error>) -> anyhow::Error {
    let reached = failures.iter().position(|error| !matches!(error, Error::Unreachable { .. }));
    match failures.into_iter().nth(reached.unwrap_or(0)) {
        Some(error @ Error::Unreachable { .. }) => unreachable(error),
        Some(error) => error.into(),
        None => anyhow!("no registry is named"),
    }
}

/// Repeats a call that the registry asks to repeat within moments, as it does after it stood still.
pub(super) async fn patiently<T, F>(mut call: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    for _ in 0..RETRIES {
        match call().await {
            Err(error) if error.retry_after().is_some_and(|wait| wait <= SHORT) => {
                tokio::time::sleep(error.retry_after().unwrap_or_default()).await;
            }
            outcome => return outcome,
        }
    }
    call().await
}

/// Runs a command that needs one thread.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start a runtime")?.block_on(work)
}

/// Adds what to do about it.
pub(super) fn unreachable(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("{error}. Start one with `registry listen 9090`, or name it with --registry HOST:PORT")
}
