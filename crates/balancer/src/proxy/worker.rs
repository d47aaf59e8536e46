//! One worker: a thread with its own runtime, listener, pool, buffers and counters.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use berth_daemon::Shutdown;
use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet, LocalSet, spawn_local};

use super::client::Client;
use super::connection;
use super::limited;
use super::listener::refuse_newcomers;
use super::per_client::Clients;
use super::shared::Worker;
use crate::telemetry::{Cells, WorkerLog};
use crate::upstreams::Published;

/// How many ticks a listener whose place another has taken is kept, for those who have begun to connect to it.
/// Newcomers try again after a second, so it is less than that.
const RETIRING_TICKS: usize = 2;

/// Connections of a worker that are told at once why they are turned away. Beyond that they are reset: each takes the
/// place of another client for a second or so, which a part of all places at most may be.
const MOST_TURNED_AWAY: usize = 100;
const TURNED_AWAY_PART: usize = 8;

/// A listener that takes the place of the present one, and whom to tell that it has.
pub(crate) type NextListener = (TcpListener, oneshot::Sender<()>);

/// What a worker is made from.
pub(crate) struct Start {
    pub(crate) listener: TcpListener,
    /// Listeners that take the place of the present one.
    pub(crate) listeners: mpsc::UnboundedReceiver<NextListener>,
    pub(crate) published: Arc<Published>,
    pub(crate) cells: Arc<Cells>,
    pub(crate) access_log: Option<WorkerLog>,
    pub(crate) most_connections: usize,
    pub(crate) clients: Arc<Clients>,
    /// How many files this worker may have open.
    pub(crate) descriptors: usize,
    /// Rung every [`TICK`](super::deadlines::TICK).
    pub(crate) ticks: Arc<Notify>,
    pub(crate) shutdown: Shutdown,
}

/// Runs a worker on the calling thread until it has shut down. Its runtime has no timers: they would cost a look at
/// the clock, or several, each time it waits. It is woken for its ticks.
///
/// # Errors
/// The runtime cannot be made or the listener cannot be used.
pub(crate) fn run(start: Start) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, serve(start))
}

async fn serve(start: Start) -> io::Result<()> {
    #[allow(deprecated, reason = "the mend needs unsafe; a listener of std is never another file")]
    let listener = AsyncFd::new(start.listener)?;
    let mut listeners = start.listeners;
    let worker = Rc::new(Worker::new(
        start.published,
        start.cells,
        start.access_log,
        start.clients,
        MOST_TURNED_AWAY.min(start.most_connections / TURNED_AWAY_PART),
        start.descriptors,
    ));
    spawn_local(tick(Rc::clone(&worker), start.ticks));
    // In a task of its own: this future is polled whenever any task was, and has little to look at.
    let drained = Rc::clone(&worker);
    let most = start.most_connections;
    let serving = spawn_local(async move {
        tokio::select! {
            () = start.shutdown.forced.cancelled() => {}
            () = accept_until_drained(&drained, listener, &mut listeners, most, &start.shutdown) => {}
        }
    });
    serving.await.map_err(io::Error::other)?;
    worker.settle();
    if let Some(log) = &worker.access_log {
        log.flush();
    }
    Ok(())
}

async fn accept_until_drained(
    worker: &Rc<Worker>,
    listener: AsyncFd<TcpListener>,
    listeners: &mut mpsc::UnboundedReceiver<NextListener>,
    most: usize,
    shutdown: &Shutdown,
) {
    let mut accepting = Accepting::begin(worker, listener, most);
    let mut retiring = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.graceful.cancelled() => break,
            Some(_) = retiring.join_next() => {}
            Some((next, taken)) = listeners.recv() => {
                #[allow(deprecated, reason = "the mend needs unsafe; a listener of std is never another file")]
                match AsyncFd::new(next) {
                    // The new one accepts before the old one is closed.
                    Ok(next) => {
                        let next = Accepting::begin(worker, next, most);
                        let before = std::mem::replace(&mut accepting, next);
                        retiring.spawn_local(before.retire(Rc::clone(worker)));
                        // Whoever waits for it may have left.
                        let _ = taken.send(());
                    }
                    Err(error) => tracing::error!(%error, "a worker cannot use its new listener"),
                }
            }
        }
    }
    worker.draining.set(true);
    accepting.end(worker).await;
    while retiring.join_next().await.is_some() {}
    worker.deadlines.last_call();
    while worker.connections.get() > 0 {
        worker.ended.notified().await;
    }
}

/// A listener, and the task that accepts from it.
struct Accepting {
    listener: Rc<AsyncFd<TcpListener>>,
    task: JoinHandle<()>,
}

