//! From a request to the head of its answer: choose, connect, send, and again elsewhere where that is safe.

use std::time::{Duration, Instant};

use berth_pick::{Endpoint, InFlight, Signal};

use super::answer::{AnswerBody, Answered};
use super::answer_head::wait;
use super::chosen::Chosen;
use super::client::Client;
use super::connect;
use super::failure::Failure;
use super::record::Record;
use super::request::Request;
use super::shared::Worker;
use super::stream::Stream;
use super::tries::Tries;
use super::waiting;
use crate::telemetry::{Retried, Side};
use crate::upstreams::{TurnedAway, is_our_own};

/// Sends the request to one endpoint after the other until one answers.
///
/// A connection that does not come about costs the client nothing, so it moves on whatever the method, and so it does if
/// nothing of it was sent. What may have arrived is sent again only where asking twice is harmless (RFC 9110 §9.2.2), and
/// as the route and the budget allow.
pub(crate) async fn send(
    worker: &Worker,
    client: &mut Client,
    request: &mut Request,
    mut first: Option<Chosen>,
    record: &mut Record,
) -> Result<Answered, Failure> {
    let Some(routed) = request.routed.take() else { return Err(Failure::NoRoute) };
    let mut tries = Tries::of(routed);
    let sent = send_routed(worker, &mut tries, client, request, &mut first, record).await;
    if sent.is_err() {
        // For whoever tells the client.
        request.routed = Some(tries.candidates.into_routed());
    }
    sent
}

async fn send_routed(
    worker: &Worker,
    tries: &mut Tries,
    client: &mut Client,
    request: &mut Request,
    first: &mut Option<Chosen>,
    record: &mut Record,
) -> Result<Answered, Failure> {
    let mut resending = false;
    loop {
        let chosen = match first.take().or_else(|| tries.candidates.at_once(&worker.asking)) {
            None => Box::pin(waiting::place(worker, client, &mut tries.candidates, record)).await?,
            chosen => chosen,
        };
        let Some(chosen) = chosen.or_else(|| tries.candidates.of_reserve(&worker.asking)) else {
            if tries.candidates.renew(worker) || tries.candidates.begin_anew() {
                continue;
            }
            return Err(tries.end());
        };
        if tries.candidates.passes_over(&chosen) {
            continue;
        }
        if std::mem::take(&mut resending) {
            worker.cells.resent.add(1);
        }
        let backend = tries.candidates.backend_of(&chosen);
        let begun = backend.chooser.times_answers().then(Instant::now);
        record.chosen(chosen.address());
        // Also where there is none: one before may have had one.
        if backend.sticky.is_some() || request.extras().is_some() {
            request.more().cookie = tries.candidates.cookie(&chosen);
        }
        let endpoint = InFlight::begin(chosen);
        let failure = match on_endpoint(worker, tries, client, request, &endpoint, record).await {
            Ok((upstream, answer)) => {
                note_answer(worker, &endpoint, record, begun);
                return Ok(Answered { endpoint, upstream, answer });
            }
            Err(failure) => failure,
        };
        resending = go_on(worker, tries, request, &endpoint, failure)?;
        // However many cannot be reached: each try has its time.
        let longest = Duration::from_millis(client.timeouts.answer.get());
        if !resending && record.asked_for() / (tries.retried() + 1) > longest {
            return Err(tries.end());
        }
    }
}

/// Goes on to the next endpoint, if the request may be sent again. True if it was sent to this one.
#[cold]
fn go_on(
    worker: &Worker,
    tries: &mut Tries,
    request: &mut Request,
    endpoint: &InFlight<Chosen>,
    failure: Failure,
) -> Result<bool, Failure> {
    let is_own = matches!(&failure, Failure::Connect(cause) if is_our_own(cause));
    if failure.side() == Side::Upstream && !is_own {
        endpoint.trouble().failed(worker.asking.now_ms());
    }
    doubt(worker, endpoint, &failure);
    let is_touched = request.upload.is_touched();
    let is_unreachable = match &failure {
        Failure::Connect(cause) => {
            worker.cells.connect_failed.add(1);
            tracing::debug!(endpoint = %endpoint.identity(), %cause, "connect failed");
            true
        }
        Failure::Handshake(cause) => {
            worker.cells.connect_failed.add(1);
            worker.warn_of_handshake(endpoint, cause);
            true
        }
        Failure::NoAnswer if !is_touched => true,
        Failure::NoAnswer | Failure::HeadBrokeOff { is_behind_interim: false }
            if tries.take_retry(worker, request, Retried::Reset) =>
        {
            false
        }
        Failure::AnswerTimeout if tries.take_retry(worker, request, Retried::Timeout) => false,
        // It was asked before whether it may.
        Failure::GivenUp | Failure::Stale | Failure::Declined { .. } => false,
        _ => return Err(failure),
    };
    tries.met(&failure);
    request.upload.rewind();
    tries.candidates.failed(endpoint.handle().place(), endpoint.key(), is_unreachable);
    Ok(is_touched)
}

