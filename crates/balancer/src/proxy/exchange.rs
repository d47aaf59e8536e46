//! One request, told from the choice of its endpoint to its one ending.

use berth_http1::forward::Downstream;

use super::attempt;
use super::client::{Client, Next};
use super::failure::Failure;
use super::record::Record;
use super::relay;
use super::reply::Reply;
use super::request::{Method, Request};
use super::shared::Worker;

/// Serves one request of a client.
pub(crate) async fn run(worker: &Worker, client: &mut Client, request: &mut Request) -> Next {
    let view = worker.view();
    let mut record = Record::begin();
    let mut outcome = attempt::send(worker, &view, client, request, &mut record).await;
    // By reference: what is moved here would have its place twice in every connection's task.
    let (next, failure) = match &mut outcome {
        Ok(answered) => {
            // The endpoint that answers keeps what it needs of the view.
            drop(view);
            match relay::run(worker, client, request, answered, &mut record).await {
                Ok(next) => (next, None),
                // Part of the answer is with the client, which must be able to tell that it is not all of it.
                Err(failure) => (Next::Abort, Some(failure)),
            }
        }
        Err(failure) => {
            let told = tell(worker, client, request, failure, &view.subject, &record);
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

/// Tells the client of a failure, unless part of an answer has already gone out.
async fn tell(
    worker: &Worker,
    client: &mut Client,
    request: &Request,
    failure: &Failure,
    subject: &str,
    record: &Record,
) -> Next {
    let Some(sentence) = failure.sentence(subject).filter(|_| !record.answer_begun()) else {
        return Next::Abort;
    };
    // With the body still under way the next head cannot be found.
    let keep_alive = request.keep_alive && request.upload.is_read() && !worker.draining.get();
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
