//! Request heads that go upstream.

use berth_http1::forward::{Origin, replace_host, write_request};
use berth_http1::{Limits, Lines, RequestHead};

use super::request::{Said, parse};
use super::{LIMITS, STRANGER, TRUSTED, shown, sorted};
use crate::reference::request::{Request, read};
use crate::reference::{outgoing, tolerated};

/// What goes upstream is what the reference would send, and has one reading.
pub(crate) fn holds(bytes: &[u8]) {
    let Some(Ok(said)) = parse(bytes, &LIMITS) else { return };
    let request = read(bytes, &LIMITS).unwrap_or_else(|| panic!("no end: {}", shown(bytes)));
    for origin in [STRANGER, TRUSTED, Origin { via: false, entropy: [0, u64::MAX, 0], ..TRUSTED }] {
        let sent = sent(bytes, &origin);
        assert_sent(&sent, &request, &origin);
        assert_same(&sent, &said, &origin);
        assert_replaced(&sent);
        if !origin.trusted {
            assert_settled(&sent, &origin);
        }
    }
}

/// The head as it goes upstream; empty if it is not accepted.
fn sent(bytes: &[u8], origin: &Origin<'_>) -> Vec<u8> {
    let mut lines = Lines::default();
    let mut out = Vec::new();
    if let Ok(Some(head)) = RequestHead::parse(bytes, &mut lines, &LIMITS) {
        write_request(&head, origin, None, &mut out);
    }
    out
}

fn assert_sent(sent: &[u8], request: &Request, origin: &Origin<'_>) {
    let roomy = Limits { head_bytes: usize::MAX, fields: 128, ..LIMITS };
    let mut out = read(sent, &roomy).unwrap_or_else(|| panic!("no end: {}", shown(sent)));
    // Ours may be more lines than a head may have.
    out.notes.retain(|note| *note != crate::reference::Note::TooManyFields);
    assert!(out.notes.iter().all(|note| request.notes.contains(note)), "{:?}: {}", out.notes, shown(sent));
    assert!(tolerated(&out.notes));
    let (start, fields) = outgoing::request(request, origin);
    assert!(sent.starts_with(&[&start[..], b"\r\n"].concat()), "{} {}", shown(&start), shown(sent));
    out.fields.sort();
    assert_eq!(out.fields, fields, "{}", shown(sent));
    assert!(outgoing::has_one_framing(&out.fields, request.framing), "{}", shown(sent));
    assert_eq!((out.framing, out.consumed), (request.framing, sent.len()), "{}", shown(sent));
    let mut room = [httparse::EMPTY_HEADER; 160];
    let mut other = httparse::Request::new(&mut room);
    assert_eq!(other.parse(sent), Ok(httparse::Status::Complete(sent.len())), "{}", shown(sent));
    assert_eq!(sorted(other.headers), fields, "{}", shown(sent));
}

/// To whoever reads it with this parser it says what it said.
fn assert_same(sent: &[u8], said: &Said, origin: &Origin<'_>) {
    let Some(Ok(again)) = parse(sent, &LIMITS) else {
        // The lines that were added may have been too many.
        assert!(
            sent.windows(2).filter(|two| two == b"\r\n").count() > 128 || sent.len() > 60_000,
            "{}",
            shown(sent)
        );
        return;
    };
    let slash: &[u8] = if said.target.starts_with(b"?") { b"/" } else { b"" };
    assert_eq!(again.target, [slash, &said.target[..]].concat());
    assert_eq!(again.host.as_deref(), Some(said.host.as_deref().unwrap_or(origin.fallback_host.as_bytes())));
    assert_eq!((&again.method, again.body), (&said.method, said.body));
    assert_eq!(again.upgrade.is_some(), said.upgrade.is_some());
    assert_eq!((again.prefers_json, again.keep_alive), (said.prefers_json, true));
}

/// With another Host it says the same in all but that.
fn assert_replaced(sent: &[u8]) {
    let roomy = Limits { head_bytes: usize::MAX, ..LIMITS };
    let mut replaced = sent.to_vec();
    let before = replace_host(&mut replaced, b"other.example:80");
    let (Some(first), Some(second)) = (read(sent, &roomy), read(&replaced, &roomy)) else {
        panic!("no end: {}", shown(&replaced));
    };
    assert_eq!(before.as_deref(), first.host(), "{}", shown(sent));
    assert_eq!(second.host(), Some(&b"other.example:80"[..]), "{}", shown(&replaced));
    assert_eq!(
        (&second.raw_target, second.framing),
        (&first.raw_target, first.framing),
        "{}",
        shown(&replaced)
    );
    let others = |request: &Request| {
        request.fields.iter().filter(|(name, _)| name != "host").cloned().collect::<Vec<_>>()
    };
    assert_eq!(others(&second), others(&first), "{}", shown(&replaced));
}

/// Another balancer behind this one has nothing to change but `Via` and `Max-Forwards`.
fn assert_settled(first: &[u8], origin: &Origin<'_>) {
    let second = sent(first, &Origin { via: false, ..*origin });
    if second.is_empty() {
        return;
    }
    let lines = |head: &[u8]| {
        let text: String = head.iter().map(|byte| char::from(*byte)).collect();
        let kept = text.split("\r\n").filter(|line| !line.starts_with("Max-Forwards: "));
        let mut lines: Vec<String> = kept.map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(&second), lines(first), "{}", shown(first));
}
