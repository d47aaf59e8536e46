//! What may go out of what came in: the start line and all fields, in no order.

use berth_http1::Version;
use berth_http1::forward::{Downstream, Origin};

use super::answer::Answer;
use super::request::{Request, protocols};
use super::{Field, Framing, lists, members, trimmed, values};

/// The names that a proxy acts on.
pub(crate) const ACTED_ON: [&str; 19] = [
    "te",
    "host",
    "accept",
    "expect",
    "upgrade",
    "x-real-ip",
    "forwarded",
    "connection",
    "keep-alive",
    "traceparent",
    "max-forwards",
    "x-request-id",
    "content-length",
    "http2-settings",
    "x-forwarded-for",
    "proxy-connection",
    "x-forwarded-host",
    "transfer-encoding",
    "x-forwarded-proto",
];

/// The fields of one hop (RFC 9110 §7.6.1, RFC 9113 §8.2.2), whoever names them.
const ONE_HOP: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "te", "upgrade", "http2-settings"];

/// What a client may not claim about itself.
const CLAIMS: [&str; 5] =
    ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip", "forwarded"];

/// End-to-end fields that stay though `Connection` names them.
pub(super) const STAY: [&str; 24] = [
    "accept",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "max-forwards",
    "range",
    "set-cookie",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
];

/// Whether some servers would take this name for one that was acted on: they take `_` for `-`.
pub(crate) fn looks_alike(name: &str) -> bool {
    name.contains('_') && ACTED_ON.contains(&name.replace('_', "-").as_str())
}

/// The fields that pass from one side to the other.
fn passing(fields: &[Field]) -> Vec<Field> {
    let passes = |name: &str| {
        let removed = lists(fields, "connection", name) && !STAY.contains(&name);
        !ONE_HOP.contains(&name) && !removed
    };
    fields.iter().filter(|(name, _)| passes(name)).cloned().collect()
}

fn add(fields: &mut Vec<Field>, name: &str, value: impl AsRef<[u8]>) {
    fields.push((name.to_owned(), trimmed(value.as_ref()).to_vec()));
}

fn remove(fields: &mut Vec<Field>, name: &str) {
    fields.retain(|(known, _)| known != name);
}

/// The request line and the fields that go upstream, these sorted.
pub(crate) fn request(request: &Request, origin: &Origin<'_>) -> (Vec<u8>, Vec<Field>) {
    let mut fields = passing(&request.fields);
    fields.retain(|(name, _)| !looks_alike(name));
    if !origin.trusted {
        fields.retain(|(name, _)| !CLAIMS.contains(&name.as_str()));
    }
    let host = request.host().unwrap_or(origin.fallback_host.as_bytes()).to_vec();
    remove(&mut fields, "host");
    add(&mut fields, "host", &host);
    if request.http10 {
        // As HTTP/1.1 it would be an expectation (RFC 9110 §10.1.1).
        remove(&mut fields, "expect");
    }
    add_claims(&mut fields, &host, origin);
    if lists(&request.fields, "te", "trailers") {
        add(&mut fields, "te", "trailers");
        add(&mut fields, "connection", "TE");
    }
    if let Some(protocols) = request.upgrade() {
        add(&mut fields, "connection", "Upgrade");
        add(&mut fields, "upgrade", protocols.join(", "));
    }
    if let Some(left) = request.max_forwards {
        remove(&mut fields, "max-forwards");
        add(&mut fields, "max-forwards", left.saturating_sub(1).to_string());
    }
    if origin.via {
        add(&mut fields, "via", if request.http10 { "1.0 berth" } else { "1.1 berth" });
    }
    add_ids(&mut fields, origin.entropy);
    fields.sort();
    let slash: &[u8] = if request.target.starts_with(b"?") { b"/" } else { b"" };
    ([&request.method[..], b" ", slash, &request.target, b" HTTP/1.1"].concat(), fields)
}

/// Whom the request is forwarded for: what a trusted peer says of it stays, and is continued.
fn add_claims(fields: &mut Vec<Field>, host: &[u8], origin: &Origin<'_>) {
    let peer = origin.peer.as_bytes().to_vec();
    let lines = values(fields, "x-forwarded-for").into_iter().filter(|line| !line.is_empty());
    let mut way: Vec<Vec<u8>> = lines.map(<[u8]>::to_vec).collect();
    let nearest = members(fields, "x-forwarded-for").pop().map_or(peer.clone(), <[u8]>::to_vec);
    way.push(peer);
    remove(fields, "x-forwarded-for");
    add(fields, "x-forwarded-for", way.join(&b", "[..]));
    let claims: [(&str, &[u8]); 3] = [
        ("x-forwarded-proto", origin.scheme.as_bytes()),
        ("x-forwarded-host", host),
        ("x-real-ip", &nearest),
    ];
    for (name, value) in claims {
        if values(fields, name).is_empty() {
            add(fields, name, value);
        }
    }
}

fn add_ids(fields: &mut Vec<Field>, entropy: [u64; 3]) {
    // An id of nothing but 0 is none.
    let [high, low, span] = entropy.map(|number| format!("{:016x}", number.max(1)));
    if values(fields, "x-request-id").is_empty() {
        add(fields, "x-request-id", format!("{high}{low}"));
    }
    if values(fields, "traceparent").is_empty() {
        add(fields, "traceparent", format!("00-{high}{low}-{span}-00"));
    }
}

/// The status line and the fields that go to the client, these sorted.
pub(crate) fn answer(answer: &Answer, client: Downstream) -> (Vec<u8>, Vec<Field>) {
    let mut fields = passing(&answer.fields);
    if answer.is_bodiless() {
        remove(&mut fields, "content-length");
    }
    if answer.is_bodiless() || client.version == Version::Http10 {
        remove(&mut fields, "transfer-encoding");
    }
    if let Some(protocols) = answer.upgrade().and_then(protocols) {
        add(&mut fields, "connection", "Upgrade");
        add(&mut fields, "upgrade", protocols.join(", "));
    }
    if !client.keep_alive {
        add(&mut fields, "connection", "close");
    } else if client.version == Version::Http10 {
        add(&mut fields, "connection", "keep-alive");
    }
    fields.sort();
    ([b"HTTP/1.1", &answer.rest[..]].concat(), fields)
}

/// Whether a head of these fields announces a body in one way at most.
pub(crate) fn has_one_framing(fields: &[Field], framing: Framing) -> bool {
    let lengths = values(fields, "content-length");
    let codings = values(fields, "transfer-encoding");
    match framing {
        Framing::None => lengths.is_empty() && codings.is_empty(),
        Framing::Length(_) => lengths.len() == 1 && codings.is_empty(),
        Framing::Chunked => lengths.is_empty() && codings.len() == 1,
    }
}
