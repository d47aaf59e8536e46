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
use super::stream::poll_read;

/// Relays the bodies to their end, and keeps the upstream connection if it can serve again.
pub(crate) async fn run(
    worker: &Worker,
    client: &mut Client,
    request: &mut Request,
    mut held: Answered,
    record: &mut Record,
) -> Result<Next, Failure> {
    let outcome = if held.answer.is_complete() && client.outlet.is_empty() && request.upload.is_done() {
        Ok(())
    } else {
        let timeouts = &worker.settings.timeouts;
        client.deadline.set(if client.outlet.is_empty() { timeouts.body } else { timeouts.send });
        poll_fn(|cx| poll_bodies(cx, worker, client, request, &mut held)).await
    };
    record.relayed(held.answer.relayed_bytes);
    outcome?;
    let keep_alive = held.answer.keep_alive;
    if held.answer.reusable && request.upload.is_sent() {
        worker.pool.put(held.endpoint.key(), held.upstream, worker.deadlines.now_ms());
    }
    Ok(if keep_alive { Next::Continue } else { Next::Close })
}

fn poll_bodies(
    cx: &mut Context<'_>,
    worker: &Worker,
    client: &mut Client,
    request: &mut Request,
    held: &mut Answered,
) -> Poll<Result<(), Failure>> {
    if let Poll::Ready(Err(failure)) = request.upload.poll(cx, worker, client, &mut held.upstream) {
        return Poll::Ready(Err(failure));
    }
    match poll_answer(cx, worker, client, held) {
        Poll::Pending if client.deadline.is_over() => Poll::Ready(Err(if client.outlet.is_empty() {
            Failure::Truncated("the upstream fell silent")
        } else {
            Failure::ClientNotReading
        })),
        other => other,
    }
}

fn poll_answer(
    cx: &mut Context<'_>,
    worker: &Worker,
    client: &mut Client,
    held: &mut Answered,
) -> Poll<Result<(), Failure>> {
    let timeouts = &worker.settings.timeouts;
    loop {
        while !client.outlet.is_empty() {
            ready!(client.outlet.poll_piece(&mut client.stream, cx)).map_err(|_| Failure::ClientGone)?;
            client.deadline.set(if client.outlet.is_empty() { timeouts.body } else { timeouts.send });
        }
        if held.answer.is_complete() {
            return Poll::Ready(Ok(()));
        }
        let mut scratch = worker.scratch.borrow_mut();
        let count = match ready!(poll_read(&mut held.upstream, cx, &mut scratch)) {
            Ok(0) if matches!(held.answer.body, Body::UntilClose) => {
                held.answer.ended = true;
                continue;
            }
            Ok(count) if count > 0 => count,
            _ => return Poll::Ready(Err(Failure::Truncated("the upstream ended the connection"))),
        };
        send_on(cx, worker, client, &mut held.answer, &scratch[..count])?;
        client.deadline.set(if client.outlet.is_empty() { timeouts.body } else { timeouts.send });
    }
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
