//! One client's connection: its heads, one after the other, until either side has enough.

use std::borrow::Cow;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use berth_http1::forward::{
    Answer, Downstream, Origin, RequestEdits, write_answer, write_request, write_trace,
};
use berth_http1::{BodyLength, RequestHead, Version};
use berth_route::{Ambiguous, read_path};

use super::client::{Client, LONGEST_DISCARD, Next};
use super::deadlines::LAST_CALL;
use super::exchange;
use super::failure::Failure;
use super::limited;
use super::own;
use super::record;
use super::reply::Reply;
use super::request::Request;
use super::shared::Worker;
use super::view::Routed;
use crate::routing::{Edits, split_query};
use crate::telemetry::LoggedLine;

/// What came instead of a request that goes upstream.
#[derive(Debug)]
enum NoRequest {
    /// The client closed, or stayed away too long.
    End,
    /// Something that is answered here, after which the connection ends.
    Answered(Box<Answered>),
}

/// A request that the balancer answers itself.
#[derive(Debug)]
struct Answered {
    status: u16,
    /// What is wrong with it; nothing if this is simply as far as it was to go.
    problem: Option<String>,
    /// The answer's body, if it is more than the problem.
    content: Option<Vec<u8>>,
    json: bool,
    to_head: bool,
    line: Option<Box<LoggedLine>>,
}

impl NoRequest {
    /// What could not be read as a request.
    fn refused(status: u16, problem: String) -> Self {
        let problem = Some(problem);
        let (content, json, to_head, line) = (None, false, false, None);
        NoRequest::Answered(Box::new(Answered { status, problem, content, json, to_head, line }))
    }
}

impl Answered {
    /// An answer to this request, with nothing wrong so far.
    fn to(head: &RequestHead<'_>, status: u16) -> Self {
        let (json, to_head) = (head.prefers_json, head.method == b"HEAD");
        Self { status, problem: None, content: None, json, to_head, line: None }
    }

    fn because(self, failure: &Failure) -> Self {
        Self { problem: Some(failure.to_string()), ..self }
    }
}

/// Passes over an empty line that came by itself. Some clients send one behind a body; it begins no request (RFC 9112
/// §2.2), and there is one at most before each.
fn passes_empty_line(client: &mut Client, bytes: &[u8]) -> bool {
    let passes = bytes == b"\r\n" && !client.passed_line;
    client.passed_line |= passes;
    passes
}

/// Serves one client until its connection ends.
pub(crate) async fn serve(worker: &Worker, client: &mut Client) {
    poll_fn(|cx| {
        client.deadline.attach(cx);
        Poll::Ready(())
    })
    .await;
    loop {
        // Matched by reference: what is moved here would have its place twice in every connection's task.
        let mut request = next_request(client, worker).await;
        let next = match &mut request {
            Ok(request) => exchange::run(worker, client, request).await,
            Err(NoRequest::End) => return,
            Err(NoRequest::Answered(answered)) => {
                return Box::pin(answer_here(client, worker, answered)).await;
            }
        };
        // The connection may linger.
        if let Ok(request) = &mut request {
            request.counts_no_more();
        }
        match next {
            Next::Continue if client.can_go_on() => {}
            Next::Continue => return,
            // Closing with unread bytes would reset the connection, so whoever goes on is heard out.
            Next::End if !client.has_sent_more() => return,
            Next::End | Next::Close => return Box::pin(client.close(worker, LONGEST_DISCARD)).await,
            Next::Abort => return client.abort(),
        }
    }
}

