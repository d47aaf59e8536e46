//! Field lines: which ones matter to a proxy, where each line lies, and what `Connection` says.

use std::mem::MaybeUninit;

use httparse::Header;

use crate::Version;

/// The most field lines that a head may have. A head's dropped lines are the bits of a `u128`.
pub const MAX_FIELDS: usize = 128;

/// Room for the field lines of one head, on the stack of the poll that parses it.
pub type FieldSpace<'b> = [MaybeUninit<Header<'b>>; MAX_FIELDS];

/// Room for the field lines of one head. It costs nothing: nothing is initialised.
#[inline(always)]
pub fn field_space<'b>() -> FieldSpace<'b> {
    [const { MaybeUninit::uninit() }; MAX_FIELDS]
}

/// The fields that a proxy acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Expect,
    ForwardedFor,
    /// What a client may not claim about itself: X-Real-IP, X-Forwarded-Proto, X-Forwarded-Host, Forwarded.
    Forwarded,
    /// Fields of one hop: RFC 9110 §7.6.1, and what older software sends.
    OneHop,
    Other,
}

/// Sorts a field by its name. Length first: almost every field is settled by it and one comparison.
#[inline]
pub(crate) fn classify(name: &str) -> Field {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    match name.len() {
        2 if is("te") => Field::OneHop,
        4 if is("host") => Field::Host,
        6 if is("expect") => Field::Expect,
        7 if is("upgrade") => Field::OneHop,
        9 if is("x-real-ip") || is("forwarded") => Field::Forwarded,
        10 if is("connection") => Field::Connection,
        10 if is("keep-alive") => Field::OneHop,
        14 if is("content-length") => Field::ContentLength,
        14 if is("http2-settings") => Field::OneHop,
        15 if is("x-forwarded-for") => Field::ForwardedFor,
        16 if is("x-forwarded-host") => Field::Forwarded,
        16 if is("proxy-connection") => Field::OneHop,
        17 if is("transfer-encoding") => Field::TransferEncoding,
        17 if is("x-forwarded-proto") => Field::Forwarded,
        _ => Field::Other,
    }
}

/// Fields that stay although `Connection` names them: they are end-to-end, and a client that could have them
/// removed on the way could change what the upstream is asked (RFC 9110 §7.6.1 forbids to name them).
const END_TO_END: [&str; 14] = [
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "host",
    "range",
    "set-cookie",
    "transfer-encoding",
    "x-forwarded-for",
];

/// The most field names that `Connection` may list: each is compared with every field.
const MAX_NAMED: usize = 16;

/// What the `Connection` fields of a head say (RFC 9110 §7.6.1).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ConnectionOptions {
    close: bool,
    keep_alive: bool,
    named: bool,
}

impl ConnectionOptions {
    /// Adds what one `Connection` field says.
    pub(crate) fn add(&mut self, value: &[u8]) {
        for option in options(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else {
                self.named = true;
            }
        }
    }

    /// Whether the connection may carry another message after this one (RFC 9112 §9.3).
    pub(crate) fn persistent(self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    /// Marks the fields that the head's `Connection` fields name. False: they name too many.
    pub(crate) fn mark_named(self, fields: &[Header<'_>], dropped: &mut u128) -> bool {
        if !self.named {
            return true;
        }
        let mut count = 0;
        for connection in fields.iter().filter(|field| classify(field.name) == Field::Connection) {
            for option in options(connection.value) {
                count += 1;
                if count > MAX_NAMED {
                    return false;
                }
                if !END_TO_END.iter().any(|kept| option.eq_ignore_ascii_case(kept.as_bytes())) {
                    mark(option, fields, dropped);
                }
            }
        }
        true
    }
}

fn mark(name: &[u8], fields: &[Header<'_>], dropped: &mut u128) {
    for (index, field) in fields.iter().enumerate() {
        if field.name.as_bytes().eq_ignore_ascii_case(name) {
            *dropped |= 1 << index;
        }
    }
}

/// The members of a comma-separated list, without the empty ones (RFC 9110 §5.6.1).
fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|option| !option.is_empty())
}

/// Reads a Content-Length: digits and nothing else (RFC 9110 §8.6).
pub(crate) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    value.iter().try_fold(0_u64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
}

/// Where in `bytes` the part lies. `part` must be a slice of `bytes`.
#[inline]
pub(crate) fn offset_of(bytes: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr() - bytes.as_ptr().addr()
}

/// The start of a field's line in the head.
#[inline]
pub(crate) fn line_start(head: &[u8], field: &Header<'_>) -> usize {
    offset_of(head, field.name.as_bytes())
}

/// Whether every line of the head ends in CRLF. The parser also takes a bare LF, which a laxer or stricter
/// neighbour may read differently.
#[inline]
pub(crate) fn lines_end_in_crlf(head: &[u8], fields: &[Header<'_>]) -> bool {
    let crlf_before = |end: usize| end >= 2 && &head[end - 2..end] == b"\r\n";
    // The empty line at the end, and the line before it.
    head.ends_with(b"\r\n\r\n") && fields.iter().all(|field| crlf_before(line_start(head, field)))
}
