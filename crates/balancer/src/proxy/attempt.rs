//! From a request to the head of its answer: choose, connect, send, and again elsewhere where that is safe.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use berth_http1::forward::{Downstream, must_unchunk, passes_unchanged, write_response, write_response_with};
use berth_http1::{Body, FieldEdits, ResponseHead};
use berth_pick::{Endpoint, InFlight};

use super::answer::{AnswerBody, Answered};
use super::candidates::Candidates;
use super::chosen::Chosen;
use super::client::Client;
use super::connect;
use super::failure::Failure;
use super::record::Record;
use super::request::{Method, Request};
use super::shared::Worker;
use super::stream::Stream;
use super::view::Routed;
use super::waiting;
use crate::routing::LiveRoute;
use crate::telemetry::Side;
use crate::upstreams::TurnedAway;

/// How often a request is sent again after an endpoint took it and died. A request that kills its server must
/// not be carried through all of them.
const MOST_RESENT: usize = 2;

/// Interim answers to one request. Nobody needs many, and each is passed on.
const MOST_INTERIM: usize = 16;

/// Sends the request to one endpoint after the other until one answers.
///
/// A connection that does not come about costs the client nothing, so it moves on whatever the method. One that
/// dies after bytes were sent is tried again only where asking twice is harmless (RFC 9110 §9.2.2).
pub(crate) async fn send(
    worker: &Worker,
    client: &mut Client,
    request: &mut Request,
    mut first: Option<Chosen>,
    record: &mut Record,
) -> Result<Answered, Failure> {
    let Some(routed) = request.routed.take() else { return Err(Failure::NoRoute) };
    let sent = send_routed(worker, &routed, client, request, &mut first, record).await;
    if sent.is_err() {
        // For whoever tells the client.
        request.routed = Some(routed);
    }
    sent
}

async fn send_routed(
    worker: &Worker,
    routed: &Routed,
    client: &mut Client,
    request: &mut Request,
    first: &mut Option<Chosen>,
    record: &mut Record,
) -> Result<Answered, Failure> {
    let mut candidates = Candidates::of(routed);
    let (mut tried, mut unanswered, mut resending, mut distrusted) = (false, 0, false, false);
    loop {
        let chosen = match first.take().or_else(|| candidates.at_once(&worker.asking)) {
            None => Box::pin(waiting::place(worker, client, &mut candidates, record)).await?,
            chosen => chosen,
        };
        let Some(chosen) = chosen else {
            return Err(match (!tried, unanswered) {
                (true, _) => Failure::NoEndpoint,
                (false, 0) if distrusted => Failure::AllDistrusted,
                (false, 0) => Failure::AllUnreachable,
                (false, _) => Failure::NoAnswer,
            });
        };
        if std::mem::take(&mut resending) {
            worker.cells.resent.add(1);
        }
        let place = chosen.place();
        let backend = &*routed.view.backends[place.0];
        let begun = backend.chooser.times_answers().then(Instant::now);
        record.chosen(chosen.address());
        // Also where there is none: one before may have had one.
        if backend.sticky.is_some() || request.extras().is_some() {
            request.more().cookie = candidates.cookie(&chosen);
        }
        let endpoint = InFlight::begin(chosen);
        let failure = match on_endpoint(worker, routed, client, request, &endpoint, record).await {
            Ok((upstream, answer)) => {
                note_answer(worker, &endpoint, record, begun);
                return Ok(Answered { endpoint, upstream, answer });
            }
            Err(failure) => failure,
        };
        if failure.side() == Side::Upstream {
            endpoint.trouble().failed(worker.asking.now_ms());
        }
        match failure {
            Failure::Connect(cause) => {
                worker.cells.connect_failed.add(1);
                tracing::debug!(endpoint = %endpoint.identity(), %cause, "connect failed");
            }
            Failure::Handshake(cause) => {
                distrusted = true;
                worker.cells.connect_failed.add(1);
                worker.warn_of_handshake(&endpoint, &cause);
            }
            Failure::NoAnswer if unanswered < MOST_RESENT && may_send_again(request, Method::is_safe) => {
                unanswered += 1;
                resending = true;
            }
            failure => return Err(failure),
        }
        candidates.failed(place, endpoint.key());
        tried = true;
    }
}

