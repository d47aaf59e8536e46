//! What field lines mean to a proxy: which ones it acts on, what `Connection` and `Upgrade` say.

use crate::Version;
use crate::lines::{Line, TOKEN_BYTES};

/// The fields that a proxy acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Expect,
    Accept,
    Te,
    Upgrade,
    MaxForwards,
    RequestId,
    TraceParent,
    ForwardedFor,
    /// What a client may not claim about itself: X-Real-IP, X-Forwarded-Proto, X-Forwarded-Host, Forwarded.
    Forwarded,
    /// `X-Berth-Load`: what an endpoint tells the balancer of its load.
    Load,
    /// Fields of one hop: RFC 9110 §7.6.1, and what older software sends.
    OneHop,
    /// `Content_Length` and its like: some servers take `_` for `-`, so it could mean to them what was settled
    /// here otherwise.
    LookAlike,
    Other,
}

impl Field {
    /// Whether a trailer of this name could change how a message was read, or where it went (RFC 9110 §6.5.1).
    pub(crate) fn is_too_late(self) -> bool {
        !matches!(self, Field::Other | Field::Accept | Field::RequestId | Field::TraceParent | Field::Load)
    }
}

/// Sorts a field by its name, which is not empty. Length and first letter settle almost every one.
#[inline]
pub(crate) fn classify(name: &[u8]) -> Field {
    let (known, field): (&[u8], Field) = match (name.len(), name[0] | 0x20) {
        (2, b't') => (b"te", Field::Te),
        (4, b'h') => (b"host", Field::Host),
        (6, b'a') => (b"accept", Field::Accept),
        (6, b'e') => (b"expect", Field::Expect),
        (7, b'u') => (b"upgrade", Field::Upgrade),
        (9, b'x') => (b"x-real-ip", Field::Forwarded),
        (9, b'f') => (b"forwarded", Field::Forwarded),
        (10, b'c') => (b"connection", Field::Connection),
        (10, b'k') => (b"keep-alive", Field::OneHop),
        (11, b't') => (b"traceparent", Field::TraceParent),
        (12, b'm') => (b"max-forwards", Field::MaxForwards),
        (12, b'x') if name[2] | 0x20 == b'b' => (b"x-berth-load", Field::Load),
        (12, b'x') => (b"x-request-id", Field::RequestId),
        (14, b'c') => (b"content-length", Field::ContentLength),
        (14, b'h') => (b"http2-settings", Field::OneHop),
        (15, b'x') => (b"x-forwarded-for", Field::ForwardedFor),
        (16, b'p') => (b"proxy-connection", Field::OneHop),
        (16, b'x') => (b"x-forwarded-host", Field::Forwarded),
        (17, b't') => (b"transfer-encoding", Field::TransferEncoding),
        (17, b'x') => (b"x-forwarded-proto", Field::Forwarded),
        _ => return Field::Other,
    };
    // Names are tokens: of these only letters have a bit to lose.
    if name.iter().zip(known).all(|(byte, known)| byte | 0x20 == *known) {
        return field;
    }
    let alike = |(byte, known): (&u8, &u8)| byte | 0x20 == *known || (*byte == b'_' && *known == b'-');
    if name.iter().zip(known).all(alike) { Field::LookAlike } else { Field::Other }
}

/// Fields that stay although `Connection` names them: they are end-to-end, and a client that could have them
/// removed on the way could change what the upstream is asked (RFC 9110 §7.6.1 forbids to name them).
const END_TO_END: [&[u8]; 24] = [
    b"accept",
    b"authorization",
    b"cache-control",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"date",
    b"expect",
    b"forwarded",
    b"host",
    b"max-forwards",
    b"range",
    b"set-cookie",
    b"traceparent",
    b"tracestate",
    b"transfer-encoding",
    b"via",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-real-ip",
    b"x-request-id",
];

/// The most field names that `Connection` may list: each is compared with every field.
const MAX_NAMED: usize = 16;

/// What the `Connection` fields of a head say (RFC 9110 §7.6.1).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ConnectionOptions {
    close: bool,
    keep_alive: bool,
    pub(crate) upgrade: bool,
    named: bool,
}

impl ConnectionOptions {
    /// Adds what one `Connection` field says.
    pub(crate) fn add(&mut self, value: &[u8]) {
        for option in members(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                // `Upgrade` is a field of one hop whether or not it is named.
                self.upgrade = true;
            } else {
                self.named = true;
            }
        }
    }

    /// Whether the connection may carry another message after this one (RFC 9112 §9.3).
    #[inline]
    pub(crate) fn persistent(self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    /// Marks the fields that the head's `Connection` fields name. False: they name too many.
    #[inline]
    pub(crate) fn mark_named(self, head: &[u8], lines: &[Line], dropped: &mut u128) -> bool {
        !self.named || mark_named(head, lines, dropped)
    }
}

#[cold]
fn mark_named(head: &[u8], lines: &[Line], dropped: &mut u128) -> bool {
    let mut count = 0;
    for connection in lines.iter().filter(|line| line.field == Field::Connection) {
        for option in members(connection.value(head)) {
            count += 1;
            if count > MAX_NAMED {
                return false;
            }
            if !END_TO_END.iter().any(|kept| option.eq_ignore_ascii_case(kept)) {
                mark(option, head, lines, dropped);
            }
        }
    }
    true
}

fn mark(name: &[u8], head: &[u8], lines: &[Line], dropped: &mut u128) {
    for (index, line) in lines.iter().enumerate() {
        if line.name(head).eq_ignore_ascii_case(name) {
            *dropped |= 1 << index;
        }
    }
}

/// The members of a comma-separated list, without the empty ones (RFC 9110 §5.6.1).
pub(crate) fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// Reads a Content-Length: digits and nothing else (RFC 9110 §8.6).
pub(crate) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    value.iter().try_fold(0_u64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
}

/// The protocols of an `Upgrade` field (RFC 9110 §7.8) that may be switched to through a proxy. HTTP/2 is none:
/// behind it the proxy would see no requests any more.
pub(crate) fn protocols(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    members(value).filter(|protocol| !protocol.eq_ignore_ascii_case(b"h2c"))
}

/// Whether an `Upgrade` field offers a protocol that may be passed on, and is nothing but protocols.
pub(crate) fn offers_protocol(value: &[u8]) -> bool {
    let is_token = |part: &[u8]| !part.is_empty() && part.iter().all(|byte| TOKEN_BYTES[usize::from(*byte)]);
    let is_protocol = |protocol: &[u8]| protocol.splitn(2, |byte| *byte == b'/').all(is_token);
    members(value).all(is_protocol) && protocols(value).next().is_some()
}
