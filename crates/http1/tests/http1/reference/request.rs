//! Request heads.

use berth_http1::Limits;

use super::host::{check, is_percent_encoded, is_sub_delim, is_unreserved};
use super::{Field, Framing, Note, framing, is_token, lists, number, persistent, values};

/// What a request head says.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Vec<u8>,
    /// As it came.
    pub(crate) raw_target: Vec<u8>,
    /// Path and query, or `*`; empty or without its slash where an absolute target has no path.
    pub(crate) target: Vec<u8>,
    pub(crate) http10: bool,
    pub(crate) fields: Vec<Field>,
    pub(crate) authority: Option<Vec<u8>>,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    pub(crate) max_forwards: Option<u64>,
    /// Where the body begins.
    pub(crate) consumed: usize,
    pub(crate) notes: Vec<Note>,
}

impl Request {
    /// Who is asked.
    pub(crate) fn host(&self) -> Option<&[u8]> {
        let named = values(&self.fields, "host").into_iter().next_back();
        self.authority.as_deref().or(named)
    }

    /// The protocols that are asked for, where the request may be upgraded (RFC 9110 §7.8): it is not of HTTP/1.0,
    /// has no body, and its only `Upgrade` names protocols and not just h2c.
    pub(crate) fn upgrade(&self) -> Option<Vec<String>> {
        let lines = values(&self.fields, "upgrade");
        let named = lists(&self.fields, "connection", "upgrade");
        let bodiless = matches!(self.framing, Framing::None | Framing::Length(0));
        if lines.len() != 1 || !named || self.http10 || !bodiless {
            return None;
        }
        protocols(lines[0])
    }
}

/// The protocols that an `Upgrade` names, as they came, without h2c. None: there are none, or it is malformed.
pub(crate) fn protocols(value: &[u8]) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(value);
    let all: Vec<&str> = text.split(',').map(|member| member.trim_matches([' ', '\t'])).collect();
    let all: Vec<&str> = all.into_iter().filter(|member| !member.is_empty()).collect();
    let is_protocol = |name: &&str| name.splitn(2, '/').all(|part| is_token(part.as_bytes()));
    let left: Vec<String> =
        all.iter().filter(|name| !name.eq_ignore_ascii_case("h2c")).map(|name| (*name).to_owned()).collect();
    (all.iter().all(is_protocol) && !left.is_empty()).then_some(left)
}

/// Reads the head at the front. None: it has no end.
pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Option<Request> {
    let mut notes = Vec::new();
    let before = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let bytes = &bytes[before..];
    if bytes.starts_with(b"\r\n") {
        notes.push(Note::EmptyLines);
    }
    let head = super::head(bytes, &mut notes)?;
    if head.length > limits.head_bytes {
        notes.push(Note::HeadTooLarge);
    }
    if head.fields.len() > limits.fields.min(128) {
        notes.push(Note::TooManyFields);
    }
    let (method, raw_target, http10) = request_line(head.start, limits, &mut notes);
    let (authority, target) = split_target(&method, &raw_target, &mut notes);
    let hosts = values(&head.fields, "host");
    if hosts.len() > 1 || (hosts.is_empty() && !http10) {
        notes.push(Note::HostCount);
    }
    for host in hosts {
        check(host, &mut notes);
    }
    let framing = framing(&head.fields, http10, &mut notes);
    let keep_alive = persistent(&head.fields, http10, &mut notes);
    if method == b"TRACE" && !matches!(framing, Framing::None | Framing::Length(0)) {
        notes.push(Note::TraceContent);
    }
    let max_forwards = max_forwards(&method, &head.fields, &mut notes);
    let consumed = before + head.length;
    Some(Request {
        method,
        raw_target,
        target,
        http10,
        fields: head.fields,
        authority,
        framing,
        keep_alive,
        max_forwards,
        consumed,
        notes,
    })
}

/// `request-line = method SP request-target SP HTTP-version` (RFC 9112 §3).
fn request_line(line: &[u8], limits: &Limits, notes: &mut Vec<Note>) -> (Vec<u8>, Vec<u8>, bool) {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    if words.get(1).is_some_and(|target| target.len() > limits.target_bytes) {
        notes.push(Note::TargetTooLong);
    }
    let [method, target, version] = words[..] else {
        notes.push(Note::StartLine);
        return (Vec::new(), b"/".to_vec(), false);
    };
    if !is_token(method) || target.is_empty() {
        notes.push(Note::StartLine);
    }
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => {}
        [b'H', b'T', b'T', b'P', b'/', number @ ..] if is_version(number) => notes.push(Note::Version),
        _ => notes.push(Note::StartLine),
    }
    (method.to_vec(), target.to_vec(), version == b"HTTP/1.0")
}

/// `DIGIT "." DIGIT`, and what later versions call themselves.
fn is_version(number: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    number.first().is_some_and(u8::is_ascii_digit) && number.len() <= 8 && number.iter().all(allowed)
}

/// The four forms of a target (RFC 9112 §3.2).
fn split_target(method: &[u8], target: &[u8], notes: &mut Vec<Note>) -> (Option<Vec<u8>>, Vec<u8>) {
    if method == b"CONNECT" {
        notes.push(Note::Connect);
        if !target.iter().all(|byte| matches!(byte, 0x21..=0x7E) && *byte != b'#') {
            notes.push(Note::Target);
        }
        return (None, target.to_vec());
    }
    if method == b"OPTIONS" && target == b"*" {
        return (None, target.to_vec());
    }
    if target.starts_with(b"/") {
        check_path(target, notes);
        return (None, target.to_vec());
    }
    let Some(colon) = target.windows(3).position(|three| three == b"://") else {
        notes.push(Note::Target);
        return (None, target.to_vec());
    };
    if !target[..colon].eq_ignore_ascii_case(b"http") && !target[..colon].eq_ignore_ascii_case(b"https") {
        notes.push(Note::Scheme);
    }
    let rest = &target[colon + 3..];
    let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // Here the empty host is against RFC 9110 §4.2.1, and the user's name against §4.2.4: `@` is in no name.
    check(authority, notes);
    check_path(path, notes);
    let whole: &[u8] = match path {
        [] if method == b"OPTIONS" => b"*",
        [] => b"/",
        path => path,
    };
    (Some(authority.to_vec()), whole.to_vec())
}

/// `absolute-path [ "?" query ]` of RFC 3986's `pchar`.
fn check_path(path: &[u8], notes: &mut Vec<Note>) {
    for (index, byte) in path.iter().enumerate() {
        match byte {
            b'/' | b'?' | b':' | b'@' => {}
            b'%' if is_percent_encoded(&path[index..]) => {}
            b'%' => notes.push(Note::TargetPercent),
            byte if is_unreserved(*byte) || is_sub_delim(*byte) => {}
            b'#' => notes.push(Note::Target),
            0x21..=0x7E => notes.push(Note::TargetByte),
            _ => notes.push(Note::Target),
        }
    }
}

/// `Max-Forwards = 1*DIGIT`, once (RFC 9110 §7.6.2).
fn max_forwards(method: &[u8], fields: &[Field], notes: &mut Vec<Note>) -> Option<u64> {
    let lines = values(fields, "max-forwards");
    if (method != b"TRACE" && method != b"OPTIONS") || lines.is_empty() {
        return None;
    }
    if lines.len() > 1 || lines[0].is_empty() || !lines[0].iter().all(u8::is_ascii_digit) {
        notes.push(Note::MaxForwards);
    } else if lines[0].len() > 19 {
        notes.push(Note::LongLength);
    }
    Some(number(lines[0]))
}
