//! A new configuration for a balancer that runs: read again, compared, applied whole or not at all.
//!
//! Whatever can fail is done first: reading and checking the file, and binding a new port. Then the `upstreams` task
//! takes the new plan over with one snapshot, and workers go by it from their next request on; what runs is finished
//! by what it began with.

mod difference;
mod watch;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;
use tokio::sync::{Notify, mpsc, oneshot};
use tracing::{error, info, warn};

use crate::config::Settings;
use crate::discovery::Sources;
use crate::proxy::listener::{bind_in_place_of, with_fallback};
use crate::proxy::worker::NextListener;
use crate::telemetry::Cells;
use crate::upstreams::{Adopted, Replan};

use difference::Difference;

/// How often it is asked whether all workers go by the new plan. Each looks at every tick.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long workers are waited for. One whose thread is held up takes the plan up with its next request.
const PATIENCE: Duration = Duration::from_secs(3);

/// Reads the configuration again; an error is all that is wrong with it, for people to read.
pub type Reread = Arc<dyn Fn() -> Result<Settings, String> + Send + Sync>;

/// What a balancer needs to be able to reload.
pub struct Reloading {
    /// Reads the configuration again.
    pub reread: Reread,
    /// The file that is watched for changes, if there is one.
    pub file: Option<PathBuf>,
    /// Rung to ask for a reload: by SIGHUP.
    pub bell: Arc<Notify>,
}

/// What a reload has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// The snapshot from which on it holds.
    generation: u64,
    /// What is different.
    changed: Vec<String>,
    /// Keys that are different in the file, and take effect with the next start only.
    needs_restart: Vec<&'static str>,
    /// Registries and servers that are new and have not been heard of yet. Whom the registries before them list
    /// is kept until they have been.
    silent: Vec<String>,
    /// Whether a worker whose thread is held up has yet to take it up.
    late: bool,
}

/// Why a reload changed nothing.
#[derive(Debug, Error)]
pub(crate) enum ReloadError {
    /// There is no file.
    #[error("this balancer was started without a configuration file")]
    NoFile,
    /// The configuration is wrong; this says all that is.
    #[error("{0}")]
    Wrong(String),
    /// The new port cannot be had.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The balancer is ending.
    #[error("the balancer is ending")]
    Ending,
}

type Asked = oneshot::Sender<Result<Report, ReloadError>>;

/// Asks for reloads. They are done one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Reloads {
    asks: Option<mpsc::Sender<Asked>>,
}

impl Reloads {
    /// Reloads, and waits until every worker goes by the new configuration.
    pub(crate) async fn ask(&self) -> Result<Report, ReloadError> {
        let asks = self.asks.as_ref().ok_or(ReloadError::NoFile)?;
        let (asked, answer) = oneshot::channel();
        asks.send(asked).await.map_err(|_| ReloadError::Ending)?;
        answer.await.unwrap_or(Err(ReloadError::Ending))
    }
}

/// The parts of a balancer that runs which a reload changes.
pub(crate) struct Running {
    pub(crate) settings: Settings,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    pub(crate) sources: Sources,
    pub(crate) plans: mpsc::Sender<Replan>,
    pub(crate) cells: Vec<Arc<Cells>>,
    /// Each worker takes a listener in place of its present one.
    pub(crate) listeners: Vec<mpsc::UnboundedSender<NextListener>>,
}

/// Begins to reload whenever it is asked for; without `reloading` it never is.
pub(crate) fn start(running: Running, reloading: Option<Reloading>) -> Reloads {
    let Some(reloading) = reloading else { return Reloads { asks: None } };
    let (asks, asked) = mpsc::channel(1);
    let reloads = Reloads { asks: Some(asks) };
    tokio::spawn(answer(running, reloading.reread, asked));
    tokio::spawn(on_signals(reloads.clone(), reloading.bell));
    if let Some(file) = reloading.file {
        tokio::spawn(watch::follow(file, reloads.clone()));
    }
    reloads
}

async fn on_signals(reloads: Reloads, bell: Arc<Notify>) {
    loop {
        bell.notified().await;
        // What came of it is in the log.
        let _ = reloads.ask().await;
    }
}

