//! The rest of an answer, and of a request that its upstream has begun to answer early: bodies both ways, with
//! back-pressure.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use berth_http1::Body;

use super::answer::{AnswerBody, Answered};
use super::client::{Client, Next};
use super::failure::Failure;
use super::record::Record;
use super::request::Request;
use super::shared::Worker;
use super::splice::Splice;
use super::tunnel;

/// Relays the bodies to their end.
pub(crate) async fn run(
    worker: &Worker,
    client: &mut Client,
    request: &mut Request,
    held: &mut Answered,
    record: &mut Record,
) -> Result<Next, Failure> {
    if held.answer.switches {
        held.endpoint.handle_mut().let_go_of_view();
        let ended = Box::pin(tunnel::run(worker, client, &mut held.upstream)).await;
        record.relayed(ended.to_client_bytes);
        return Ok(ended.next);
    }
    let outcome = if held.answer.is_complete() && client.outlet.is_empty() && request.upload.is_done() {
        Ok(())
    } else {
        relay(worker, client, request, held).await
    };
    record.relayed(held.answer.relayed_bytes);
    outcome?;
    held.answer.reusable &= request.upload.is_sent();
    Ok(match held.answer.keep_alive {
        true => Next::Continue,
        // Who asked for the end sends nothing more (RFC 9112 §9.6).
        false if !request.keep_alive && request.upload.is_read() => Next::End,
        false => Next::Close,
    })
}

async fn relay(
    worker: &Worker,
    client: &mut Client,
    request: &mut Request,
    held: &mut Answered,
) -> Result<(), Failure> {
    let timeouts = client.timeouts;
    client.deadline.set(if client.outlet.is_empty() { timeouts.body } else { timeouts.send });
    client.deadline.stop_looking();
    // It may last: it must not hold on to all endpoints that were there when it began.
    held.endpoint.handle_mut().let_go_of_view();
    let mut splice = None;
    let outcome = poll_fn(|cx| poll_bodies(cx, worker, client, request, held, &mut splice)).await;
    if let Some(splice) = splice {
        worker.pipes.give(splice);
    }
    outcome
}

fn poll_bodies(
    cx: &mut Context<'_>,
    worker: &Worker,
    client: &mut Client,
    request: &mut Request,
    held: &mut Answered,
    splice: &mut Option<Splice>,
) -> Poll<Result<(), Failure>> {
    if let Poll::Ready(Err(failure)) = request.upload.poll(cx, worker, client, &mut held.upstream) {
        return Poll::Ready(Err(failure));
    }
    match poll_answer(cx, worker, client, held, splice) {
        Poll::Pending if client.deadline.is_over() => {
            let is_read = client.outlet.is_empty() && splice.as_ref().is_none_or(Splice::is_empty);
            Poll::Ready(Err(if is_read { Failure::FellSilent } else { Failure::ClientNotReading }))
        }
        other => other,
    }
}

fn poll_answer(
    cx: &mut Context<'_>,
    worker: &Worker,
    client: &mut Client,
    held: &mut Answered,
    splice: &mut Option<Splice>,
) -> Poll<Result<(), Failure>> {
    let timeouts = client.timeouts;
    loop {
        while !client.outlet.is_empty() {
            ready!(client.outlet.poll_piece(&mut client.stream, cx)).map_err(|_| Failure::ClientGone)?;
            client.deadline.set(if client.outlet.is_empty() { timeouts.body } else { timeouts.send });
        }
        client.outlet.release();
        if splice.is_none() {
            let unseen = held.answer.body.unseen();
            *splice = worker.pipes.splice(unseen, &mut held.upstream, &mut client.stream);
        }
        if let Some(mut piped) = splice.take() {
            let moved = poll_spliced(cx, worker, client, held, &mut piped);
            if moved.is_pending() {
                *splice = Some(piped);
            } else {
                worker.pipes.give(piped);
            }
            ready!(moved)?;
        }
        if held.answer.is_complete() {
            return Poll::Ready(Ok(()));
        }
        let mut scratch = worker.scratch.borrow_mut();
        match ready!(held.upstream.poll_read(cx, &mut scratch)) {
            Ok(count) if count > 0 => {
                held.endpoint.signals().heard(worker.asking.now_ms());
                send_on(cx, worker, client, &mut held.answer, &scratch[..count])?;
            }
            ended => end(&mut held.answer, ended.is_ok())?,
        }
        client.deadline.set(if client.outlet.is_empty() { timeouts.body } else { timeouts.send });
    }
}

/// Moves what need not be looked at through a pipe, which is empty again at the end.
fn poll_spliced(
    cx: &mut Context<'_>,
    worker: &Worker,
    client: &mut Client,
    held: &mut Answered,
    splice: &mut Splice,
) -> Poll<Result<(), Failure>> {
    let timeouts = client.timeouts;
    let (Some(upstream), Some(socket)) = (held.upstream.plain(), client.stream.plain()) else {
        return Poll::Ready(Ok(()));
    };
    loop {
        while !splice.is_empty() {
            ready!(splice.poll_drain(cx, socket)).map_err(|_| Failure::ClientGone)?;
            client.deadline.set(if splice.is_empty() { timeouts.body } else { timeouts.send });
        }
        let unseen = held.answer.body.unseen();
        if unseen == 0 || held.answer.ended {
            return Poll::Ready(Ok(()));
        }
        match ready!(splice.poll_fill(cx, upstream, unseen)) {
            Ok(count) if count > 0 => {
                held.answer.pass(count as u64);
                held.endpoint.signals().heard(worker.asking.now_ms());
                client.deadline.set(timeouts.send);
            }
            ended => end(&mut held.answer, ended.is_ok())?,
        }
    }
}

/// The upstream's connection has ended: that is the end of a body which has no other, if it was said in order.
fn end(answer: &mut AnswerBody, in_order: bool) -> Result<(), Failure> {
    if in_order && matches!(answer.body, Body::UntilClose) {
        answer.ended = true;
        return Ok(());
    }
    Err(Failure::BrokeOff)
}

fn send_on(
    cx: &mut Context<'_>,
    worker: &Worker,
    client: &mut Client,
    answer: &mut AnswerBody,
    bytes: &[u8],
) -> Result<(), Failure> {
    let sent = if answer.unchunk {
        let mut content = worker.buffers.take();
        answer.append(bytes, &mut content).map_err(Failure::Truncated)?;
        let sent = client.outlet.send(&mut client.stream, cx, &content);
        worker.buffers.give(content);
        sent
    } else {
        let taken = answer.take(bytes).map_err(Failure::Truncated)?;
        client.outlet.send(&mut client.stream, cx, &bytes[..taken])
    };
    sent.map_err(|_| Failure::ClientGone)
}