/// Reads the next head and turns it into the request that goes upstream.
async fn next_request(client: &mut Client, worker: &Worker) -> Result<Request, NoRequest> {
    let ahead = std::mem::take(&mut client.ahead);
    if ahead.is_empty() || passes_empty_line(client, &ahead) {
        let idle = worker.reading.get().idle;
        client.deadline.set_idle(if worker.draining.get() { idle.min(LAST_CALL) } else { idle });
    } else {
        client.deadline.set(worker.reading.get().head);
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
        let Poll::Ready(read) = client.stream.poll_read(cx, &mut scratch) else {
            ready!(client.poll_late());
            return Poll::Ready(Err(if client.ahead.is_empty() {
                NoRequest::End
            } else {
                NoRequest::refused(408, "the request did not arrive in time".to_owned())
            }));
        };
        let bytes = match read {
            Ok(count) if count > 0 => &scratch[..count],
            _ => return Poll::Ready(Err(NoRequest::End)),
        };
        if client.ahead.is_empty() {
            if passes_empty_line(client, bytes) {
                continue;
            }
            if let Some(request) = parse(client, worker, bytes)? {
                return Poll::Ready(Ok(request));
            }
            client.deadline.set(worker.reading.get().head);
            client.ahead.extend_from_slice(bytes);
            continue;
        }
        // A head that trickles in is parsed again only where a line ends, and it has few lines: the work
        // stays bounded however small the pieces are.
        let most_target_bytes = worker.reading.get().limits.target_bytes;
        let worth_it = bytes.contains(&b'\n') || client.ahead.len() + bytes.len() > most_target_bytes;
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
    let mut lines = worker.lines.borrow_mut();
    let limits = worker.reading.get().limits;
    let head = RequestHead::parse(bytes, &mut lines, &limits)
        .map_err(|refusal| NoRequest::refused(refusal.status(), refusal.to_string()))?;
    if client.passed_line && bytes.first() == Some(&b'\r') {
        return Err(NoRequest::refused(
            400,
            "there is more than one empty line before the request".to_owned(),
        ));
    }
    let Some(head) = head else { return Ok(None) };
    client.passed_line = false;
    let entropy = worker.entropy();
    let line = worker.access_log.is_some().then(|| LoggedLine::of(&head, entropy));
    let view = worker.view();
    let (via, trusted) = (view.general.via, view.general.trusts(client.peer_address));
    let routed = match Routed::find(view, &head, client.peer_address) {
        Ok(routed) => routed,
        Err(Ambiguous) => return Err(ambiguous(&head, line)),
    };
    let most_bytes = routed.as_ref().map_or(u64::MAX, |routed| routed.route().most_body_bytes);
    if let Some(answered) = answered_here(&head, most_bytes) {
        return Err(NoRequest::Answered(Box::new(Answered { line, ..answered })));
    }
    let mut outgoing = worker.buffers.take();
    let local;
    let fallback_host = if head.host.is_some() {
        ""
    } else {
        local = client.stream.local_address().map(host_of).unwrap_or_default();
        &local
    };
    let origin = Origin { peer: client.peer.as_str(), scheme: "http", trusted, fallback_host, via, entropy };
    client.timeouts = routed.as_ref().map_or_else(|| worker.timeouts(), |routed| routed.route().timeouts);
    match routed.as_ref().and_then(|routed| routed.route().edits.as_ref()) {
        None => write_request(&head, &origin, None, &mut outgoing),
        Some(edits) if write_edited(&head, &origin, edits, &mut outgoing).is_err() => {
            worker.buffers.give(outgoing);
            return Err(ambiguous(&head, line));
        }
        Some(_) => {}
    }
    let mut request = Request::new(&head, outgoing, most_bytes, routed, line);
    own::locate(&mut request, &head, fallback_host);
    if limited::is_counted(worker, client, &request) {
        limited::count(worker, client, &head, &mut request);
    }
    let rest = &bytes[head.consumed..];
    if !rest.is_empty() {
        let taken = request.upload.begin(rest).map_err(|failure| {
            let answered = Answered::to(&head, failure.status()).because(&failure);
            NoRequest::Answered(Box::new(Answered {
                line: request.extras_mut().and_then(|extras| extras.line.take()),
                ..answered
            }))
        })?;
        client.ahead.extend_from_slice(&rest[taken..]);
    }
    Ok(Some(request))
}

/// Writes a head that its route changes. A path whose front changes goes on in its normal form; one that would lead out
/// of the new front for some readers does not go on.
#[cold]
fn write_edited(
    head: &RequestHead<'_>,
    origin: &Origin<'_>,
    edits: &Edits,
    outgoing: &mut Vec<u8>,
) -> Result<(), Ambiguous> {
    let (path, query) = split_query(head.target);
    let (strip, add) = (edits.strip_prefix.as_bytes(), edits.add_prefix.as_bytes());
    let changed = (!strip.is_empty() || !add.is_empty()) && path != b"*";
    let normal = if changed { read_path(path)? } else { Cow::Borrowed(path) };
    let rest = rest_behind(&normal, strip).unwrap_or(&normal);
    let slash: &[u8] = if rest.is_empty() { b"/" } else { b"" };
    let edits = RequestEdits {
        target: changed.then_some([add, slash, rest, query]),
        host: edits.rewrite_host.as_deref().map(str::as_bytes),
        fields: &edits.fields,
    };
    write_request(head, origin, Some(&edits), outgoing);
    Ok(())
}

/// What is said of a path that leads elsewhere for some readers.
#[cold]
fn ambiguous(head: &RequestHead<'_>, line: Option<Box<LoggedLine>>) -> NoRequest {
    let problem = Some("the path can be read in more than one way".to_owned());
    NoRequest::Answered(Box::new(Answered { problem, line, ..Answered::to(head, 400) }))
}

/// What is left of a path without its prefix, which is whole segments.
fn rest_behind<'a>(path: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(prefix)?;
    (rest.is_empty() || rest[0] == b'/').then_some(rest)
}

