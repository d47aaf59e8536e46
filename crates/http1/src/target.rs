//! The request target and the host (RFC 9112 §3.2, RFC 3986 §3.2).

use std::net::Ipv6Addr;

use crate::Refusal;
use crate::lines::letters_digits_and;

/// The bytes of a request target: visible ASCII but for the mark of a fragment, which never travels.
pub(crate) const TARGET_BYTES: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        allowed[byte as usize] = byte != b'#';
        byte += 1;
    }
    allowed
};

/// The bytes of a host's name (`reg-name` of RFC 3986 §3.2.2), without the comma: it would look like a list.
const NAME_BYTES: [bool; 256] = letters_digits_and(b"-._~%!$&'()*+;=");

/// Splits the request target (RFC 9112 §3.2) into the authority of an absolute form and the origin form, whose
/// path is empty where an absolute form has none.
#[inline]
pub(crate) fn split_target<'b>(
    method: &[u8],
    target: &'b [u8],
) -> Result<(Option<&'b [u8]>, &'b [u8]), Refusal> {
    if method == b"CONNECT" {
        return Err(Refusal::Connect);
    }
    if target[0] == b'/' || (target == b"*" && method == b"OPTIONS") {
        return Ok((None, target));
    }
    split_absolute(method, target)
}

#[cold]
fn split_absolute<'b>(method: &[u8], target: &'b [u8]) -> Result<(Option<&'b [u8]>, &'b [u8]), Refusal> {
    let malformed = Refusal::Malformed("the request target is neither a path nor a URL");
    let colon = target.iter().position(|byte| *byte == b':').ok_or(malformed)?;
    let (scheme, rest) = target.split_at(colon);
    let rest = rest.strip_prefix(b"://").ok_or(malformed)?;
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return Err(malformed);
    }
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.is_empty() {
        return Err(malformed);
    }
    check_host(authority)?;
    match path.first() {
        // RFC 9112 §3.2.4: then the whole server is meant.
        None if method == b"OPTIONS" => Ok((Some(authority), b"*")),
        None => Ok((Some(authority), b"/")),
        Some(_) => Ok((Some(authority), path)),
    }
}

/// Whether a request may have this Host.
pub fn is_host(text: &str) -> bool {
    check_host(text.as_bytes()).is_ok()
}

/// Checks a Host: a name or an address and perhaps a port (RFC 9110 §7.2), no user information. It is never empty
/// (RFC 9110 §4.2.1).
#[inline]
pub(crate) fn check_host(host: &[u8]) -> Result<(), Refusal> {
    let end = if host.first() == Some(&b'[') {
        bracketed_end(host)
    } else {
        host.iter().position(|byte| !NAME_BYTES[usize::from(*byte)]).unwrap_or(host.len())
    };
    let is_port = match host.get(end..) {
        Some([]) => true,
        Some([b':', digits @ ..]) => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if end > 0 && is_port { Ok(()) } else { Err(Refusal::Malformed("Host is malformed")) }
}

/// Where an IPv6 address in brackets ends; 0 if it is none.
fn bracketed_end(host: &[u8]) -> usize {
    let Some(close) = host.iter().position(|byte| *byte == b']') else { return 0 };
    let address = std::str::from_utf8(&host[1..close]).ok().and_then(|text| text.parse::<Ipv6Addr>().ok());
    if address.is_some() { close + 1 } else { 0 }
}
