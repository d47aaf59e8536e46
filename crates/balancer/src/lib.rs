//! The load balancer that follows a registry.
//!
//! [`bind`] claims the ports, [`run`] serves until it is told to end. Traffic runs on worker threads ([`proxy`]),
//! each by itself; everything else (`discovery`, `upstreams`, `admin`) runs on the runtime that calls [`run`].

mod admin;
mod buckets;
pub mod config;
mod discovery;
pub mod proxy;
mod reload;
pub mod routing;
mod telemetry;
pub mod tls;
mod upstreams;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use berth_daemon::{RunningClock, Shutdown};
use berth_web::{Access, Token};
use thiserror::Error;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use berth_http1::Limits;
pub use reload::{Reloading, Reread};
pub use telemetry::{AccessFormat, AccessTarget};

use admin::AdminCalls;
use config::{Admin, Settings};
use discovery::Sources;
use proxy::Clients;
use proxy::listener::{bind_group, with_fallback};
use proxy::worker::{self, NextListener};
use reload::Running;
use telemetry::{AccessLog, Cells, Rates};
use upstreams::{Hears, MOST_PROBES, Published, Replan, Shown, Upstreams};

/// Updates from all sources that may wait to be taken in.
const WAITING_UPDATES: usize = 1024;

/// A balancer that starts does not accept before it has heard from every source, or for so long.
const FIRST_LIST_WAIT: Duration = Duration::from_millis(500);

/// Files that a balancer has open beside connections of clients and upstreams.
pub const OTHER_FILES: usize = 64 + MOST_PROBES;

/// How long the last lines of the access log may take.
const LOG_WAIT: Duration = Duration::from_secs(1);

/// How long it may take to write down what was heard last.
const STATE_WAIT: Duration = Duration::from_secs(1);

/// Why a balancer cannot run.
#[derive(Debug, Error)]
pub enum StartError {
    /// Somebody else listens there, perhaps another balancer.
    #[error(
        "cannot listen on {0}: the port is in use. Stop who holds it, or choose another with --listen or --port"
    )]
    InUse(SocketAddr),
    /// The admin port was asked for and is taken.
    #[error(
        "cannot listen on {0} for the admin port: it is in use. Choose another with --admin ADDR, or --admin none"
    )]
    AdminInUse(SocketAddr),
    /// The address cannot be bound for another reason.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The access log cannot be opened.
    #[error("cannot open the access log {0}: {1}")]
    AccessLog(AccessTarget, io::Error),
    /// The token is none.
    #[error("{0}")]
    Token(berth_model::Invalid),
    /// A worker thread cannot be started, or failed.
    #[error("a worker failed: {0}")]
    Worker(io::Error),
    /// The end was forced while requests were under way.
    #[error("ended before all requests were finished")]
    Forced,
}

/// The ports of a balancer, claimed.
#[derive(Debug)]
pub struct Bound {
    listeners: Vec<TcpListener>,
    /// Where clients connect.
    pub address: SocketAddr,
    admin: Option<TcpListener>,
}

impl Bound {
    /// Where the admin port is, if there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(|listener| listener.local_addr().ok())
    }
}

/// Claims the ports.
///
/// # Errors
/// A port that is required is taken, or is not ours.
pub fn bind(settings: &Settings) -> Result<Bound, StartError> {
    let bound = with_fallback(settings.listen, settings.listen_anyhow, |address| {
        bind_group(address, settings.threads)
    });
    let (listeners, address) = bound.map_err(|error| listen_error(settings.listen, error))?;
    Ok(Bound { listeners, address, admin: bind_admin(settings.admin)? })
}

fn listen_error(address: SocketAddr, error: io::Error) -> StartError {
    if error.kind() == io::ErrorKind::AddrInUse {
        return StartError::InUse(address);
    }
    StartError::Listen(address, error)
}

