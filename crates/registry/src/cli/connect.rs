use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use berth_client::{Error, Lookup, RegistryAddress, RegistryList};
use clap::Args;

/// A wait that a person at a terminal does not mind.
const SHORT: Duration = Duration::from_secs(2);

const RETRIES: u32 = 3;

/// Which registry a command talks to.
#[derive(Debug, Args)]
pub(super) struct Connect {
    /// The registry; of several, separated by commas, the first that can be reached is asked
    /// [default: localhost:9090]
    #[arg(long, env = "BERTH_REGISTRY", value_name = "HOST:PORT")]
    registry: Vec<RegistryList>,
    /// The registry's bearer token
    #[arg(long, env = "BERTH_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl Connect {
    /// Makes a call; the next registry is asked only where the one before could not be reached.
    pub(super) fn call<T, F>(&self, mut call: impl FnMut(Lookup) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Error>>,
    {
        block_on(async {
            let mut failure = anyhow!("no registry is named");
            for address in self.registries() {
                let lookup = Lookup::new(address, self.token())?;
                match patiently(|| call(lookup.clone())).await {
                    Ok(answer) => return Ok(answer),
                    Err(error @ Error::Unreachable { .. }) => failure = unreachable(error),
                    Err(error) => return Err(error.into()),
                }
            }
            Err(failure)
        })
    }

    /// The first registry, for a command that stays with one.
    pub(super) fn first(&self) -> (RegistryAddress, Option<String>) {
        (self.registries().swap_remove(0), self.token())
    }

    /// At least one.
    fn registries(&self) -> Vec<RegistryAddress> {
        RegistryList::united(self.registry.clone(), vec![RegistryAddress::default()])
    }

    /// An empty variable in the environment is as good as none.
    fn token(&self) -> Option<String> {
        self.token.clone().filter(|token| !token.is_empty())
    }
}

/// Repeats a call that the registry asks to repeat within moments, as it does after it stood still.
async fn patiently<T, F>(mut call: impl FnMut() -> F) -> Result<T, Error>
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
