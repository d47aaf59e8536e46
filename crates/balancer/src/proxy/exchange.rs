//! One request, told from the choice of its endpoint to its one ending.

use berth_http1::forward::Downstream;

use super::attempt;
use super::client::{Client, Next};
use super::failure::Failure;
use super::own::{self, Decision};
use super::record::Record;
use super::relay;
use super::reply::{Reply, Told};
use super::request::{Method, Request};
use super::shared::Worker;
use super::view::Routed;

/// Serves one request of a client.
pub(crate) async fn run(worker: &Worker, client: &mut Client, request: &mut Request) -> Next {
    let mut record = Record::begin();
    let first = match own::decide(&worker.asking, request) {
        Decision::Forward(first) => first,
        Decision::Answer(told) => {
            let answered = answer(worker, client, request, &told, record);
            return Box::pin(answered).await;
        }
        Decision::Nobody => {
            let refused = refuse(worker, client, request, record, Failure::NoEndpoint);
            return Box::pin(refused).await;
        }
    };
    let mut outcome = attempt::send(worker, client, request, first, &mut record).await;
    // By reference: what is moved here would have its place twice in every connection's task.
    let (next, failure) = match &mut outcome {
        Ok(answered) => {
            match relay::run(worker, client, request, answered, &mut record).await {
                Ok(next) => (next, None),
                // Part of the answer is with the client, which must be able to tell that it is not all of it.
                Err(failure) => {
                    attempt::doubt(worker, &answered.endpoint, &failure);
                    (Next::Abort, Some(failure))
                }
            }
        }
        Err(failure) => {
            let told = tell(worker, client, request, failure, &record);
            (Box::pin(told).await, None)
        }
    };
    let failure = failure.as_ref().or(outcome.as_ref().err());
    record.end(worker, client, request, failure);
    if failure.is_none()
        && let Ok(answered) = outcome
    {
        worker.keep(answered);
    }
    request.upload.release(worker);
    next
}

/// Tells the client what its route has to say.
async fn answer(
    worker: &Worker,
    client: &mut Client,
    request: &mut Request,
    told: &Told,
    mut record: Record,
) -> Next {
    let keep_alive = may_go_on(worker, request);
    let to_head = request.method == Method::Head;
    let downstream = Downstream { version: request.version, keep_alive };
    record.answered(told.status);
    let all_sent = client.answer(worker, |out| told.write(to_head, downstream, out)).await;
    record.relayed(if to_head { 0 } else { told.body.len() as u64 });
    record.end(worker, client, request, (!all_sent).then_some(&Failure::ClientGone));
    request.upload.release(worker);
    match all_sent {
        false => Next::Abort,
        true if keep_alive => Next::Continue,
        true => Next::Close,
    }
}

/// Tells the client why it is not told where to go.
async fn refuse(
    worker: &Worker,
    client: &mut Client,
    request: &mut Request,
    record: Record,
    failure: Failure,
) -> Next {
    let next = tell(worker, client, request, &failure, &record).await;
    record.end(worker, client, request, Some(&failure));
    request.upload.release(worker);
    next
}

/// Whether the client may send another request behind an answer of our own. With the body still under way the next
/// head cannot be found.
fn may_go_on(worker: &Worker, request: &Request) -> bool {
    request.keep_alive && request.upload.is_read() && !worker.draining.get()
}

/// Tells the client of a failure, unless part of an answer has already gone out.
async fn tell(
    worker: &Worker,
    client: &mut Client,
    request: &Request,
    failure: &Failure,
    record: &Record,
) -> Next {
    let Some(sentence) = failure
        .sentence(request.routed.as_ref().map_or("", Routed::subject))
        .filter(|_| !record.answer_begun())
    else {
        return Next::Abort;
    };
    let keep_alive = may_go_on(worker, request);
    let reply = Reply {
        status: failure.status(),
        sentence: &sentence,
        json: request.prefers_json,
        to_head: request.method == Method::Head,
        client: Downstream { version: request.version, keep_alive },
    };
    match client.answer(worker, |out| reply.write(out)).await {
        false => Next::Abort,
        true if keep_alive => Next::Continue,
        true => Next::Close,
    }
}
