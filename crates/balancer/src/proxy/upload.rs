//! A request on its way upstream: its head, what of its body may have to be sent again, and the rest.

use std::task::{Context, Poll, ready};

use berth_http1::Body;
use berth_http1::forward::replace_host;

use super::client::Client;
use super::failure::Failure;
use super::shared::Worker;
use super::splice::Splice;
use super::stream::Stream;

/// How much of a request is kept to be sent again: its head and so much of its body.
const MOST_REPLAYED_BYTES: usize = 64 * 1024;

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
    /// Whether it goes no further: the upstream takes no more, or the client sends no more of a request that has been
    /// answered already.
    broken: bool,
    /// Whether the answer has begun.
    settled: bool,
    /// The longest body that its route allows, in bytes.
    most_bytes: u64,
    /// The client's own Host while an upstream's stands in its place.
    own_host: Option<Vec<u8>>,
    /// A way through the kernel for the rest of a long body.
    splice: Option<Splice>,
}

impl Upload {
    /// A request of which only the head has been read.
    #[inline]
    pub(crate) fn new(head: Vec<u8>, body: Body, most_bytes: u64) -> Self {
        Self {
            buffer: head,
            sent: 0,
            body,
            whole: true,
            broken: false,
            settled: false,
            most_bytes,
            own_host: None,
            splice: None,
        }
    }

    /// Takes body bytes that arrived with the head; tells how many of them are the body's.
    pub(crate) fn begin(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let taken = self.advance(bytes)?;
        self.check_length()?;
        self.buffer.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn advance(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        self.body.advance(bytes).map_err(|bad| Failure::BadBody(bad.0))
    }

    fn check_length(&self) -> Result<(), Failure> {
        // A length that was announced has been checked with the head.
        if let Body::Chunked(chunks) = &self.body
            && chunks.content_bytes().saturating_add(chunks.unseen()) > self.most_bytes
        {
            return Err(Failure::BodyTooLarge);
        }
        Ok(())
    }

    /// The request target in the head, as it would go upstream.
    pub(crate) fn target(&self) -> &[u8] {
        self.buffer.split(|byte| *byte == b' ').nth(1).unwrap_or_default()
    }

    /// Whether the client has sent all of it.
    #[inline]
    pub(crate) fn is_read(&self) -> bool {
        self.body.is_complete()
    }

    /// Whether all of it has gone upstream, or the upstream takes no more.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.broken || (self.body.is_complete() && self.sent == self.buffer.len() && self.splice.is_none())
    }

    /// Whether all of it has gone upstream.
    pub(crate) fn is_sent(&self) -> bool {
        !self.broken && self.is_done()
    }

    /// Whether it goes no further because the client has not sent the rest.
    pub(crate) fn waits_for_client(&self) -> bool {
        let is_sent = self.sent == self.buffer.len() && self.splice.as_ref().is_none_or(Splice::is_empty);
        !self.broken && !self.body.is_complete() && is_sent
    }

    /// Whether any of it may have arrived upstream.
    pub(crate) fn is_touched(&self) -> bool {
        self.sent > 0 || !self.whole
    }

    /// Whether all of it that has been read is kept, and could be sent again.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Prepares to send it all again. False: too much of it is gone.
    pub(crate) fn rewind(&mut self) -> bool {
        (self.sent, self.broken) = (0, false);
        self.whole
    }

    /// The answer has begun, so nothing will be sent again: what has been sent need not be kept.
    pub(crate) fn settle(&mut self, worker: &Worker) {
        (self.whole, self.settled) = (false, true);
        if self.sent == self.buffer.len() {
            worker.buffers.give(std::mem::take(&mut self.buffer));
            self.sent = 0;
        }
    }

    /// Puts the name that an upstream goes by in the place of the client's Host, or the client's back.
    #[cold]
    pub(crate) fn address_to(&mut self, authority: Option<&str>) {
        let own = self.own_host.take();
        match (authority, own) {
            (Some(authority), own) => {
                let before = replace_host(&mut self.buffer, authority.as_bytes());
                self.own_host = own.or(before);
            }
            (None, Some(own)) => {
                replace_host(&mut self.buffer, &own);
            }
            (None, None) => {}
        }
    }

    /// Whether the Host in it is not the client's own.
    #[inline]
    pub(crate) fn is_addressed(&self) -> bool {
        self.own_host.is_some()
    }

