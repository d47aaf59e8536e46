//! The heads that go out. Runs of lines that stay are copied whole; nothing is put into a map.

use crate::fields::{Field, members, protocols};
use crate::lines::Line;
use crate::{BodyLength, FieldEdits, RequestHead, ResponseHead, Version};

/// What the upstream is told about the connection that a request came on, and how it is traced.
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
    /// Whether `Via` names this proxy (RFC 9110 §7.6.3).
    pub via: bool,
    /// Random numbers for `X-Request-Id` and `traceparent`, where the client sent none.
    pub entropy: [u64; 3],
}

/// What the operator changes in a request head on its way.
#[derive(Clone, Copy, Debug)]
pub struct RequestEdits<'a> {
    /// The request target in place of the client's, in pieces; its bytes may all stand in a request line.
    pub target: Option<[&'a [u8]; 4]>,
    /// The Host in place of the client's, which is told as `X-Forwarded-Host` all the same.
    pub host: Option<&'a [u8]>,
    /// Fields that are set or removed.
    pub fields: &'a FieldEdits,
}

/// Appends the request head that goes upstream: HTTP/1.1, without the fields of one hop, with the forwarding
/// fields of DESIGN §5. Path, query and every other field stay as they came, but for the edits.
pub fn write_request(
    head: &RequestHead<'_>,
    origin: &Origin<'_>,
    edits: Option<&RequestEdits<'_>>,
    out: &mut Vec<u8>,
) {
    let host = head.host.unwrap_or(origin.fallback_host.as_bytes());
    let mut dropped = head.dropped;
    if !origin.trusted {
        dropped |= head.claims;
    } else if head.claims != 0 {
        // A trusted peer's claims stay, but for X-Forwarded-For, which is continued.
        dropped |= lines_of(head.lines, Field::ForwardedFor);
    }
    if head.absolute {
        dropped |= lines_of(head.lines, Field::Host);
    }
    if head.version == Version::Http10 {
        // RFC 9110 §10.1.1: nobody heeds an expectation of HTTP/1.0, and as HTTP/1.1 it would be one.
        dropped |= lines_of(head.lines, Field::Expect);
    }
    if head.max_forwards.is_some() {
        dropped |= lines_of(head.lines, Field::MaxForwards);
    }
    let (mut target, mut new_host) = (None, None);
    if let Some(edits) = edits {
        dropped |= edits.fields.dropped_from_request(head.bytes, head.lines);
        (target, new_host) = (edits.target, edits.host);
    }
    if new_host.is_some() {
        dropped |= lines_of(head.lines, Field::Host);
    }
    out.reserve(head.bytes.len() + 384);
    let rewritten = head.version == Version::Http10 || head.absolute || target.is_some();
    if rewritten {
        let slash: &[u8] = if head.target.first() == Some(&b'?') { b"/" } else { b"" };
        let [first, second, third, fourth] = target.unwrap_or([slash, head.target, b"", b""]);
        for part in [head.method, b" ", first, second, third, fourth, b" HTTP/1.1\r\n"] {
            out.extend_from_slice(part);
        }
    }
    let from = if rewritten { fields_start(head) } else { 0 };
    copy_lines(head.bytes, from, head.lines, dropped, out);
    if head.absolute || head.host.is_none() || new_host.is_some() {
        line(out, b"Host", new_host.unwrap_or(host));
    }
    write_one_hop(head, out);
    if origin.trusted && head.claims != 0 {
        continue_claims(head, dropped, origin, host, out);
    } else {
        line(out, b"X-Forwarded-For", origin.peer.as_bytes());
        line(out, b"X-Real-IP", origin.peer.as_bytes());
        line(out, b"X-Forwarded-Proto", origin.scheme.as_bytes());
        line(out, b"X-Forwarded-Host", host);
    }
    if origin.via {
        let via: &[u8] =
            if head.version == Version::Http11 { b"Via: 1.1 berth\r\n" } else { b"Via: 1.0 berth\r\n" };
        out.extend_from_slice(via);
    }
    write_ids(head, origin.entropy, out);
    if let Some(edits) = edits {
        out.extend_from_slice(edits.fields.added());
    }
    out.extend_from_slice(b"\r\n");
}

/// The fields that are for the next hop only, made anew (RFC 9110 §7.6.1).
#[inline]
fn write_one_hop(head: &RequestHead<'_>, out: &mut Vec<u8>) {
    if head.reads_trailers {
        out.extend_from_slice(b"TE: trailers\r\nConnection: TE\r\n");
    }
    if let Some(asked) = head.upgrade {
        write_upgrade(asked, out);
    }
    if let Some(left) = head.max_forwards {
        line(out, b"Max-Forwards", itoa::Buffer::new().format(left.saturating_sub(1)).as_bytes());
    }
}