/// What an answer says of its endpoint's load. One with a status from 500 up is a failure.
#[inline]
fn note_answer(worker: &Worker, endpoint: &Endpoint, record: &Record, begun: Option<Instant>) {
    let now_ms = worker.asking.now_ms();
    if let Some(load) = record.load() {
        endpoint.report().note(now_ms, load);
    }
    if record.status() >= 500 {
        return endpoint.trouble().failed(now_ms);
    }
    endpoint.trouble().answered(now_ms);
    if let Some(begun) = begun {
        endpoint.latency().note(now_ms, u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
}

/// Whether a request that was not answered may be sent again: because its method allows it, or because nothing of
/// it was sent. If so, it is ready to be.
fn may_send_again(request: &mut Request, allows: fn(Method) -> bool) -> bool {
    // Asked before it is rewound: then it would seem as if nothing of it had been sent.
    (allows(request.method) || !request.upload.is_touched()) && request.upload.rewind()
}

/// One endpoint: on an idle connection if there is one, else, or if that one turns out dead, on a new one.
async fn on_endpoint(
    worker: &Worker,
    routed: &Routed,
    client: &mut Client,
    request: &mut Request,
    endpoint: &InFlight<Chosen>,
    record: &mut Record,
) -> Result<(Stream, AnswerBody), Failure> {
    let route = routed.route();
    let is_addressed = route.edits.as_ref().is_some_and(|edits| edits.rewrite_host.is_some());
    if !is_addressed && (endpoint.authority().is_some() || request.upload.is_addressed()) {
        request.upload.address_to(endpoint.authority());
    }
    if let Some(mut upstream) = worker.pool.take(endpoint.key()) {
        match wait(worker, route, client, request, &mut upstream, record).await {
            // It closed just as we sent: nobody's fault, and not a failure of the endpoint.
            Err(Failure::NoAnswer) if may_send_again(request, Method::is_idempotent) => {
                worker.cells.stale.add(1);
            }
            other => return other.map(|answer| (upstream, answer)),
        }
    }
    // On the heap: a client that waits for its next request should not carry the room for it.
    let mut upstream = Box::pin(connect(worker, client, routed, endpoint)).await?;
    let answer = wait(worker, route, client, request, &mut upstream, record).await?;
    Ok((upstream, answer))
}

/// A new connection, unless too many requests of the backend wait for one.
async fn connect(
    worker: &Worker,
    client: &Client,
    routed: &Routed,
    endpoint: &InFlight<Chosen>,
) -> Result<Stream, Failure> {
    let backend = &routed.view.backends[endpoint.handle().place().0];
    let most = backend.about.capacity.most_pending.unwrap_or(routed.view.general.most_pending);
    let Some(_pending) = backend.lasting.places.pending(most.into()) else {
        backend.lasting.places.turn_away(TurnedAway::Pending);
        return Err(Failure::TurnedAway(TurnedAway::Pending));
    };
    connect::to(worker, client, endpoint).await
}

/// Sends the request on one connection and waits for the head of the final answer.
async fn wait(
    worker: &Worker,
    route: &LiveRoute,
    client: &mut Client,
    request: &mut Request,
    upstream: &mut Stream,
    record: &mut Record,
) -> Result<AnswerBody, Failure> {
    let timeouts = client.timeouts;
    client.deadline.set(if request.upload.is_read() { timeouts.answer } else { timeouts.body });
    client.deadline.look_later();
    let (early, interim, watches) = (Vec::new(), 0, false);
    let edits = route.response_headers.as_ref();
    let mut wait = Wait { worker, edits, client, request, upstream, record, early, interim, watches };
    poll_fn(|cx| wait.poll(cx)).await
}

struct Wait<'a> {
    worker: &'a Worker,
    /// What is changed in the answer.
    edits: Option<&'a FieldEdits>,
    client: &'a mut Client,
    request: &'a mut Request,
    upstream: &'a mut Stream,
    record: &'a mut Record,
    /// The beginning of a head that is not all there.
    early: Vec<u8>,
    /// Interim answers so far.
    interim: usize,
    /// Whether the client is watched for a broken connection.
    watches: bool,
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
        self.watches |= self.client.deadline.takes_look();
        if self.watches && self.request.upload.is_read() && self.client.is_gone(cx) {
            return Poll::Ready(Err(Failure::ClientGone));
        }
        if self.client.deadline.is_over() { Poll::Ready(Err(self.late())) } else { Poll::Pending }
    }

    /// Whose fault it is that the deadline has passed.
    fn late(&self) -> Failure {
        // A client that was promised an interim answer is right to wait for it.
        let was_promised = self.request.expects_continue && self.interim == 0;
        if self.request.upload.waits_for_client() && !was_promised {
            return Failure::ClientStalled;
        }
        Failure::AnswerTimeout
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
                _ => return Poll::Ready(Err(Failure::BadAnswer("it ends within its head"))),
            };
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
        write_response_with(head, client, self.edits, self.request.cookie(), &mut outgoing);
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
        let passes = self.edits.is_none() && request.cookie().is_empty() && passes_unchanged(head, client);
        let sent = if passes {
            let taken = answer.take(&bytes[length..]).map_err(Failure::BadAnswer)?;
            outlet.send(&mut self.client.stream, cx, &bytes[..length + taken])
        } else {
            let mut outgoing = self.worker.buffers.take();
            write_response_with(head, client, self.edits, request.cookie(), &mut outgoing);
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
}