fn bind_admin(admin: Admin) -> Result<Option<TcpListener>, StartError> {
    let (address, required) = match admin {
        Admin::None => return Ok(None),
        Admin::Preferred(address) => (address, false),
        Admin::Required(address) => (address, true),
    };
    match TcpListener::bind(address).and_then(|listener| listener.set_nonblocking(true).map(|()| listener)) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if required && error.kind() == io::ErrorKind::AddrInUse => {
            Err(StartError::AdminInUse(address))
        }
        Err(error) if required => Err(StartError::Listen(address, error)),
        Err(error) => {
            warn!(%address, %error, "no admin port: going on without; choose another with --admin ADDR");
            Ok(None)
        }
    }
}

/// Serves until the shutdown, and ends when the last request has.
///
/// # Errors
/// The access log or a worker cannot be started, or the end was forced.
pub async fn run(
    bound: Bound,
    settings: Settings,
    reloading: Option<Reloading>,
    shutdown: Shutdown,
) -> Result<(), StartError> {
    let log = AccessLog::open(&settings.access_log, settings.access_format)
        .map_err(|error| StartError::AccessLog(settings.access_log.clone(), error))?;
    let Following { published, sources, plans, asks, mut heard, ending, upstreams } = follow(&settings);
    let cells: Vec<Arc<Cells>> = bound.listeners.iter().map(|_| Arc::default()).collect();
    let (listeners, next_listeners): (Vec<_>, Vec<_>) =
        bound.listeners.iter().map(|_| mpsc::unbounded_channel()).unzip();
    let (address, cells_of) = (bound.address, cells.clone());
    let running = Running { settings: settings.clone(), address, sources, plans, cells: cells_of, listeners };
    let reloads = reload::start(running, reloading);
    let admin = bound.admin.map(|listener| {
        let dropped = log.as_ref().map(AccessLog::dropped).unwrap_or_default();
        let metrics = telemetry::registry(cells.clone(), Arc::clone(&published), dropped);
        let rates = Rates::follow(Arc::clone(&published));
        let calls = AdminCalls { metrics, reloads: reloads.clone(), rates, asks };
        serve_admin(listener, calls, &settings, &shutdown)
    });
    let admin = admin.transpose()?;
    tokio::select! {
        _ = heard.wait_for(|heard| *heard) => {}
        () = tokio::time::sleep(FIRST_LIST_WAIT) => {}
        () = shutdown.graceful.cancelled() => {}
    }
    info!(addr = %bound.address, threads = settings.threads, "balancer listening");
    let listeners = bound.listeners.into_iter().zip(next_listeners).collect();
    let mut workers = start_workers(listeners, &settings, &published, &cells, log.as_ref(), &shutdown)?;
    while let Some(ended) = workers.join_next().await {
        // The first that fails ends them all: a balancer must not go on at a part of its strength.
        ended.map_err(io::Error::other).and_then(|ended| ended).map_err(StartError::Worker)?;
    }
    if let Some(log) = log {
        tokio::select! {
            () = log.close() => {}
            () = shutdown.forced.cancelled() => {}
            () = tokio::time::sleep(LOG_WAIT) => warn!("the access log takes no more, its last lines are lost"),
        }
    }
    ending.cancel();
    tokio::select! {
        _ = upstreams => {}
        () = shutdown.forced.cancelled() => {}
        () = tokio::time::sleep(STATE_WAIT) => warn!("the state file cannot be written, the last changes are not in it"),
    }
    if let Some(admin) = admin {
        admin.graceful.cancel();
        admin.forced.cancel();
    }
    if shutdown.forced.is_cancelled() {
        return Err(StartError::Forced);
    }
    info!("every request was finished; goodbye");
    Ok(())
}

/// What follows the sources.
struct Following {
    published: Arc<Published>,
    sources: Sources,
    plans: mpsc::Sender<Replan>,
    asks: mpsc::Sender<oneshot::Sender<Shown>>,
    heard: watch::Receiver<bool>,
    /// Ends the task that owns the list of endpoints.
    ending: CancellationToken,
    upstreams: JoinHandle<()>,
}

