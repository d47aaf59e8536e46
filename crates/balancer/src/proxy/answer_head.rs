//! The head of an answer: waited for while the request still goes out, read, and sent on.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use berth_http1::forward::{Downstream, must_unchunk, passes_unchanged, write_response, write_response_with};
use berth_http1::{Body, ResponseHead};
use berth_pick::Endpoint;

use super::answer::AnswerBody;
use super::client::Client;
use super::doubt::{Doubt, LOOK_AGAIN_MS};
use super::failure::Failure;
use super::record::Record;
use super::request::{Method, Request};
use super::shared::Worker;
use super::stream::Stream;
use super::tries::Tries;
use crate::telemetry::Retried;

/// Interim answers to one request. Nobody needs many, and each is passed on.
const MOST_INTERIM: u8 = 16;

/// Sends the request on one connection and waits for the head of the final answer.
pub(crate) async fn wait(
    worker: &Worker,
    tries: &mut Tries,
    client: &mut Client,
    request: &mut Request,
    endpoint: &Endpoint,
    upstream: &mut Stream,
    record: &mut Record,
) -> Result<AnswerBody, Failure> {
    let timeouts = client.timeouts;
    client.deadline.set(if request.upload.is_read() { timeouts.answer } else { timeouts.body });
    client.deadline.look_later();
    let (early, interim, watches, doubt) = (Vec::new(), 0, false, Doubt::begin(worker));
    let mut wait =
        Wait { worker, tries, client, request, endpoint, upstream, record, early, interim, watches, doubt };
    poll_fn(|cx| wait.poll(cx)).await
}

struct Wait<'a> {
    worker: &'a Worker,
    tries: &'a mut Tries,
    client: &'a mut Client,
    request: &'a mut Request,
    endpoint: &'a Endpoint,
    upstream: &'a mut Stream,
    record: &'a mut Record,
    /// The beginning of a head that is not all there.
    early: Vec<u8>,
    /// Interim answers so far.
    interim: u8,
    /// Whether the client is watched for a broken connection.
    watches: bool,
    doubt: Doubt,
}

