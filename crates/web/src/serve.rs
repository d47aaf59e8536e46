use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use berth_daemon::Shutdown;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutWriter;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::refuse::refuse;

/// How long a connection may be idle or a request head may take. Longer than the 90 s after which common
/// clients drop an idle connection, so that they do it first and no request meets a closing one.
const HEAD_TIME: Duration = Duration::from_secs(120);

/// The largest request head, in bytes, about: it is looked at after each read.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The wait after an accept that failed for want of something that others may give back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many connections may be refused with an answer at one time; more are closed without one.
const MOST_REFUSALS: usize = 64;

/// What connections may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeLimits {
    /// How many may be open; the next ones are told 503.
    pub max_connections: usize,
    /// How long a peer may take nothing of what it is sent before its connection is cut.
    pub send_time: Duration,
}

impl Default for ServeLimits {
    /// 10,000 connections, 30 s.
    fn default() -> Self {
        Self { max_connections: 10_000, send_time: Duration::from_secs(30) }
    }
}

/// Serves a router on all listeners until the shutdown; handlers may extract `ConnectInfo<SocketAddr>`, the
/// caller's address.
///
/// At `graceful` the listeners close, and running exchanges finish (an open event stream must end by itself);
/// at `forced` they are dropped. An accept error never ends the service.
pub async fn serve(listeners: Vec<TcpListener>, router: Router, limits: ServeLimits, shutdown: &Shutdown) {
    let tasks = TaskTracker::new();
    let server = Server {
        router,
        send_time: limits.send_time,
        places: Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS))),
        refusals: Arc::new(Semaphore::new(MOST_REFUSALS)),
        shutdown: shutdown.clone(),
        tasks: tasks.clone(),
    };
    for listener in listeners {
        tasks.spawn(server.clone().accept(listener));
    }
    tasks.close();
    tasks.wait().await;
}

#[derive(Clone)]
struct Server {
    router: Router,
    send_time: Duration,
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    shutdown: Shutdown,
    tasks: TaskTracker,
}

impl Server {
    async fn accept(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                () = self.shutdown.graceful.cancelled() => return,
                () = self.shutdown.forced.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.take(stream, peer),
                // The peer was gone before we came to it.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    warn!(%error, "cannot accept a connection; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn take(&self, stream: TcpStream, peer: SocketAddr) {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            let (router, send_time, shutdown) = (self.router.clone(), self.send_time, self.shutdown.clone());
            self.tasks.spawn(connection(stream, peer, router, send_time, shutdown, place));
        } else if let Ok(refusal) = Arc::clone(&self.refusals).try_acquire_owned() {
            debug!(%peer, "refused: as many connections are open as may be");
            self.tasks.spawn(async move {
                refuse(stream).await;
                drop(refusal);
            });
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    send_time: Duration,
    shutdown: Shutdown,
    _place: OwnedSemaphorePermit,
) {
    // Without it an event may wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(send_time));
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(Box::pin(stream)), service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.forced.cancelled() => return,
        () = shutdown.graceful.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = shutdown.forced.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        debug!(%peer, %error, "a connection broke");
    }
}
