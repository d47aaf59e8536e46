//! One client's connection: its heads, one after the other, until either side has enough.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use berth_http1::forward::{Answer, Downstream, Origin, write_request};
use berth_http1::{Refusal, RequestHead, Version, field_space};
use tokio::net::TcpStream;

use super::client::{Client, LONGEST_DISCARD, Next};
use super::deadlines::LAST_CALL;
use super::exchange;
use super::failure::Failure;
use super::request::Request;
use super::shared::Worker;
use super::stream::poll_read;
use crate::telemetry::LoggedLine;

/// What came instead of a request.
#[derive(Debug)]
enum NoRequest {
    /// The client closed, or stayed away too long.
    End,
    /// It sent something that is not accepted.
    Refused(Refusal),
    /// It began a head, and did not finish it in time.
    Late,
    /// The body that came with the head is broken.
    BadBody(Failure),
}

/// Whether there is nothing but empty lines. Some clients send one behind a body; it begins no request (RFC 9112
/// §2.2).
fn is_empty_lines(bytes: &[u8]) -> bool {
    bytes.chunks(2).all(|line| line == b"\r\n")
}

/// Serves one client until its connection ends.
pub(crate) async fn serve(worker: Rc<Worker>, stream: TcpStream, peer: SocketAddr) {
    let mut client = Client::new(&worker, stream, peer).await;
    loop {
        match next_request(&mut client, &worker).await {
            Ok(request) => match exchange::run(&worker, &mut client, request).await {
                Next::Continue => client.outlet.release(),
                Next::Close => return client.close(&worker, LONGEST_DISCARD).await,
                Next::Abort => return client.abort(),
            },
            Err(NoRequest::End) => return,
            Err(problem) => return refuse(client, &worker, problem).await,
        }
    }
}

/// Reads the next head and turns it into the request that goes upstream.
async fn next_request(client: &mut Client, worker: &Worker) -> Result<Request, NoRequest> {
    if is_empty_lines(&client.ahead) {
        client.ahead.clear();
    }
    if client.ahead.is_empty() {
        let idle = &worker.settings.timeouts.idle;
        client.deadline.set_idle(if worker.draining.get() { (*idle).min(LAST_CALL) } else { *idle });
    } else {
        client.deadline.set(worker.settings.timeouts.head);
        let ahead = std::mem::take(&mut client.ahead);
        if let Some(request) = parse(client, worker, &ahead)? {
            return Ok(request);
        }
        client.ahead = ahead;
    }
    poll_fn(|cx| poll_request(client, cx, worker)).await
}

fn poll_request(
    client: &mut Client,
    cx: &mut Context<'_>,
    worker: &Worker,
) -> Poll<Result<Request, NoRequest>> {
    loop {
        let mut scratch = worker.scratch.borrow_mut();
        let Poll::Ready(read) = poll_read(&mut client.stream, cx, &mut scratch) else {
            ready!(client.poll_late());
            let late = if client.ahead.is_empty() { NoRequest::End } else { NoRequest::Late };
            return Poll::Ready(Err(late));
        };
        let bytes = match read {
            Ok(count) if count > 0 => &scratch[..count],
            _ => return Poll::Ready(Err(NoRequest::End)),
        };
        if client.ahead.is_empty() {
            if is_empty_lines(bytes) {
                continue;
            }
            if let Some(request) = parse(client, worker, bytes)? {
                return Poll::Ready(Ok(request));
            }
            client.deadline.set(worker.settings.timeouts.head);
            client.ahead.extend_from_slice(bytes);
            continue;
        }
        // A head that trickles in is parsed again only where a line ends, and it has few lines: the work
        // stays bounded however small the pieces are.
        let worth_it =
            bytes.contains(&b'\n') || client.ahead.len() + bytes.len() > worker.settings.limits.target_bytes;
        let mut ahead = std::mem::take(&mut client.ahead);
        ahead.extend_from_slice(bytes);
        if worth_it && let Some(request) = parse(client, worker, &ahead)? {
            return Poll::Ready(Ok(request));
        }
        client.ahead = ahead;
    }
}

/// Parses a head at the front of `bytes`, and keeps what lies behind the request for the next one.
fn parse(client: &mut Client, worker: &Worker, bytes: &[u8]) -> Result<Option<Request>, NoRequest> {
    let mut space = field_space();
    let head = RequestHead::parse(bytes, &mut space, &worker.settings.limits).map_err(NoRequest::Refused)?;
    let Some(head) = head else { return Ok(None) };
    let mut outgoing = worker.buffers.take();
    let local;
    let fallback_host = if head.host.is_some() {
        ""
    } else {
        local = client.stream.local_addr().map(host_of).unwrap_or_default();
        &local
    };
    let origin = Origin { peer: &client.peer, scheme: "http", trusted: client.trusted, fallback_host };
    write_request(&head, &origin, &mut outgoing);
    let line = worker.access_log.is_some().then(|| LoggedLine::of(&head));
    let mut request = Request::new(&head, outgoing, line);
    let rest = &bytes[head.consumed(bytes)..];
    if !rest.is_empty() {
        let taken = request.upload.begin(rest).map_err(NoRequest::BadBody)?;
        client.ahead.extend_from_slice(&rest[taken..]);
    }
    Ok(Some(request))
}

async fn refuse(mut client: Client, worker: &Worker, problem: NoRequest) {
    let (status, body) = match &problem {
        NoRequest::Refused(refusal) => (refusal.status(), format!("{refusal}.\n")),
        NoRequest::Late => (408, "The request did not arrive in time.\n".to_owned()),
        NoRequest::BadBody(failure) => (400, format!("{failure}.\n")),
        NoRequest::End => return,
    };
    worker.cells.answered(status);
    let last = Downstream { version: Version::Http11, keep_alive: false };
    let answer = Answer {
        status,
        reason: reason_of(status),
        retry_after_s: None,
        body: &body,
        to_head: false,
        client: last,
    };
    if client.answer(worker, &answer).await {
        // Who was too slow is not given more time.
        let longest = if status == 408 { LAST_CALL } else { LONGEST_DISCARD };
        client.close(worker, longest).await;
    }
}

/// An address as a Host: an IPv4 address in IPv6 clothes is written as what it is.
fn host_of(address: SocketAddr) -> String {
    SocketAddr::new(address.ip().to_canonical(), address.port()).to_string()
}

fn reason_of(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        408 => "Request Timeout",
        414 => "URI Too Long",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}
