//! One request, told from the choice of its endpoint to its one ending.

use berth_http1::forward::{Answer, Downstream};

use super::attempt;
use super::client::{Client, Next};
use super::failure::Failure;
use super::record::Record;
use super::relay;
use super::request::Request;
use super::shared::Worker;

/// Serves one request of a client.
pub(crate) async fn run(worker: &Worker, client: &mut Client, mut request: Request) -> Next {
    let view = worker.view();
    let mut record = Record::begin();
    let outcome = match attempt::send(worker, &view, client, &mut request, &mut record).await {
        Ok(answered) => relay::run(worker, client, &mut request, answered, &mut record).await,
        Err(failure) => Err(failure),
    };
    let next = match outcome {
        Ok(next) => {
            record.end(worker, client, &mut request, None);
            next
        }
        Err(failure) => {
            let next = tell(worker, client, &request, &failure, &view.subject, &record).await;
            record.end(worker, client, &mut request, Some(&failure));
            next
        }
    };
    worker.buffers.give(request.upload.into_buffer());
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
    let Some((status, reason, sentence)) = failure.answer(subject).filter(|_| !record.answer_begun()) else {
        return Next::Abort;
    };
    // With the body still under way the next head cannot be found.
    let keep_alive = request.keep_alive && request.upload.is_read() && !worker.draining.get();
    let answer = Answer {
        status,
        reason,
        retry_after_s: (status == 503).then_some(1),
        body: &format!("{sentence}\n"),
        to_head: request.method == super::request::Method::Head,
        client: Downstream { version: request.version, keep_alive },
    };
    match client.answer(worker, &answer).await {
        false => Next::Abort,
        true if keep_alive => Next::Continue,
        true => Next::Close,
    }
}