#[cold]
fn write_upgrade(value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: ");
    for (index, protocol) in protocols(value).enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(protocol);
    }
    out.extend_from_slice(b"\r\n");
}

/// `X-Request-Id`, and `traceparent` as the W3C's Trace Context has it: version 00, a trace, a span, not sampled.
/// What the client sent stays.
#[inline]
fn write_ids(head: &RequestHead<'_>, entropy: [u64; 3], out: &mut Vec<u8>) {
    let [high, low, span] = entropy.map(hex);
    if !head.has_request_id {
        let mut text = *b"X-Request-Id: 0123456789abcdef0123456789abcdef\r\n";
        text[14..30].copy_from_slice(&high);
        text[30..46].copy_from_slice(&low);
        out.extend_from_slice(&text);
    }
    if !head.has_trace_parent {
        let mut text = *b"traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-00\r\n";
        text[16..32].copy_from_slice(&high);
        text[32..48].copy_from_slice(&low);
        text[49..65].copy_from_slice(&span);
        out.extend_from_slice(&text);
    }
}

/// The `X-Request-Id` that these random numbers make.
pub fn request_id(entropy: [u64; 3]) -> String {
    entropy[..2].iter().flat_map(|half| hex(*half)).map(char::from).collect()
}

/// Sixteen digits of a number. All digits 0 would be no valid id, so a 0 becomes a 1.
#[inline]
fn hex(number: u64) -> [u8; 16] {
    let mut text = [0; 16];
    let number = number.max(1);
    text[..8].copy_from_slice(&hex_half((number >> 32) as u32));
    text[8..].copy_from_slice(&hex_half(number as u32));
    text
}

/// Eight digits, all at once: each half byte is spread to a byte, and those above 9 are moved on to the letters.
#[inline]
fn hex_half(number: u32) -> [u8; 8] {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let mut spread = u64::from(number);
    spread = (spread | spread << 16) & 0x0000_FFFF_0000_FFFF;
    spread = (spread | spread << 8) & 0x00FF_00FF_00FF_00FF;
    spread = (spread | spread << 4) & 0x0F0F_0F0F_0F0F_0F0F;
    let above_nine = (spread + ONES * 6) >> 4 & ONES;
    (spread + ONES * u64::from(b'0') + above_nine * u64::from(b'a' - b'9' - 1)).to_be_bytes()
}

/// Adds to what a trusted peer said of those it forwards for, and says what it left out.
#[cold]
fn continue_claims(
    head: &RequestHead<'_>,
    dropped: u128,
    origin: &Origin<'_>,
    host: &[u8],
    out: &mut Vec<u8>,
) {
    let mut nearest = origin.peer.as_bytes();
    out.extend_from_slice(b"X-Forwarded-For: ");
    // Several lines are one list (RFC 9110 §5.3).
    for line in head.lines.iter().filter(|line| line.field == Field::ForwardedFor) {
        let before = line.value(head.bytes);
        if before.is_empty() {
            continue;
        }
        out.extend_from_slice(before);
        out.extend_from_slice(b", ");
        nearest = members(before).last().unwrap_or(nearest);
    }
    out.extend_from_slice(origin.peer.as_bytes());
    out.extend_from_slice(b"\r\n");
    let left_out = |name: &[u8]| {
        let named = |(index, line): (usize, &Line)| {
            line.name(head.bytes).eq_ignore_ascii_case(name) && dropped & (1 << index) == 0
        };
        !head.lines.iter().enumerate().any(named)
    };
    let claims: [(&[u8], &[u8]); 3] = [
        (b"X-Forwarded-Proto", origin.scheme.as_bytes()),
        (b"X-Forwarded-Host", host),
        (b"X-Real-IP", nearest),
    ];
    for (name, value) in claims {
        if left_out(name) {
            line(out, name, value);
        }
    }
}