/// Tells what a failure makes one think of an endpoint.
#[cold]
pub(crate) fn doubt(worker: &Worker, endpoint: &Endpoint, failure: &Failure) {
    if let Some(signal) = failure.signal() {
        worker.signal(endpoint, signal);
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
        worker.signal(endpoint, Signal::Error);
        return endpoint.trouble().failed(now_ms);
    }
    endpoint.trouble().answered(now_ms);
    if let Some(begun) = begun {
        endpoint.latency().note(now_ms, u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
}

/// One endpoint: on an idle connection if there is one, else, or if that one turns out dead, on a new one. What was sent
/// on the dead one goes to somebody else if there is anybody.
async fn on_endpoint(
    worker: &Worker,
    tries: &mut Tries,
    client: &mut Client,
    request: &mut Request,
    endpoint: &InFlight<Chosen>,
    record: &mut Record,
) -> Result<(Stream, AnswerBody), Failure> {
    let route = tries.route();
    let is_addressed = route.edits.as_ref().is_some_and(|edits| edits.rewrite_host.is_some());
    if !is_addressed && (endpoint.authority().is_some() || request.upload.is_addressed()) {
        request.upload.address_to(endpoint.authority());
    }
    // The first choice is made as soon as the request is there.
    let is_first = tries.candidates.is_first() && !record.has_waited();
    let now = if is_first { record.started() } else { Instant::now() };
    if let Some(mut upstream) = worker.take_idle(endpoint.key(), now) {
        match wait(worker, tries, client, request, endpoint, &mut upstream, record).await {
            // It closed just as we sent: nobody's fault, and not a failure of the endpoint.
            Err(Failure::NoAnswer) if may_send_again(worker, tries, request) => {
                worker.cells.stale.add(1);
                if request.upload.is_touched() && tries.candidates.has_other(worker, endpoint) {
                    return Err(Failure::Stale);
                }
                request.upload.rewind();
            }
            Err(failure) => return Err(drop_answer(worker, endpoint, upstream, failure)),
            Ok(answer) => return Ok((upstream, answer)),
        }
    }
    // On the heap: a client that waits for its next request should not carry the room for it.
    let mut upstream = Box::pin(connect(worker, client, tries, endpoint)).await?;
    match wait(worker, tries, client, request, endpoint, &mut upstream, record).await {
        Err(failure) => Err(drop_answer(worker, endpoint, upstream, failure)),
        Ok(answer) => Ok((upstream, answer)),
    }
}

/// Whether a request may be sent again that got no answer on a kept connection. What was not sent at all may in any case.
#[cold]
fn may_send_again(worker: &Worker, tries: &mut Tries, request: &Request) -> bool {
    !request.upload.is_touched() || tries.take_retry(worker, request, Retried::Reset)
}

/// Lets go of a connection, unless the answer that goes no further has come to its end there.
#[cold]
fn drop_answer(worker: &Worker, endpoint: &Endpoint, upstream: Stream, failure: Failure) -> Failure {
    if matches!(failure, Failure::Declined { is_reusable: true, .. }) {
        worker.keep_idle(endpoint, upstream);
    }
    failure
}

/// A new connection, unless too many requests of the backend wait for one.
async fn connect(
    worker: &Worker,
    client: &Client,
    tries: &Tries,
    endpoint: &InFlight<Chosen>,
) -> Result<Stream, Failure> {
    let view = &tries.candidates.routed().view;
    let backend = &view.backends[endpoint.handle().place().0];
    let most = backend.about.capacity.most_pending.unwrap_or(view.general.most_pending);
    let Some(_pending) = backend.lasting.places.pending(most.into()) else {
        backend.lasting.places.turn_away(TurnedAway::Pending);
        return Err(Failure::TurnedAway(TurnedAway::Pending));
    };
    connect::to(worker, client, &tries.candidates, endpoint).await
}