impl Accepting {
    fn begin(worker: &Rc<Worker>, listener: AsyncFd<TcpListener>, most: usize) -> Self {
        let listener = Rc::new(listener);
        // In a task of its own as well, so that nothing else is looked at for each connection.
        let task = spawn_local(accept(Rc::clone(worker), Rc::clone(&listener), most));
        Self { listener, task }
    }

    /// Goes on for whoever has begun to connect, and then closes the listener.
    async fn retire(self, worker: Rc<Worker>) {
        if let Err(error) = refuse_newcomers(self.listener.get_ref()) {
            tracing::debug!(%error, "no packet filter: whoever connects to the old port in its last moment is reset");
        }
        for _ in 0..RETIRING_TICKS {
            worker.ticked.notified().await;
        }
        self.end(&worker).await;
    }

    /// Admits whoever waits, and closes the listener.
    async fn end(self, worker: &Rc<Worker>) {
        self.task.abort();
        // It was aborted, which is no news.
        let _ = self.task.await;
        if let Some(listener) = Rc::into_inner(self.listener) {
            admit_waiting(worker, listener.get_ref());
        }
    }
}

async fn accept(worker: Rc<Worker>, listener: Rc<AsyncFd<TcpListener>>, most: usize) {
    loop {
        while worker.connections.get() >= most {
            worker.ended.notified().await;
        }
        match poll_fn(|cx| poll_accept(cx, &listener)).await {
            Ok((stream, peer)) => admit(&worker, stream, peer),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection, trying again");
                // If it was for want of a descriptor, here is one.
                worker.pool.drop_one();
                worker.ticked.notified().await;
            }
        }
    }
}

fn poll_accept(
    cx: &mut Context<'_>,
    listener: &AsyncFd<TcpListener>,
) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
    loop {
        let mut ready = ready!(listener.poll_read_ready(cx))?;
        // Not ready after all: that is noted, and it is waited for.
        if let Ok(accepted) = ready.try_io(|listener| accept_one(listener.get_ref())) {
            return Poll::Ready(accepted);
        }
    }
}

/// Takes a connection from the queue, in one call, without telling the runtime of it.
fn accept_one(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (socket, peer) = acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let peer =
        peer.and_then(|peer| SocketAddr::try_from(peer).ok()).ok_or(io::ErrorKind::ConnectionAborted)?;
    Ok((socket.into(), peer))
}

/// Admits whoever is in the accept queue, and closes it. They have connected to us; the kernel would reset them.
fn admit_waiting(worker: &Rc<Worker>, listener: &TcpListener) {
    loop {
        // The kernel is asked, not the runtime, which may not have heard of the last ones yet.
        match accept_one(listener) {
            Ok((stream, peer)) => admit(worker, stream, peer),
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
    // The settings of now: the client has looked them up.
    if worker.reading.get().per_client && !limited::count_in(worker, &mut client) {
        return turn_away(client, guard);
    }
    // On the heap at once: the runtime moves what it is given several times.
    spawn_local(Box::pin(async move {
        connection::serve(&guard.0, &mut client).await;
        // The connection ends before it is counted out.
        drop(client);
        drop(guard);
    }));
}

/// Lets a connection go that is one too many for its client: with a word, unless too many are let go at once.
#[cold]
fn turn_away(mut client: Client, guard: Admitted) {
    let worker = &guard.0;
    worker.cells.connections_limited.add(1);
    if worker.turned_away.get() >= worker.most_turned_away {
        client.abort();
        drop(client);
        return drop(guard);
    }
    worker.turned_away.set(worker.turned_away.get() + 1);
    let leaving = TurnedAway(guard);
    spawn_local(Box::pin(async move {
        limited::turn_away(&leaving.0.0, &mut client).await;
        drop(client);
        drop(leaving);
    }));
}

/// Counts a connection out that is turned away.
struct TurnedAway(Admitted);

impl Drop for TurnedAway {
    fn drop(&mut self) {
        let turned_away = &self.0.0.turned_away;
        turned_away.set(turned_away.get() - 1);
    }
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

async fn tick(worker: Rc<Worker>, ticks: Arc<Notify>) {
    loop {
        ticks.notified().await;
        worker.tick(Instant::now());
        // Also without requests the newest snapshot is taken up.
        let view = worker.view();
        worker.drop_strangers();
        worker.pool.reap(worker.deadlines.now_ms(), view.general.timeouts.upstream_idle);
        worker.buffers.trim();
        worker.ticked.notify_waiters();
        if let Some(log) = &worker.access_log {
            log.flush();
        }
    }
}
