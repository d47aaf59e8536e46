//! From a request to the head of its answer: choose, connect, send, and again elsewhere where that is safe.

use std::time::Instant;

use berth_pick::{Endpoint, InFlight};

use super::answer::{AnswerBody, Answered};
use super::answer_head::wait;
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
use crate::telemetry::Side;
use crate::upstreams::TurnedAway;

/// How often a request is sent again after an endpoint took it and died. A request that kills its server must
/// not be carried through all of them.
const MOST_RESENT: usize = 2;

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
