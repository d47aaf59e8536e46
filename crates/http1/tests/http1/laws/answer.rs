//! Answer heads, as they come and as they go to the client.

use berth_http1::forward::{Downstream, passes_unchanged, write_response};
use berth_http1::{BadAnswer, BodyLength, Lines, ResponseHead, Version};

use super::{grown, shown, sorted};
use crate::reference::answer::{Answer, read};
use crate::reference::{Framing, outgoing, tolerated};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    status: u16,
    version: Version,
    body: BodyLength,
    keep_alive: bool,
    upgrade: Option<Vec<u8>>,
    length: usize,
}

fn parse(bytes: &[u8], to_head: bool) -> Option<Result<Said, BadAnswer>> {
    let mut lines = Lines::default();
    let said = |head: ResponseHead<'_>| Said {
        status: head.status,
        version: head.version,
        body: head.body,
        keep_alive: head.keep_alive,
        upgrade: head.upgrade.map(<[u8]>::to_vec),
        length: head.bytes.len(),
    };
    ResponseHead::parse(bytes, &mut lines, to_head).map(|head| head.map(said)).transpose()
}

/// A head is read alike however it arrives, as the reference and httparse read it, and what goes to the client is
/// what the reference would send, in one reading.
pub(crate) fn holds(bytes: &[u8], to_head: bool) {
    let outcome = parse(bytes, to_head);
    assert_eq!(grown(bytes, |bytes| parse(bytes, to_head)), outcome, "split: {}", shown(bytes));
    let reference = read(bytes);
    let shown = shown(bytes);
    let (said, answer) = match (outcome, reference) {
        (None | Some(Err(_)), None) => return,
        (Some(Err(problem)), Some(answer)) => {
            assert!(!tolerated(&answer.notes), "{problem}, but {:?}: {shown}", answer.notes);
            return;
        }
        (Some(Ok(said)), Some(answer)) => (said, answer),
        other => panic!("{other:?}: {shown}"),
    };
    assert!(tolerated(&answer.notes), "accepted, but {:?}: {shown}", answer.notes);
    assert_said(&said, &answer, to_head, &shown);
    assert_httparse(&bytes[..said.length], &answer);
    for version in [Version::Http10, Version::Http11] {
        for keep_alive in [false, true] {
            assert_sent(&bytes[..said.length], &said, &answer, to_head, Downstream { version, keep_alive });
        }
    }
}

fn assert_said(said: &Said, answer: &Answer, to_head: bool, shown: &str) {
    let body = match answer.framing {
        _ if answer.is_bodiless() || answer.status == 304 || to_head => BodyLength::Exactly(0),
        Framing::None => BodyLength::UntilClose,
        Framing::Length(length) => BodyLength::Exactly(length),
        Framing::Chunked => BodyLength::Chunked,
    };
    let version = if answer.http10 { Version::Http10 } else { Version::Http11 };
    assert_eq!((said.status, said.version), (answer.status, version), "{shown}");
    assert_eq!((said.body, said.length), (body, answer.length), "{shown}");
    assert_eq!(said.keep_alive, answer.persistent && body != BodyLength::UntilClose, "{shown}");
    assert_eq!(said.upgrade.as_deref(), answer.upgrade(), "{shown}");
}

fn assert_httparse(bytes: &[u8], answer: &Answer) {
    let mut room = [httparse::EMPTY_HEADER; 128];
    let mut other = httparse::Response::new(&mut room);
    assert_eq!(other.parse(bytes), Ok(httparse::Status::Complete(bytes.len())), "{}", shown(bytes));
    assert_eq!((other.code, other.version), (Some(answer.status), Some(u8::from(!answer.http10))));
    let mut fields = answer.fields.clone();
    fields.sort();
    assert_eq!(sorted(other.headers), fields, "{}", shown(bytes));
}

fn assert_sent(bytes: &[u8], said: &Said, answer: &Answer, to_head: bool, client: Downstream) {
    let mut lines = Lines::default();
    let Ok(Some(head)) = ResponseHead::parse(bytes, &mut lines, to_head) else { panic!("{}", shown(bytes)) };
    let mut sent = Vec::new();
    write_response(&head, client, None, &mut sent);
    if passes_unchanged(&head, client) {
        assert_eq!(sent, bytes, "{}", shown(bytes));
    }
    let (start, fields) = outgoing::answer(answer, client);
    assert!(sent.starts_with(&[&start[..], b"\r\n"].concat()), "{}", shown(&sent));
    let mut room = [httparse::EMPTY_HEADER; 160];
    let mut other = httparse::Response::new(&mut room);
    assert_eq!(other.parse(&sent), Ok(httparse::Status::Complete(sent.len())), "{}", shown(&sent));
    assert_eq!(sorted(other.headers), fields, "{}", shown(&sent));
    let Some(Ok(again)) = parse(&sent, to_head) else {
        assert!(answer.fields.len() > 120 || sent.len() > 64 * 1024, "{}", shown(&sent));
        return;
    };
    // A client of HTTP/1.0 gets chunks as a body that ends with the connection.
    let unchunked = client.version == Version::Http10 && said.body == BodyLength::Chunked;
    let body = if unchunked { BodyLength::UntilClose } else { said.body };
    assert_eq!((again.status, again.body), (said.status, body), "{}", shown(&sent));
    assert_eq!(again.keep_alive, client.keep_alive && body != BodyLength::UntilClose, "{}", shown(&sent));
}
