//! What is kept of a request while it runs, and its way upstream.

use std::task::{Context, Poll, ready};

use berth_http1::{Body, RequestHead, Version};
use tokio::net::TcpStream;

use super::client::Client;
use super::failure::Failure;
use super::shared::Worker;
use super::stream::{poll_read, poll_write};
use crate::telemetry::LoggedLine;

/// How much of a request is kept to be sent again: its head and so much of its body.
const MOST_REPLAYED_BYTES: usize = 64 * 1024;

/// What a method allows when an upstream connection dies (RFC 9110 §9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Head,
    /// Other safe methods: asking twice changes nothing.
    Safe,
    /// PUT and DELETE: done twice, the state is the same.
    Idempotent,
    Other,
}

impl Method {
    fn of(name: &str) -> Self {
        match name {
            "HEAD" => Method::Head,
            "GET" | "OPTIONS" => Method::Safe,
            "PUT" | "DELETE" => Method::Idempotent,
            _ => Method::Other,
        }
    }

    pub(crate) fn is_safe(self) -> bool {
        matches!(self, Method::Head | Method::Safe)
    }

    pub(crate) fn is_idempotent(self) -> bool {
        self != Method::Other
    }
}

/// A request whose head has been read.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) version: Version,
    /// Whether the client would send another one on this connection.
    pub(crate) keep_alive: bool,
    /// Whether the client waits for a 100 before it sends the body.
    pub(crate) expects_continue: bool,
    pub(crate) upload: Upload,
    /// What the access log tells of it; none when there is no log.
    pub(crate) line: Option<Box<LoggedLine>>,
}

impl Request {
    /// Takes from the head all that outlives the poll which parsed it. `outgoing` is the head as it goes
    /// upstream.
    pub(crate) fn new(head: &RequestHead<'_, '_>, outgoing: Vec<u8>, line: Option<Box<LoggedLine>>) -> Self {
        Self {
            method: Method::of(head.method),
            version: head.version,
            keep_alive: head.keep_alive,
            expects_continue: head.expects_continue,
            upload: Upload {
                buffer: outgoing,
                sent: 0,
                body: Body::of(head.body),
                whole: true,
                broken: false,
            },
            line,
        }
    }
}

/// A request on its way upstream.
#[derive(Debug)]
pub(crate) struct Upload {
    /// Head and body so far, as long as all of it is kept; afterwards just what the socket did not take yet.
    buffer: Vec<u8>,
    /// How much of the buffer has been sent.
    sent: usize,
    /// What is still to come from the client.
    body: Body,
    /// Whether the buffer still begins with the head.
    whole: bool,
    /// Whether the upstream takes no more. It may have answered all the same.
    broken: bool,
}

impl Upload {
    /// Takes body bytes that arrived with the head; tells how many of them are the body's.
    pub(crate) fn begin(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let taken = self.body.advance(bytes).map_err(|bad| Failure::BadBody(bad.0))?;
        self.buffer.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// Whether the client has sent all of it.
    pub(crate) fn is_read(&self) -> bool {
        self.body.is_complete()
    }

    /// Whether all of it has gone upstream, or the upstream takes no more.
    pub(crate) fn is_done(&self) -> bool {
        self.broken || (self.body.is_complete() && self.sent == self.buffer.len())
    }

    /// Whether all of it has gone upstream.
    pub(crate) fn is_sent(&self) -> bool {
        !self.broken && self.is_done()
    }

    /// Whether it goes no further because the client has not sent the rest.
    pub(crate) fn waits_for_client(&self) -> bool {
        !self.broken && !self.body.is_complete() && self.sent == self.buffer.len()
    }

    /// Whether any of it may have arrived upstream.
    pub(crate) fn is_touched(&self) -> bool {
        self.sent > 0 || !self.whole
    }

    /// Prepares to send it all again. False: too much of it is gone.
    pub(crate) fn rewind(&mut self) -> bool {
        (self.sent, self.broken) = (0, false);
        self.whole
    }

    /// The answer has begun, so nothing will be sent again: what has been sent need not be kept.
    pub(crate) fn settle(&mut self) {
        self.whole = false;
    }

    /// Gives the buffer back.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// Moves bytes upstream until all is sent or either side must wait.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        client: &mut Client,
        upstream: &mut TcpStream,
    ) -> Poll<Result<(), Failure>> {
        while !self.is_done() {
            if self.sent < self.buffer.len() {
                match ready!(poll_write(upstream, cx, &self.buffer[self.sent..])) {
                    Ok(count) => {
                        self.sent += count;
                        // An upstream that takes it in pieces is slow, not silent.
                        if count < self.buffer.len() {
                            self.moved(worker, client);
                        }
                    }
                    Err(_) => self.broken = true,
                }
            } else {
                ready!(self.poll_more(cx, worker, client))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads the next bytes of the body. Everything before them has been sent.
    fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        client: &mut Client,
    ) -> Poll<Result<(), Failure>> {
        let mut scratch = worker.scratch.borrow_mut();
        let count = match ready!(poll_read(&mut client.stream, cx, &mut scratch)) {
            Ok(count) if count > 0 => count,
            _ => return Poll::Ready(Err(Failure::ClientGone)),
        };
        let bytes = &scratch[..count];
        let taken = self.body.advance(bytes).map_err(|bad| Failure::BadBody(bad.0))?;
        client.ahead.extend_from_slice(&bytes[taken..]);
        if self.whole && self.buffer.len() + taken > MOST_REPLAYED_BYTES {
            self.whole = false;
        }
        if !self.whole {
            self.buffer.clear();
            self.sent = 0;
        }
        self.buffer.extend_from_slice(&bytes[..taken]);
        self.moved(worker, client);
        Poll::Ready(Ok(()))
    }

    /// Sets the deadline for what comes next. A client that has to take bytes first stays under the deadline for
    /// that, however much it sends.
    fn moved(&self, worker: &Worker, client: &Client) {
        let timeouts = &worker.settings.timeouts;
        if client.outlet.is_empty() {
            client.deadline.set(if self.is_read() { timeouts.answer } else { timeouts.body });
        }
    }
}
