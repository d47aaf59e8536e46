//! One worker: a thread with its own runtime, listener, pool, buffers and counters.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_daemon::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::MissedTickBehavior;

use super::ProxySettings;
use super::client::Client;
use super::connection;
use super::deadlines::TICK;
use super::shared::Worker;
use crate::telemetry::{Cells, WorkerLog};
use crate::upstreams::Published;

/// After an accept that failed for want of descriptors or memory, so long until the next one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a worker is made from.
pub(crate) struct Start {
    pub(crate) listener: std::net::TcpListener,
    pub(crate) settings: Arc<ProxySettings>,
    pub(crate) published: Arc<Published>,
    pub(crate) cells: Arc<Cells>,
    pub(crate) access_log: Option<WorkerLog>,
    pub(crate) most_connections: usize,
    /// How many files this worker may have open.
    pub(crate) descriptors: usize,
    pub(crate) shutdown: Shutdown,
}

/// Runs a worker on the calling thread until it has shut down.
///
/// # Errors
/// The runtime cannot be made or the listener cannot be used.
pub(crate) fn run(start: Start) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, serve(start))
}

async fn serve(start: Start) -> io::Result<()> {
    let listener = TcpListener::from_std(start.listener)?;
    let worker = Rc::new(Worker::new(
        start.settings,
        start.published,
        start.cells,
        start.access_log,
        start.descriptors,
    ));
    spawn_local(tick(Rc::clone(&worker)));
    // In a task of its own: this future is polled whenever any task was, and has little to look at.
    let drained = Rc::clone(&worker);
    let most = start.most_connections;
    let serving = spawn_local(async move {
        tokio::select! {
            () = start.shutdown.forced.cancelled() => {}
            () = accept_until_drained(&drained, listener, most, &start.shutdown) => {}
        }
    });
    serving.await.map_err(io::Error::other)?;
    if let Some(log) = &worker.access_log {
        log.flush();
    }
    Ok(())
}

async fn accept_until_drained(worker: &Rc<Worker>, listener: TcpListener, most: usize, shutdown: &Shutdown) {
    tokio::select! {
        () = shutdown.graceful.cancelled() => {}
        () = accept(worker, &listener, most) => {}
    }
    worker.draining.set(true);
    admit_waiting(worker, listener);
    worker.deadlines.last_call();
    while worker.connections.get() > 0 {
        worker.ended.notified().await;
    }
}

async fn accept(worker: &Rc<Worker>, listener: &TcpListener, most: usize) {
    loop {
        while worker.connections.get() >= most {
            worker.ended.notified().await;
        }
        match listener.accept().await {
            Ok((stream, peer)) => admit(worker, stream, peer),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection, trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Admits whoever is in the accept queue, and closes it. They have connected to us; the kernel would reset them.
fn admit_waiting(worker: &Rc<Worker>, listener: TcpListener) {
    // The kernel is asked, not the runtime, which may not have heard of the last ones yet.
    let Ok(listener) = listener.into_std() else { return };
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
                    admit(worker, stream, peer);
                }
            }
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
            Err(_) => return,
        }
    }
}

fn admit(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr) {
    worker.connections.set(worker.connections.get() + 1);
    worker.make_room();
    worker.cells.connections.add(1);
    let mut client = Client::new(worker, stream, peer);
    let guard = Admitted(Rc::clone(worker));
    spawn_local(async move {
        connection::serve(&guard.0, &mut client).await;
        // The connection ends before it is counted out.
        drop(client);
        drop(guard);
    });
}

/// Counts a connection out, also when its task panics.
struct Admitted(Rc<Worker>);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
        self.0.cells.connections_ended.add(1);
        self.0.ended.notify_one();
    }
}

async fn tick(worker: Rc<Worker>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        worker.deadlines.tick(Instant::now());
        worker.pool.reap(worker.deadlines.now_ms(), worker.settings.timeouts.upstream_idle);
        if let Some(log) = &worker.access_log {
            log.flush();
        }
    }
}