/// What never goes upstream: bodies that are announced too large, and what was to be forwarded no further (RFC 9110
/// §7.6.2).
#[inline]
fn answered_here(head: &RequestHead<'_>, most_bytes: u64) -> Option<Answered> {
    if let BodyLength::Exactly(bytes) = head.body
        && bytes > most_bytes
    {
        let failure = Failure::BodyTooLarge;
        return Some(Answered::to(head, failure.status()).because(&failure));
    }
    (head.max_forwards == Some(0)).then(|| {
        let mut content = Vec::new();
        if head.method == b"TRACE" {
            write_trace(head, &mut content);
        }
        Answered { content: Some(content), ..Answered::to(head, 200) }
    })
}

async fn answer_here(client: &mut Client, worker: &Worker, answered: &mut Answered) {
    let Answered { status, problem, content, json, to_head, line } = answered;
    let (status, json, to_head) = (*status, *json, *to_head);
    record::answered_here(worker, client, line.as_deref(), status, problem.as_deref());
    let last = Downstream { version: Version::Http11, keep_alive: false };
    let sentence = problem.as_deref().map(sentence_of).unwrap_or_default();
    let told = client.answer(worker, |out| match &content {
        Some(body) => write_answer(
            &Answer {
                status,
                reason: "OK",
                retry_after_s: None,
                content_type: if body.is_empty() { "text/plain; charset=utf-8" } else { "message/http" },
                fields: b"",
                body,
                to_head: false,
                client: last,
            },
            out,
        ),
        None => Reply { status, sentence: &sentence, json, to_head, client: last }.write(out),
    });
    if told.await {
        // Who was too slow is not given more time.
        let longest = if status == 408 { LAST_CALL } else { LONGEST_DISCARD };
        client.close(worker, longest).await;
    }
}

/// `the head is too large` as people write it.
fn sentence_of(problem: &str) -> String {
    let mut letters = problem.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}

/// An address as a Host: an IPv4 address in IPv6 clothes is written as what it is.
fn host_of(address: SocketAddr) -> String {
    SocketAddr::new(address.ip().to_canonical(), address.port()).to_string()
}
