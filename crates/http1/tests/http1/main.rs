//! HTTP/1.1 over byte slices: what is accepted, what is refused, and the exact bytes that go out.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

mod answer;
mod chunked;
mod edits;
mod every_byte;
mod forwarding;
mod generate;
mod hop_by_hop;
mod hops;
mod laws;
mod limits;
mod own_answer;
mod properties;
mod reference;
mod refused;
mod request;
mod trailers;
mod upgrade;

use berth_http1::forward::{Origin, write_request};
use berth_http1::{BodyLength, Limits, Lines, Refusal, RequestHead, Version};
use laws::{LIMITS, STRANGER, TRUSTED};

/// The fields that every request from [`STRANGER`] for this host gets, and the empty line.
fn forwarded(host: &str) -> String {
    forwarded_from("1.1", host)
}

/// The same for a request that came in this version.
fn forwarded_from(received: &str, host: &str) -> String {
    format!(
        "X-Forwarded-For: 192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n\
         X-Forwarded-Host: {host}\r\n{}",
        traced(received)
    )
}

/// The fields that name the way and the trace, and the empty line.
fn traced(received: &str) -> String {
    format!(
        "Via: {received} berth\r\nX-Request-Id: 0123456789abcdeffedcba9876543210\r\n\
         traceparent: 00-0123456789abcdeffedcba9876543210-0000000000000001-00\r\n\r\n"
    )
}

/// What a head says, free of the bytes that it was parsed from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pieces {
    method: String,
    target: String,
    version: Version,
    host: Option<String>,
    body: BodyLength,
    keep_alive: bool,
    expects_continue: bool,
    consumed: usize,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn try_parse(bytes: &[u8], limits: &Limits) -> Result<Option<Pieces>, Refusal> {
    let mut space = Lines::default();
    let head = RequestHead::parse(bytes, &mut space, limits)?;
    Ok(head.map(|head| Pieces {
        method: text(head.method),
        target: text(head.target),
        version: head.version,
        host: head.host.map(text),
        body: head.body,
        keep_alive: head.keep_alive,
        expects_continue: head.expects_continue,
        consumed: head.consumed,
    }))
}

fn parse(bytes: impl AsRef<[u8]>) -> Pieces {
    let bytes = bytes.as_ref();
    let shown = bytes.escape_ascii();
    laws::request::holds(bytes, &LIMITS);
    let parsed = try_parse(bytes, &LIMITS).unwrap_or_else(|refusal| panic!("{shown}: refused, {refusal}"));
    parsed.unwrap_or_else(|| panic!("{shown}: not all there"))
}

/// The head as it goes upstream.
fn forward(bytes: impl AsRef<[u8]>, origin: &Origin<'_>) -> String {
    String::from_utf8(forward_bytes(bytes.as_ref(), origin)).unwrap()
}

fn forward_bytes(bytes: &[u8], origin: &Origin<'_>) -> Vec<u8> {
    laws::request::holds(bytes, &LIMITS);
    laws::forwarding::holds(bytes);
    let mut space = Lines::default();
    let head = RequestHead::parse(bytes, &mut space, &LIMITS).unwrap().unwrap();
    let mut out = Vec::new();
    write_request(&head, origin, None, &mut out);
    out
}
