//! A new connection to an endpoint.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

use berth_model::Scheme;
use berth_pick::Endpoint;
use tokio::net::TcpStream;

use super::client::Client;
use super::failure::Failure;
use super::shared::Worker;
use super::stream::Stream;

/// Connects, within the time for it; to an endpoint that speaks https, TLS included.
pub(crate) async fn to(worker: &Worker, client: &Client, endpoint: &Endpoint) -> Result<Stream, Failure> {
    client.deadline.set(client.timeouts.connect);
    let connecting = in_time(client, TcpStream::connect(endpoint.address()));
    let stream = connecting.await.map_err(Failure::Connect)?;
    // Without the option small requests are slower, not wrong.
    let _ = stream.set_nodelay(true);
    if endpoint.identity().scheme == Scheme::Http {
        return Ok(Stream::Plain(stream));
    }
    let tls = worker.view().general.tls.clone();
    let handshake = in_time(client, tls.connect(endpoint, stream));
    handshake.await.map(Stream::tls).map_err(Failure::Handshake)
}

async fn in_time<T>(client: &Client, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let mut step = pin!(step);
    poll_fn(|cx| match step.as_mut().poll(cx) {
        Poll::Pending if client.deadline.is_over() => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        other => other,
    })
    .await
}
