use std::net::SocketAddr;
use std::pin::pin;
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
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::{debug, warn};

/// How long a connection may be idle or a request head may take. Longer than the 90 s after which common
/// clients drop an idle connection, so that they do it first and no request meets a closing one.
const HEAD_TIME: Duration = Duration::from_secs(120);

/// The largest request head, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The wait after an accept that failed for want of something that others may give back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves a router on all listeners until the shutdown; handlers may extract `ConnectInfo<SocketAddr>`, the
/// caller's address.
///
/// At `graceful` the listeners close, and running exchanges finish (an open event stream must end by itself);
/// at `forced` they are dropped. An accept error never ends the service.
pub async fn serve(listeners: Vec<TcpListener>, router: Router, shutdown: &Shutdown) {
    let tasks = TaskTracker::new();
    for listener in listeners {
        tasks.spawn(accept(listener, router.clone(), shutdown.clone(), tasks.clone()));
    }
    tasks.close();
    tasks.wait().await;
}

async fn accept(listener: TcpListener, router: Router, shutdown: Shutdown, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = shutdown.graceful.cancelled() => return,
            () = shutdown.forced.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                tasks.spawn(connection(stream, peer, router.clone(), shutdown.clone()));
            }
            // The peer was gone before we came to it.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                warn!(%error, "cannot accept a connection; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, shutdown: Shutdown) {
    // Without it an event may wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
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
            .serve_connection(TokioIo::new(stream), service)
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
