//! A new connection to an endpoint.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

use berth_model::Scheme;
use berth_pick::{Endpoint, Signal};
use tokio::net::TcpStream;

use super::candidates::Candidates;
use super::client::Client;
use super::doubt::{Doubt, LOOK_AGAIN_MS};
use super::failure::Failure;
use super::shared::Worker;
use super::stream::Stream;
use crate::upstreams::is_our_own;

/// Connects, within the time for it; to an endpoint that speaks https, TLS included. It tells what it has met there.
pub(crate) async fn to(
    worker: &Worker,
    client: &Client,
    candidates: &Candidates,
    endpoint: &Endpoint,
) -> Result<Stream, Failure> {
    client.deadline.set(client.timeouts.connect);
    client.deadline.look_later();
    let mut wait = Wait { worker, client, candidates, endpoint, doubt: Doubt::begin(worker) };
    let connecting = wait.through(connect(endpoint)).await;
    let stream = connecting.map_err(|cause| {
        let signal = if cause.kind() == io::ErrorKind::ConnectionRefused {
            Some(Signal::Refused)
        } else {
            (!is_our_own(&cause)).then_some(Signal::Silent)
        };
        wait.tell(signal);
        Failure::Connect(cause)
    })?;
    // Without the option small requests are slower, not wrong.
    let _ = stream.set_nodelay(true);
    if endpoint.identity().scheme == Scheme::Http {
        return Ok(Stream::Plain(stream));
    }
    let tls = worker.view().general.tls.clone();
    wait.through(tls.connect(endpoint, stream)).await.map(Stream::tls).map_err(|cause| {
        let is_late = cause.kind() == io::ErrorKind::TimedOut;
        wait.tell(Some(if is_late { Signal::Silent } else { Signal::Error }));
        Failure::Handshake(cause)
    })
}

/// A port of this machine that nobody listens on may be chosen for our end as well: then the connection leads to itself,
/// which is as good as refused.
async fn connect(endpoint: &Endpoint) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(endpoint.address()).await?;
    if stream.local_addr().is_ok_and(|ours| ours == endpoint.address()) {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

/// One who waits for a connection.
struct Wait<'a> {
    worker: &'a Worker,
    client: &'a Client,
    candidates: &'a Candidates,
    endpoint: &'a Endpoint,
    doubt: Doubt,
}

impl Wait<'_> {
    /// Waits for a step, for as long as there is time and hope.
    async fn through<T>(&mut self, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let mut step = pin!(step);
        poll_fn(|cx| match step.as_mut().poll(cx) {
            Poll::Pending if self.client.deadline.is_over() || self.is_hopeless() => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            other => other,
        })
        .await
    }

    /// Whether the endpoint was given up and somebody else is there.
    fn is_hopeless(&mut self) -> bool {
        if !self.client.deadline.takes_look() {
            return false;
        }
        if self.endpoint.signals().is_given_up() {
            let goes = self.candidates.has_other(self.worker, self.endpoint);
            if !goes {
                // Somebody may come.
                self.client.deadline.look_after(LOOK_AGAIN_MS);
            }
            return goes;
        }
        self.doubt.look(self.worker, self.client, self.endpoint, true);
        false
    }

    /// Tells of what it has met; of a silence once.
    #[cold]
    fn tell(&self, signal: Option<Signal>) {
        match signal {
            Some(Signal::Silent) if self.doubt.is_told() => {}
            Some(signal) => self.worker.signal(self.endpoint, signal),
            None => {}
        }
    }
}