impl Wait<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<AnswerBody, Failure>> {
        // The upstream may answer before it has the whole request, so neither side waits for the other.
        if let Poll::Ready(Err(failure)) =
            self.request.upload.poll(cx, self.worker, self.client, self.upstream)
        {
            return Poll::Ready(Err(failure));
        }
        if let Poll::Ready(answer) = self.poll_answer(cx) {
            return Poll::Ready(answer);
        }
        if self.client.deadline.takes_look() && self.goes_elsewhere() {
            return Poll::Ready(Err(Failure::GivenUp));
        }
        if self.watches && self.request.upload.is_read() && self.client.is_gone(cx) {
            return Poll::Ready(Err(Failure::ClientGone));
        }
        if self.client.deadline.is_over() { Poll::Ready(Err(self.late())) } else { Poll::Pending }
    }

    /// Looks around, after a while and whenever an endpoint is given up. True if the request is better off elsewhere.
    #[cold]
    fn goes_elsewhere(&mut self) -> bool {
        self.watches = true;
        let (worker, endpoint) = (self.worker, self.endpoint);
        if !endpoint.signals().is_given_up() {
            // Who waits for us is not silent.
            let is_asked = !self.request.upload.waits_for_client() || self.owes_interim();
            self.doubt.look(worker, self.client, endpoint, is_asked);
            return false;
        }
        let goes = self.interim == 0
            && self.tries.candidates.has_other(worker, endpoint)
            && self.tries.take_retry(worker, self.request, Retried::Silence);
        if !goes {
            // Somebody may come.
            self.client.deadline.look_after(LOOK_AGAIN_MS);
        }
        goes
    }

    /// Whose fault it is that the deadline has passed.
    fn late(&self) -> Failure {
        if self.request.upload.waits_for_client() && !self.owes_interim() {
            return Failure::ClientStalled;
        }
        Failure::AnswerTimeout
    }

    /// Whether the client is right to wait for an interim answer before it goes on.
    fn owes_interim(&self) -> bool {
        self.request.expects_continue && self.interim == 0
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<AnswerBody, Failure>> {
        let worker = self.worker;
        loop {
            // An interim answer that the client does not take holds up what follows it.
            let flushed = ready!(self.client.outlet.poll_flush(&mut self.client.stream, cx));
            flushed.map_err(|_| Failure::ClientGone)?;
            let mut scratch = worker.scratch.borrow_mut();
            let count = match ready!(self.upstream.poll_read(cx, &mut scratch)) {
                Ok(count) if count > 0 => count,
                // An interim answer shows that the request has arrived.
                _ if self.early.is_empty() && self.interim == 0 => {
                    return Poll::Ready(Err(Failure::NoAnswer));
                }
                _ => {
                    let is_behind_interim = self.interim > 0;
                    return Poll::Ready(Err(Failure::HeadBrokeOff { is_behind_interim }));
                }
            };
            self.endpoint.signals().heard(worker.asking.now_ms());
            let answer = if self.early.is_empty() {
                self.begin(cx, &scratch[..count])?
            } else {
                let mut early = std::mem::take(&mut self.early);
                early.extend_from_slice(&scratch[..count]);
                self.begin(cx, &early)?
            };
            if let Some(answer) = answer {
                return Poll::Ready(Ok(answer));
            }
        }
    }

    /// Reads the heads at the front of `bytes`. Interim ones are passed on; the final one is sent to the client
    /// with as much of the body as came with it.
    fn begin(&mut self, cx: &mut Context<'_>, mut bytes: &[u8]) -> Result<Option<AnswerBody>, Failure> {
        let (worker, to_head) = (self.worker, self.request.method == Method::Head);
        loop {
            let mut lines = worker.lines.borrow_mut();
            let head =
                ResponseHead::parse(bytes, &mut lines, to_head).map_err(|bad| Failure::BadAnswer(bad.0))?;
            let Some(head) = head else {
                self.early = bytes.to_vec();
                return Ok(None);
            };
            let (interim, length) = (head.status < 200, head.bytes.len());
            if head.status == 101 {
                return self.switch(cx, &head, bytes).map(Some);
            }
            if !interim {
                return self.begin_final(cx, &head, bytes).map(Some);
            }
            self.interim += 1;
            if self.interim > MOST_INTERIM {
                return Err(Failure::BadAnswer("it begins with too many interim answers"));
            }
            self.pass_interim(cx, &head)?;
            bytes = &bytes[length..];
        }
    }

    fn pass_interim(&mut self, cx: &mut Context<'_>, head: &ResponseHead<'_>) -> Result<(), Failure> {
        // RFC 9110 §15.2: a client of HTTP/1.0 does not know them.
        if self.request.version == berth_http1::Version::Http10 {
            return Ok(());
        }
        let mut outgoing = self.worker.buffers.take();
        let client = Downstream { version: self.request.version, keep_alive: true };
        write_response(head, client, None, &mut outgoing);
        let sent = self.client.outlet.send(&mut self.client.stream, cx, &outgoing);
        self.worker.buffers.give(outgoing);
        sent.map_err(|_| Failure::ClientGone)
    }

    /// Passes on a 101, and whatever the upstream has said behind it.
    fn switch(
        &mut self,
        cx: &mut Context<'_>,
        head: &ResponseHead<'_>,
        bytes: &[u8],
    ) -> Result<AnswerBody, Failure> {
        // Whoever switches has read what asked for it, to the end (RFC 9110 §7.8).
        let asked = self.request.extras().and_then(|extras| extras.upgrade.as_ref());
        let was_asked = asked.is_some_and(|asked| head.switches_to(asked));
        if !was_asked || !self.request.upload.is_sent() {
            return Err(Failure::BadAnswer("it switches to a protocol that nobody asked for"));
        }
        let mut outgoing = self.worker.buffers.take();
        let client = Downstream { version: self.request.version, keep_alive: true };
        let edits = self.tries.route().response_headers.as_ref();
        write_response_with(head, client, edits, self.request.cookie(), &mut outgoing);
        outgoing.extend_from_slice(&bytes[head.bytes.len()..]);
        self.record.answered(head.status);
        let sent = self.client.outlet.send(&mut self.client.stream, cx, &outgoing);
        self.worker.buffers.give(outgoing);
        self.record.begun();
        self.request.upload.settle(self.worker);
        sent.map_err(|_| Failure::ClientGone)?;
        let mut answer = AnswerBody::new(Body::Exactly(0), false, false, false);
        answer.switches = true;
        Ok(answer)
    }

    fn begin_final(
        &mut self,
        cx: &mut Context<'_>,
        head: &ResponseHead<'_>,
        bytes: &[u8],
    ) -> Result<AnswerBody, Failure> {
        if head.status >= 500 && self.declines(head.status) {
            let is_reusable = self.is_over_with(head, bytes);
            return Err(Failure::Declined { status: head.status, is_reusable });
        }
        let edits = self.tries.route().response_headers.as_ref();
        let request = &mut *self.request;
        let unchunk = must_unchunk(head.body, request.version);
        let until_close = unchunk || head.body == berth_http1::BodyLength::UntilClose;
        let keep_alive =
            request.keep_alive && !until_close && request.upload.is_read() && !self.worker.draining.get();
        let client = Downstream { version: request.version, keep_alive };
        let mut answer = AnswerBody::new(Body::of(head.body), unchunk, head.keep_alive, keep_alive);
        let length = head.bytes.len();
        self.record.answered(head.status);
        if let Some(load) = head.load {
            self.record.reports(load);
        }
        let outlet = &mut self.client.outlet;
        let passes = edits.is_none() && request.cookie().is_empty() && passes_unchanged(head, client);
        let sent = if passes {
            let taken = answer.take(&bytes[length..]).map_err(Failure::BadAnswer)?;
            outlet.send(&mut self.client.stream, cx, &bytes[..length + taken])
        } else {
            let mut outgoing = self.worker.buffers.take();
            write_response_with(head, client, edits, request.cookie(), &mut outgoing);
            answer.append(&bytes[length..], &mut outgoing).map_err(Failure::BadAnswer)?;
            let sent = outlet.send(&mut self.client.stream, cx, &outgoing);
            self.worker.buffers.give(outgoing);
            sent
        };
        self.record.begun();
        request.upload.settle(self.worker);
        sent.map_err(|_| Failure::ClientGone)?;
        Ok(answer)
    }

    /// Whether the answer goes no further, because the request goes elsewhere.
    #[cold]
    fn declines(&mut self, status: u16) -> bool {
        self.interim == 0 && self.tries.declines(self.worker, self.request, self.endpoint, status)
    }

    /// Whether an answer that goes no further leaves its connection as it was.
    #[cold]
    fn is_over_with(&self, head: &ResponseHead<'_>, bytes: &[u8]) -> bool {
        let mut answer = AnswerBody::new(Body::of(head.body), false, head.keep_alive, false);
        let is_read = answer.take(&bytes[head.bytes.len()..]).is_ok();
        is_read && answer.is_complete() && answer.reusable && self.request.upload.is_sent()
    }
}
