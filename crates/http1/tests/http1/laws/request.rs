//! Request heads.

use berth_http1::{BodyLength, Limits, Lines, Refusal, RequestHead, Version};

use super::{grown, shown, sorted};
use crate::reference::request::{Request, read};
use crate::reference::{Field, Framing, tolerated, values};

/// Everything that is public about a head, apart from the bytes that it was parsed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) version: Version,
    pub(crate) host: Option<Vec<u8>>,
    pub(crate) body: BodyLength,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
    pub(crate) prefers_json: bool,
    pub(crate) upgrade: Option<Vec<u8>>,
    pub(crate) max_forwards: Option<u64>,
    pub(crate) consumed: usize,
}

/// Parses a head; None: it is not all there.
pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Option<Result<Said, Refusal>> {
    let mut lines = Lines::default();
    let said = |head: RequestHead<'_>| Said {
        method: head.method.to_vec(),
        target: head.target.to_vec(),
        version: head.version,
        host: head.host.map(<[u8]>::to_vec),
        body: head.body,
        keep_alive: head.keep_alive,
        expects_continue: head.expects_continue,
        prefers_json: head.prefers_json,
        upgrade: head.upgrade.map(<[u8]>::to_vec),
        max_forwards: head.max_forwards,
        consumed: head.consumed,
    };
    RequestHead::parse(bytes, &mut lines, limits).map(|head| head.map(said)).transpose()
}

/// A head is read alike however it arrives, whatever follows it, and as the reference and httparse read it; and
/// printed anew it says the same.
pub(crate) fn holds(bytes: &[u8], limits: &Limits) {
    let outcome = parse(bytes, limits);
    assert_eq!(grown(bytes, |bytes| parse(bytes, limits)), outcome, "split: {}", shown(bytes));
    let reference = read(bytes, limits);
    agrees(bytes, outcome.as_ref(), reference.as_ref());
    let (Some(Ok(said)), Some(reference)) = (outcome, reference) else { return };
    assert_fields(bytes, limits, &reference.fields);
    assert_httparse(&bytes[..said.consumed], &reference);
    for next in [&b"\r\n"[..], b"\n", b" x", b"\0", b"GET / HTTP/1.1\r\nHost: b\r\n\r\n"] {
        let more = [&bytes[..said.consumed], next].concat();
        assert_eq!(parse(&more, limits), Some(Ok(said.clone())), "followed: {}", shown(&more));
    }
    let printed = print(&reference);
    let roomy = Limits { head_bytes: limits.head_bytes + 3 * 128 + 2, ..*limits };
    let again = parse(&printed, &roomy);
    assert_eq!(again, Some(Ok(Said { consumed: printed.len(), ..said })), "printed: {}", shown(&printed));
}

/// The reference lets through what we let through, reads it alike, and has a note that explains each refusal.
fn agrees(bytes: &[u8], outcome: Option<&Result<Said, Refusal>>, reference: Option<&Request>) {
    let shown = shown(bytes);
    match (outcome, reference) {
        // What has no end may be refused as soon as no end could mend it.
        (None | Some(Err(_)), None) => {}
        (Some(Err(refusal)), Some(request)) => {
            let statuses: Vec<u16> =
                request.notes.iter().filter(|note| !note.is_tolerated()).map(|note| note.status()).collect();
            assert!(statuses.contains(&refusal.status()), "{refusal}, but {:?}: {shown}", request.notes);
        }
        (Some(Ok(said)), Some(request)) => {
            assert!(tolerated(&request.notes), "accepted, but {:?}: {shown}", request.notes);
            assert_said(said, request, &shown);
        }
        (Some(Ok(said)), None) => panic!("{said:?} without an end: {shown}"),
        (None, Some(request)) => panic!("waits for more, but {request:?}: {shown}"),
    }
}

fn assert_said(said: &Said, request: &Request, shown: &str) {
    let body = match request.framing {
        Framing::None => BodyLength::Exactly(0),
        Framing::Length(length) => BodyLength::Exactly(length),
        Framing::Chunked => BodyLength::Chunked,
    };
    let version = if request.http10 { Version::Http10 } else { Version::Http11 };
    assert_eq!((&said.method, &said.target), (&request.method, &request.target), "{shown}");
    assert_eq!((said.version, said.body), (version, body), "{shown}");
    assert_eq!((said.host.as_deref(), said.consumed), (request.host(), request.consumed), "{shown}");
    assert_eq!(said.keep_alive, request.keep_alive, "{shown}");
    assert_eq!(said.max_forwards, request.max_forwards, "{shown}");
    assert_eq!(said.upgrade.is_some(), request.upgrade().is_some(), "{shown}");
    if let [value] = values(&request.fields, "expect")[..] {
        let expects = !request.http10 && value.eq_ignore_ascii_case(b"100-continue");
        assert_eq!(said.expects_continue, expects, "{shown}");
    }
}

fn assert_fields(bytes: &[u8], limits: &Limits, fields: &[Field]) {
    let mut lines = Lines::default();
    let Ok(Some(head)) = RequestHead::parse(bytes, &mut lines, limits) else { return };
    for (name, _) in fields {
        let first = values(fields, name).first().copied();
        assert_eq!(head.field(name), first, "{name}: {}", shown(bytes));
    }
    assert_eq!(head.field("not there"), None);
}

/// What is accepted here is accepted by httparse, and means the same to it.
fn assert_httparse(bytes: &[u8], request: &Request) {
    let mut room = [httparse::EMPTY_HEADER; 128];
    let mut other = httparse::Request::new(&mut room);
    let length = other.parse(bytes);
    assert_eq!(length, Ok(httparse::Status::Complete(bytes.len())), "{}", shown(bytes));
    assert_eq!(other.method.map(str::as_bytes), Some(&request.method[..]));
    assert_eq!(other.path.map(str::as_bytes), Some(&request.raw_target[..]));
    assert_eq!(other.version, Some(u8::from(!request.http10)));
    let mut fields = request.fields.clone();
    fields.sort();
    assert_eq!(sorted(other.headers), fields, "{}", shown(bytes));
}

fn print(request: &Request) -> Vec<u8> {
    let version: &[u8] = if request.http10 { b" HTTP/1.0\r\n" } else { b" HTTP/1.1\r\n" };
    let mut out = [&request.method, &b" "[..], &request.raw_target, version].concat();
    for (name, value) in &request.fields {
        out.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    out.extend_from_slice(b"\r\n");
    out
}
