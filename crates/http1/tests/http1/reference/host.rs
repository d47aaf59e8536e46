//! `uri-host [ ":" port ]` (RFC 9110 §7.2, RFC 3986 §3.2).

use super::Note;

/// Notes what is wrong with a Host, or with the authority of a target.
pub(super) fn check(host: &[u8], notes: &mut Vec<Note>) {
    let close = host.iter().position(|byte| *byte == b']');
    let (name, port) = match (host.first(), close) {
        (Some(b'['), Some(close)) => {
            check_literal(&host[1..close], notes);
            (&host[..=close], &host[close + 1..])
        }
        _ => {
            let colon = host.iter().position(|byte| *byte == b':').unwrap_or(host.len());
            check_name(&host[..colon], notes);
            host.split_at(colon)
        }
    };
    if name.is_empty() {
        notes.push(Note::EmptyHost);
    }
    match port {
        [] => {}
        [b':', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => {}
        _ => notes.push(Note::Host),
    }
}

/// `reg-name = *( unreserved / pct-encoded / sub-delims )`; an IPv4 address is one as well.
fn check_name(name: &[u8], notes: &mut Vec<Note>) {
    for (index, byte) in name.iter().enumerate() {
        match byte {
            b',' => notes.push(Note::HostComma),
            b'%' if is_percent_encoded(&name[index..]) => {}
            b'%' => notes.push(Note::HostPercent),
            byte if is_unreserved(*byte) || is_sub_delim(*byte) => {}
            _ => notes.push(Note::Host),
        }
    }
}

/// `IPv6address / IPvFuture`.
fn check_literal(literal: &[u8], notes: &mut Vec<Note>) {
    let text = String::from_utf8_lossy(literal);
    if is_ipv6(&text) {
        return;
    }
    let future = text.strip_prefix(['v', 'V']).and_then(|rest| rest.split_once('.'));
    let is_future = future.is_some_and(|(version, rest)| {
        let hex = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_hexdigit());
        let allowed = |byte| is_unreserved(byte) || is_sub_delim(byte) || byte == b':';
        hex && !rest.is_empty() && rest.bytes().all(allowed)
    });
    notes.push(if is_future { Note::FutureAddress } else { Note::Host });
}

/// Eight groups, of which `::` stands for at least one; an IPv4 address at the end stands for two.
fn is_ipv6(text: &str) -> bool {
    match text.split_once("::") {
        None => groups(text, true).is_some_and(|count| count == 8),
        Some((before, after)) => {
            let before = if before.is_empty() { Some(0) } else { groups(before, false) };
            let after = if after.is_empty() { Some(0) } else { groups(after, true) };
            matches!((before, after), (Some(before), Some(after)) if before + after <= 7)
        }
    }
}

fn groups(text: &str, is_end: bool) -> Option<usize> {
    let groups: Vec<&str> = text.split(':').collect();
    let mut count = 0;
    for (index, group) in groups.iter().enumerate() {
        let is_hex = (1..=4).contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_hexdigit());
        count += match () {
            () if is_hex => 1,
            () if is_end && index + 1 == groups.len() && is_ipv4(group) => 2,
            () => return None,
        };
    }
    Some(count)
}

fn is_ipv4(text: &str) -> bool {
    let is_octet = |octet: &str| octet.parse::<u8>().is_ok_and(|value| value.to_string() == octet);
    text.split('.').count() == 4 && text.split('.').all(is_octet)
}

pub(super) fn is_percent_encoded(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

pub(super) fn is_sub_delim(byte: u8) -> bool {
    b"!$&'()*+,;=".contains(&byte)
}