    /// Gives back what was borrowed from the worker.
    pub(crate) fn release(&mut self, worker: &Worker) {
        worker.buffers.give(std::mem::take(&mut self.buffer));
        if let Some(splice) = self.splice.take() {
            worker.pipes.give(splice);
        }
    }

    /// Moves bytes upstream until all is sent or either side must wait.
    #[inline]
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        client: &mut Client,
        upstream: &mut Stream,
    ) -> Poll<Result<(), Failure>> {
        while !self.is_done() {
            if self.sent < self.buffer.len() {
                match ready!(upstream.poll_write(cx, &self.buffer[self.sent..])) {
                    Ok(count) => {
                        self.sent += count;
                        // An upstream that takes it in pieces is slow, not silent.
                        if count < self.buffer.len() {
                            self.moved(client);
                        }
                    }
                    Err(_) => self.broken = true,
                }
            } else if ready!(upstream.poll_flush(cx)).is_err() {
                self.broken = true;
            } else {
                ready!(self.poll_more(cx, worker, client, upstream))?;
            }
        }
        // Nothing but TLS has anything to flush. If it fails, that shows when the answer is read.
        upstream.poll_flush(cx).map(|_| Ok(()))
    }

    /// Reads the next bytes of the body. Everything before them has been sent.
    fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        client: &mut Client,
        upstream: &mut Stream,
    ) -> Poll<Result<(), Failure>> {
        if !self.whole && self.splice.is_none() {
            let unseen = self.body.unseen();
            self.splice = worker.pipes.splice(unseen, &mut client.stream, upstream);
        }
        if self.splice.is_some() {
            return self.poll_spliced(cx, worker, client, upstream);
        }
        let mut scratch = worker.scratch.borrow_mut();
        let count = match ready!(client.stream.poll_read(cx, &mut scratch)) {
            Ok(count) if count > 0 => count,
            ended => return Poll::Ready(self.client_ended(ended.is_ok())),
        };
        let bytes = &scratch[..count];
        let taken = self.advance(bytes)?;
        // Also behind a body that is refused: it may be all there, and then the client goes on.
        client.ahead.extend_from_slice(&bytes[taken..]);
        self.check_length()?;
        if self.whole && self.buffer.len() + taken > MOST_REPLAYED_BYTES {
            self.whole = false;
        }
        if !self.whole {
            self.buffer.clear();
            self.sent = 0;
        }
        self.buffer.extend_from_slice(&bytes[..taken]);
        self.moved(client);
        Poll::Ready(Ok(()))
    }

    /// Moves what need not be looked at through a pipe.
    fn poll_spliced(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        client: &Client,
        upstream: &Stream,
    ) -> Poll<Result<(), Failure>> {
        let sockets = client.stream.plain().zip(upstream.plain());
        let (Some((from, to)), Some(splice)) = (sockets, &mut self.splice) else {
            return Poll::Ready(Ok(()));
        };
        loop {
            while !splice.is_empty() {
                if ready!(splice.poll_drain(cx, to)).is_err() {
                    self.broken = true;
                    return Poll::Ready(Ok(()));
                }
                set_deadline(&self.body, client);
            }
            let unseen = self.body.unseen();
            if unseen == 0 {
                break;
            }
            match ready!(splice.poll_fill(cx, from, unseen)) {
                Ok(count) if count > 0 => self.body.pass(count as u64),
                ended => return Poll::Ready(self.client_ended(ended.is_ok())),
            }
            set_deadline(&self.body, client);
        }
        if let Some(splice) = self.splice.take() {
            worker.pipes.give(splice);
        }
        Poll::Ready(Ok(()))
    }

    /// The client sends no more, though its request is not whole. It still gets the rest of an answer that has begun.
    fn client_ended(&mut self, in_order: bool) -> Result<(), Failure> {
        if !(in_order && self.settled) {
            return Err(Failure::ClientGone);
        }
        self.broken = true;
        Ok(())
    }

    fn moved(&self, client: &Client) {
        set_deadline(&self.body, client);
    }
}

/// Sets the deadline for what comes next. A client that has to take bytes first stays under the deadline for that,
/// however much it sends.
fn set_deadline(body: &Body, client: &Client) {
    let timeouts = client.timeouts;
    if client.outlet.is_empty() {
        client.deadline.set(if body.is_complete() { timeouts.answer } else { timeouts.body });
    }
}