/// Begins to follow the sources.
fn follow(settings: &Settings) -> Following {
    let clock = RunningClock::start();
    let ticking = clock.clone();
    tokio::spawn(async move { ticking.drive(|_, _| {}).await });
    let (said, waiting) = mpsc::channel(WAITING_UPDATES);
    let (heard, is_heard) = watch::channel(false);
    let (plans, next_plans) = mpsc::channel(1);
    let (asks, asked) = mpsc::channel(1);
    let mut sources = Sources::new(said, settings.token.clone());
    let plan = sources.follow(settings);
    let (upstreams, published) = Upstreams::new(plan, clock, fastrand::u64(..));
    let ending = CancellationToken::new();
    let hears = Hears { said: waiting, plans: next_plans, asked, ending: ending.clone() };
    let upstreams = tokio::spawn(upstreams.run(hears, heard));
    Following { published, sources, plans, asks, heard: is_heard, ending, upstreams }
}

fn serve_admin(
    listener: TcpListener,
    calls: AdminCalls,
    settings: &Settings,
    shutdown: &Shutdown,
) -> Result<Shutdown, StartError> {
    let address = listener.local_addr().map_err(StartError::Worker)?;
    let listener =
        tokio::net::TcpListener::from_std(listener).map_err(|error| StartError::Listen(address, error))?;
    let token = settings.token.as_deref().map(str::parse::<Token>).transpose().map_err(StartError::Token)?;
    let access = Access { token, loopback: address.ip().is_loopback() };
    let router = admin::router(shutdown.graceful.clone(), calls, access);
    info!(addr = %address, "admin port listening");
    // It answers, with 503 on /readyz, until the last request has ended.
    let ending = Shutdown::default();
    let ends = ending.clone();
    tokio::spawn(async move {
        berth_web::serve(vec![listener], router, berth_web::ServeLimits::default(), &ends).await;
    });
    Ok(ending)
}

/// Rings every tick for as long as anybody listens.
fn ticks() -> Arc<Notify> {
    let bell = Arc::new(Notify::new());
    let listened_to = Arc::downgrade(&bell);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(proxy::TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while let Some(bell) = listened_to.upgrade() {
            bell.notify_one();
            drop(bell);
            ticks.tick().await;
        }
    });
    bell
}

fn start_workers(
    listeners: Vec<(TcpListener, mpsc::UnboundedReceiver<NextListener>)>,
    settings: &Settings,
    published: &Arc<Published>,
    cells: &[Arc<Cells>],
    log: Option<&AccessLog>,
    shutdown: &Shutdown,
) -> Result<JoinSet<io::Result<()>>, StartError> {
    let most_connections = settings.most_connections.div_ceil(settings.threads).max(1);
    let clients = Arc::<Clients>::default();
    let mut workers = JoinSet::new();
    for ((index, (listener, next)), cells) in listeners.into_iter().enumerate().zip(cells) {
        let start = worker::Start {
            listener,
            listeners: next,
            published: Arc::clone(published),
            cells: Arc::clone(cells),
            access_log: log.map(AccessLog::for_worker),
            ticks: ticks(),
            most_connections,
            clients: Arc::clone(&clients),
            descriptors: settings.open_files.saturating_sub(OTHER_FILES) / settings.threads,
            shutdown: shutdown.clone(),
        };
        let (ended, ends) = oneshot::channel();
        std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || {
                // The receiver waits as long as the process lives.
                let _ = ended.send(worker::run(start));
            })
            .map_err(StartError::Worker)?;
        // A worker that panicked has dropped its sender.
        workers.spawn(async { ends.await.unwrap_or_else(|_| Err(io::Error::other("its thread panicked"))) });
    }
    Ok(workers)
}