async fn answer(mut running: Running, reread: Reread, mut asked: mpsc::Receiver<Asked>) {
    while let Some(asked) = asked.recv().await {
        let reread = Arc::clone(&reread);
        // A large file takes its time, and a file system that hangs all of it.
        let read = tokio::task::spawn_blocking(move || reread()).await;
        let outcome = match read.unwrap_or_else(|error| Err(format!("the file cannot be read: {error}"))) {
            Ok(next) => running.apply(next).await,
            Err(problems) => Err(ReloadError::Wrong(problems)),
        };
        match &outcome {
            Ok(report) => {
                let (generation, changed) = (report.generation, report.changed.join("; "));
                info!(generation, changed, "configuration reloaded");
                if !report.needs_restart.is_empty() {
                    let keys = report.needs_restart.join(", ");
                    warn!(keys, "these take effect with the next start only");
                }
                if report.late {
                    warn!("a worker is held up: it goes by the new configuration from its next request on");
                }
                if !report.silent.is_empty() {
                    let silent = report.silent.join(", ");
                    warn!(silent, "not heard of yet: what was known before is kept until then");
                }
            }
            Err(problem) => error!(%problem, "configuration not reloaded, nothing has changed"),
        }
        // Whoever asked may have left.
        let _ = asked.send(outcome);
    }
}

impl Running {
    async fn apply(&mut self, mut next: Settings) -> Result<Report, ReloadError> {
        let difference = Difference::between(&self.settings, &next);
        if next.proxy.tls == self.settings.proxy.tls {
            // The same certificates: sessions with upstreams go on.
            next.proxy.tls = self.settings.proxy.tls.clone();
        }
        // It follows from the clients' limit, which stays.
        next.proxy.most_pending = self.settings.proxy.most_pending;
        next.keep_from(&self.settings);
        let bound = self.bind(&next)?;
        let plan = self.sources.follow(&next);
        let (told, tells) = oneshot::channel();
        self.plans.send((plan, told)).await.map_err(|_| ReloadError::Ending)?;
        let Adopted { generation, silent } = tells.await.map_err(|_| ReloadError::Ending)?;
        let mut taking = Vec::new();
        if let Some((listeners, address)) = bound {
            self.address = address;
            for (worker, listener) in self.listeners.iter().zip(listeners) {
                let (taken, takes) = oneshot::channel();
                // A worker that is gone ends the process by itself.
                let _ = worker.send((listener, taken));
                taking.push(takes);
            }
            info!(addr = %address, "balancer listening");
        }
        let workers = tokio::time::timeout(PATIENCE, self.workers_follow(generation, taking));
        let late = workers.await.is_err();
        let Difference { changed, needs_restart } = difference;
        self.settings = next;
        Ok(Report { generation, changed, needs_restart, silent, late })
    }

    /// New listeners, one for each worker, if there is to be another address.
    fn bind(&self, next: &Settings) -> Result<Option<(Vec<TcpListener>, SocketAddr)>, ReloadError> {
        if next.listen == self.settings.listen {
            return Ok(None);
        }
        let bound = with_fallback(next.listen, next.listen_anyhow, |address| {
            bind_in_place_of(self.address, address, self.listeners.len())
        });
        bound.map(Some).map_err(|error| ReloadError::Listen(next.listen, error))
    }

    /// Waits until every worker goes by this snapshot and has taken its listener.
    async fn workers_follow(&self, generation: u64, taking: Vec<oneshot::Receiver<()>>) {
        while self.cells.iter().any(|cells| cells.generation.value() < generation) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        for takes in taking {
            // A worker that cannot use its listener has said so in the log.
            let _ = takes.await;
        }
    }
}

impl Settings {
    /// Takes over what cannot change while the balancer runs.
    fn keep_from(&mut self, running: &Settings) {
        self.admin = running.admin;
        self.token.clone_from(&running.token);
        self.threads = running.threads;
        self.most_connections = running.most_connections;
        if self.state.differs_from(&running.state) {
            self.state.clone_from(&running.state);
        }
        self.access_log.clone_from(&running.access_log);
        self.access_format = running.access_format;
        self.log_format = running.log_format;
        self.grace = running.grace;
    }
}
