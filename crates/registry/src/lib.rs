//! The service registry: who serves what, and where.
//!
//! A registration walks `api` (reads and checks it) → `store` (the record, its lease, the log) → `feed` (every
//! watcher learns of it). [`run`] ties them to listeners and to the clock.

mod api;
mod config;
mod encode;
mod feed;
mod gate;
mod store;
mod telemetry;

use std::sync::Arc;
use std::time::Instant;

use berth_daemon::{RunningClock, Shutdown};
use berth_web::{Access, Readiness, observability, protect, serve};
use tokio::net::TcpListener;
use tracing::info;

pub use config::Settings;

use api::Api;
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
    let store = Arc::new(Memory::new(&settings, clock.clone(), telemetry.clone()));
    let gate = Arc::new(WriteGate::open(Instant::now()));
    let access = Access { token: settings.token, loopback };
    let api = Api {
        store: Arc::clone(&store),
        gate: Arc::clone(&gate),
        access: access.clone(),
        telemetry: telemetry.clone(),
        stop: shutdown.graceful.clone(),
    };
    let readiness = Readiness::until(shutdown.graceful.clone());
    let router = api.router().merge(observability(readiness, Arc::new(telemetry.registry())));
    for addr in addresses {
        info!(%addr, "registry listening");
    }
    tokio::select! {
        () = serve(listeners, protect(router, access), shutdown) => {}
        () = clock.drive(|_, _| {
            gate.tick(Instant::now());
            store.evict();
        }) => {}
    }
}
