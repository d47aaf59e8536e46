//! HTTP/1.1 over byte slices: what is accepted, what is refused, and the exact bytes that go out.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

mod answer;
mod chunked;
mod forwarding;
mod generate;
mod hop_by_hop;
mod limits;
mod own_answer;
mod properties;
mod refused;
mod request;

use berth_http1::forward::{Origin, write_request};
use berth_http1::{BodyLength, Limits, Refusal, RequestHead, Version, field_space};

/// The limits that a balancer has when it is told nothing.
const LIMITS: Limits = Limits { head_bytes: 64 * 1024, target_bytes: 16 * 1024, fields: 128 };

/// A client that may claim nothing.
const STRANGER: Origin<'static> =
    Origin { peer: "192.0.2.1", scheme: "http", trusted: false, fallback_host: "10.0.0.1:80" };

/// A proxy before us that is believed.
const TRUSTED: Origin<'static> = Origin { trusted: true, ..STRANGER };

/// The fields that every request from [`STRANGER`] for this host gets, and the empty line.
fn forwarded(host: &str) -> String {
    format!(
        "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: {host}\r\n\
         X-Real-IP: 192.0.2.1\r\n\r\n"
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

fn try_parse(bytes: &[u8], limits: &Limits) -> Result<Option<Pieces>, Refusal> {
    let mut space = field_space();
    let head = RequestHead::parse(bytes, &mut space, limits)?;
    Ok(head.map(|head| Pieces {
        method: head.method.to_owned(),
        target: head.target.to_owned(),
        version: head.version,
        host: head.host.map(str::to_owned),
        body: head.body,
        keep_alive: head.keep_alive,
        expects_continue: head.expects_continue,
        consumed: head.consumed(bytes),
    }))
}

fn parse(bytes: impl AsRef<[u8]>) -> Pieces {
    let bytes = bytes.as_ref();
    let shown = bytes.escape_ascii();
    let parsed = try_parse(bytes, &LIMITS).unwrap_or_else(|refusal| panic!("{shown}: refused, {refusal}"));
    parsed.unwrap_or_else(|| panic!("{shown}: not all there"))
}

/// The head as it goes upstream.
fn forward(bytes: impl AsRef<[u8]>, origin: &Origin<'_>) -> String {
    String::from_utf8(forward_bytes(bytes.as_ref(), origin)).unwrap()
}

fn forward_bytes(bytes: &[u8], origin: &Origin<'_>) -> Vec<u8> {
    let mut space = field_space();
    let head = RequestHead::parse(bytes, &mut space, &LIMITS).unwrap().unwrap();
    let mut out = Vec::new();
    write_request(&head, origin, &mut out);
    out
}
