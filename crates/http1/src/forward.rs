//! The heads that go out. Runs of lines that stay are copied whole; nothing is put into a map.

use std::net::IpAddr;

use httparse::Header;

use crate::fields::{Field, classify, line_start};
use crate::{BodyLength, RequestHead, ResponseHead, Version};

/// What the upstream is told about the connection that a request came on.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The client's address, as text.
    pub peer: &'a str,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Whether what the client says of those it forwards for is believed.
    pub trusted: bool,
    /// The Host of an HTTP/1.0 request that names none: the address that the client connected to.
    pub fallback_host: &'a str,
}

/// Appends the request head that goes upstream: HTTP/1.1, without the fields of one hop, with the forwarding
/// fields of DESIGN §5. Path, query and every other field stay as they came.
pub fn write_request(head: &RequestHead<'_, '_>, origin: &Origin<'_>, out: &mut Vec<u8>) {
    let host = head.host.unwrap_or(origin.fallback_host);
    let mut dropped = head.dropped;
    if !origin.trusted {
        dropped |= head.claims;
    } else if head.claims != 0 {
        // A trusted peer's claims stay, but for X-Forwarded-For, which is continued.
        dropped |= lines_of(head.fields, Field::ForwardedFor);
    }
    if head.absolute {
        dropped |= lines_of(head.fields, Field::Host);
    }
    out.reserve(head.bytes.len() + 256);
    let rewritten = head.version == Version::Http10 || head.absolute;
    if rewritten {
        for part in [head.method, " ", head.target, " HTTP/1.1\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    copy_lines(head.bytes, head.fields, dropped, !rewritten, out);
    if head.absolute || head.host.is_none() {
        line(out, "Host", &[host]);
    }
    if origin.trusted && head.claims != 0 {
        continue_claims(head, dropped, origin, host, out);
    } else {
        line(out, "X-Forwarded-For", &[origin.peer]);
        line(out, "X-Forwarded-Proto", &[origin.scheme]);
        line(out, "X-Forwarded-Host", &[host]);
        line(out, "X-Real-IP", &[origin.peer]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Adds to what a trusted peer said of those it forwards for, and says what it left out.
#[cold]
fn continue_claims(
    head: &RequestHead<'_, '_>,
    dropped: u128,
    origin: &Origin<'_>,
    host: &str,
    out: &mut Vec<u8>,
) {
    let mut nearest = origin.peer;
    out.extend_from_slice(b"X-Forwarded-For: ");
    // Several lines are one list (RFC 9110 §5.3).
    for field in head.fields.iter().filter(|field| classify(field.name) == Field::ForwardedFor) {
        let Some(before) = std::str::from_utf8(field.value).ok().filter(|value| !value.is_empty()) else {
            continue;
        };
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(b", ");
        nearest = before.rsplit(',').next().map_or(nearest, str::trim);
    }
    out.extend_from_slice(origin.peer.as_bytes());
    out.extend_from_slice(b"\r\n");
    let left_out = |name: &str| {
        let named = |(index, field): (usize, &Header<'_>)| {
            field.name.eq_ignore_ascii_case(name) && dropped & (1 << index) == 0
        };
        !head.fields.iter().enumerate().any(named)
    };
    for (name, value) in
        [("X-Forwarded-Proto", origin.scheme), ("X-Forwarded-Host", host), ("X-Real-IP", nearest)]
    {
        if left_out(name) {
            line(out, name, &[value]);
        }
    }
}

/// How the connection to the client goes on after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Downstream {
    /// The version that the client speaks.
    pub version: Version,
    /// Whether the connection stays open after this answer.
    pub keep_alive: bool,
}

/// Whether the answer head may be passed to the client exactly as it came.
#[inline]
pub fn passes_unchanged(head: &ResponseHead<'_, '_>, client: Downstream) -> bool {
    head.dropped == 0
        && head.version == Version::Http11
        && client.version == Version::Http11
        && client.keep_alive
}

/// Appends the answer head that goes to the client: HTTP/1.1 (RFC 9110 §6.2: an intermediary sends its own
/// version), without the fields of one hop. A client of HTTP/1.0 is not told of chunks: it does not know them.
pub fn write_response(head: &ResponseHead<'_, '_>, client: Downstream, out: &mut Vec<u8>) {
    let mut dropped = head.dropped;
    if client.version == Version::Http10 {
        dropped |= lines_of(head.fields, Field::TransferEncoding);
    }
    out.reserve(head.bytes.len() + 64);
    out.extend_from_slice(b"HTTP/1.1");
    copy_lines(&head.bytes[b"HTTP/1.1".len()..], head.fields, dropped, true, out);
    if !client.keep_alive {
        line(out, "Connection", &["close"]);
    } else if client.version == Version::Http10 {
        line(out, "Connection", &["keep-alive"]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether an answer to this client must lose its chunks, and end with the connection.
pub fn must_unchunk(body: BodyLength, client: Version) -> bool {
    body == BodyLength::Chunked && client == Version::Http10
}

/// Appends a whole answer made here.
pub fn write_answer(answer: &Answer<'_>, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(digits.format(answer.status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(answer.reason.as_bytes());
    out.extend_from_slice(b"\r\n");
    line(out, "Content-Type", &["text/plain; charset=utf-8"]);
    line(out, "Content-Length", &[digits.format(answer.body.len())]);
    if let Some(seconds) = answer.retry_after_s {
        line(out, "Retry-After", &[digits.format(seconds)]);
    }
    if !answer.client.keep_alive {
        line(out, "Connection", &["close"]);
    } else if answer.client.version == Version::Http10 {
        line(out, "Connection", &["keep-alive"]);
    }
    out.extend_from_slice(b"\r\n");
    if !answer.to_head {
        out.extend_from_slice(answer.body.as_bytes());
    }
}

/// An answer that the balancer makes itself.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The status code.
    pub status: u16,
    /// Its reason phrase.
    pub reason: &'a str,
    /// Seconds after which another try may help.
    pub retry_after_s: Option<u32>,
    /// A sentence for the client.
    pub body: &'a str,
    /// Whether it answers a HEAD, so that the body is only announced.
    pub to_head: bool,
    /// How the connection goes on.
    pub client: Downstream,
}

/// The text of a client's address: an IPv4 address in IPv6 clothes is written as what it is.
pub fn peer_text(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

fn line(out: &mut Vec<u8>, name: &str, value: &[&str]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    for part in value {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// The lines of this kind, a bit for each.
fn lines_of(fields: &[Header<'_>], kind: Field) -> u128 {
    let bits =
        fields.iter().enumerate().map(|(index, field)| u128::from(classify(field.name) == kind) << index);
    bits.fold(0, |all, bit| all | bit)
}

/// Copies the lines of `head`, from its first byte or from its first field, without the dropped ones and
/// without the empty line at the end.
fn copy_lines(head: &[u8], fields: &[Header<'_>], dropped: u128, first_line: bool, out: &mut Vec<u8>) {
    let end = head.len() - 2;
    let start_of = |index: usize| fields.get(index).map_or(end, |field| line_start(head, field));
    let mut from = if first_line { 0 } else { start_of(0) };
    let mut left = dropped;
    while left != 0 {
        let index = left.trailing_zeros() as usize;
        left &= left - 1;
        out.extend_from_slice(&head[from..start_of(index)]);
        from = start_of(index + 1);
    }
    out.extend_from_slice(&head[from..end]);
}