/// Replaces the Host in a head that [`write_request`] wrote, for an upstream that goes by a name of its own. Returns
/// the Host that was there.
pub fn replace_host(outgoing: &mut Vec<u8>, host: &[u8]) -> Option<Vec<u8>> {
    const NAME: &[u8] = b"host:";
    let mut at = 0;
    loop {
        at += outgoing[at..].iter().position(|byte| *byte == b'\n')? + 1;
        let line = outgoing[at..].split(|byte| *byte == b'\r').next().filter(|line| !line.is_empty())?;
        if line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)) {
            let before = line[NAME.len()..].trim_ascii().to_vec();
            let value = at + NAME.len()..at + line.len();
            outgoing.splice(value, [b" ", host].concat());
            return Some(before);
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
pub fn passes_unchanged(head: &ResponseHead<'_>, client: Downstream) -> bool {
    head.dropped == 0
        && head.version == Version::Http11
        && client.version == Version::Http11
        && client.keep_alive
}

/// Appends the answer head that goes to the client: HTTP/1.1 (RFC 9110 §6.2: an intermediary sends its own
/// version), without the fields of one hop, and with the edits. A client of HTTP/1.0 is not told of chunks: it does
/// not know them.
pub fn write_response(
    head: &ResponseHead<'_>,
    client: Downstream,
    edits: Option<&FieldEdits>,
    out: &mut Vec<u8>,
) {
    write_response_with(head, client, edits, b"", out);
}

/// The same, with further field lines, each with its line break.
pub fn write_response_with(
    head: &ResponseHead<'_>,
    client: Downstream,
    edits: Option<&FieldEdits>,
    fields: &[u8],
    out: &mut Vec<u8>,
) {
    let mut dropped =
        head.dropped | edits.map_or(0, |edits| edits.dropped_from_answer(head.bytes, head.lines));
    if client.version == Version::Http10 {
        dropped |= lines_of(head.lines, Field::TransferEncoding);
    }
    out.reserve(head.bytes.len() + 64);
    out.extend_from_slice(b"HTTP/1.1");
    copy_lines(head.bytes, b"HTTP/1.1".len(), head.lines, dropped, out);
    if let Some(edits) = edits {
        out.extend_from_slice(edits.added());
    }
    out.extend_from_slice(fields);
    if let Some(chosen) = head.upgrade {
        write_upgrade(chosen, out);
    }
    if !client.keep_alive {
        line(out, b"Connection", b"close");
    } else if client.version == Version::Http10 {
        line(out, b"Connection", b"keep-alive");
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
    // RFC 9110 §8.6, §15.3.5, §15.4.5: these have no body, and say nothing of its length.
    let bodiless = matches!(answer.status, 204 | 304);
    if !bodiless {
        if !answer.content_type.is_empty() {
            line(out, b"Content-Type", answer.content_type.as_bytes());
        }
        line(out, b"Content-Length", digits.format(answer.body.len()).as_bytes());
    }
    out.extend_from_slice(answer.fields);
    if let Some(seconds) = answer.retry_after_s {
        line(out, b"Retry-After", digits.format(seconds).as_bytes());
    }
    if !answer.client.keep_alive {
        line(out, b"Connection", b"close");
    } else if answer.client.version == Version::Http10 {
        line(out, b"Connection", b"keep-alive");
    }
    out.extend_from_slice(b"\r\n");
    if !answer.to_head && !bodiless {
        out.extend_from_slice(answer.body);
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
    /// What the body is; not said if it is empty.
    pub content_type: &'a str,
    /// Further field lines, each with its line break.
    pub fields: &'a [u8],
    /// What the client is told.
    pub body: &'a [u8],
    /// Whether it answers a HEAD, so that the body is only announced.
    pub to_head: bool,
    /// How the connection goes on.
    pub client: Downstream,
}

/// Appends what the last recipient of a TRACE sends back (RFC 9110 §9.3.8): the request as it came, without the
/// fields that may hold secrets.
pub fn write_trace(head: &RequestHead<'_>, out: &mut Vec<u8>) {
    const SECRET: [&[u8]; 4] = [b"authorization", b"proxy-authorization", b"cookie", b"x-api-key"];
    let is_secret =
        |line: &Line| SECRET.iter().any(|secret| line.name(head.bytes).eq_ignore_ascii_case(secret));
    let secrets = head.lines.iter().enumerate().map(|(index, line)| u128::from(is_secret(line)) << index);
    copy_lines(head.bytes, 0, head.lines, secrets.fold(0, |all, bit| all | bit), out);
    out.extend_from_slice(b"\r\n");
}

#[inline]
fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The lines of this kind, a bit for each.
fn lines_of(lines: &[Line], kind: Field) -> u128 {
    let bits = lines.iter().enumerate().map(|(index, line)| u128::from(line.field == kind) << index);
    bits.fold(0, |all, bit| all | bit)
}

/// Where the first field line is; the empty line if there is none.
fn fields_start(head: &RequestHead<'_>) -> usize {
    head.lines.first().map_or(head.bytes.len() - 2, Line::start)
}

/// Copies `head` from the byte `from` on, which is in front of its lines, without the dropped ones and without the
/// empty line at the end.
fn copy_lines(head: &[u8], mut from: usize, lines: &[Line], dropped: u128, out: &mut Vec<u8>) {
    let end = head.len() - 2;
    let mut left = dropped;
    while left != 0 {
        let index = left.trailing_zeros() as usize;
        left &= left - 1;
        out.extend_from_slice(&head[from..lines[index].start()]);
        from = lines.get(index + 1).map_or(end, Line::start);
    }
    out.extend_from_slice(&head[from..end]);
}
