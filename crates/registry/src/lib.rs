//! The service registry: who serves what, and where.
//!
//! A registration walks `api` (reads and checks it) → `store` (the record, its lease, the log) → `feed` (every
//! watcher learns of it). [`run`] ties them to listeners and to the clock.

mod api;
mod config;
mod dial;
mod encode;
mod feed;
mod gate;
pub mod store;
mod telemetry;

use std::sync::Arc;
use std::time::Instant;

use berth_daemon::{RunningClock, Shutdown};
use berth_web::{Access, Readiness, ServeLimits, observability, protect, serve};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;
use tracing::info;

pub use config::{Limits, Settings};

use api::{Api, places};
use dial::Dialer;
use feed::Snapshots;
use gate::WriteGate;
use store::Memory;
use telemetry::Telemetry;

/// Serves the registry's API on the listeners until the shutdown. It begins empty, in an epoch of its own.
///
/// Reads need the token only where a listener is beyond loopback.
pub async fn run(listeners: Vec<TcpListener>, settings: Settings, shutdown: &Shutdown) {
    let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok());
    let loopback = addresses.clone().all(|address| address.ip().to_canonical().is_loopback());
    let clock = RunningClock::start();
    let telemetry = Telemetry::default();
    let limits = settings.limits;
    let (store, suspects) = Memory::new(limits.clone(), clock.clone(), telemetry.clone());
    let gate = Arc::new(WriteGate::open(Instant::now()));
    let dialer = Dialer::new(telemetry.clone());
    let access = Access { token: settings.token, loopback };
    let api = Api {
        store: Arc::clone(&store),
        gate: Arc::clone(&gate),
        dialer: dialer.clone(),
        snapshots: Arc::new(Snapshots::default()),
        watch_places: places(limits.watchers),
        link_places: places(limits.links),
        most_name_bytes: limits.name_bytes,
        access: access.clone(),
        telemetry: telemetry.clone(),
        stop: shutdown.graceful.clone(),
    };
    let readiness = Readiness::until(shutdown.graceful.clone());
    let router = api.router().merge(observability(readiness, Arc::new(telemetry.registry())));
    let router = protect(router, access, limits.body_bytes);
    let serving = ServeLimits { max_connections: limits.connections, ..ServeLimits::default() };
    let ticked = Arc::new(Notify::new());
    let eviction = AbortOnDropHandle::new(tokio::spawn(evict(Arc::clone(&store), Arc::clone(&ticked))));
    for addr in addresses {
        info!(%addr, "registry listening");
    }
    tokio::select! {
        () = serve(listeners, router, serving, shutdown) => {}
        () = dialer.dial_back(Arc::clone(&store), suspects) => {}
        () = clock.drive(|_, _| {
            gate.tick(Instant::now());
            ticked.notify_one();
        }) => {}
        _ = eviction => {}
    }
}

/// Ends leases at each tick of the clock, apart from it: however many end at once, the clock goes on, and calls get
/// their turns.
async fn evict(store: Arc<Memory>, ticked: Arc<Notify>) {
    loop {
        ticked.notified().await;
        while store.evict() {
            tokio::task::yield_now().await;
        }
    }
}
