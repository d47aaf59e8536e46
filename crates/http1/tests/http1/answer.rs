//! Answer heads: how long the body is, whether the connection goes on, and the exact bytes that the client gets.

use berth_http1::forward::{Downstream, must_unchunk, passes_unchanged, write_response};
use berth_http1::{BadAnswer, BodyLength, Lines, ResponseHead, Version};

use crate::laws;
use BodyLength::{Chunked, Exactly, UntilClose};

const CLIENT: Downstream = Downstream { version: Version::Http11, keep_alive: true };
const LAST: Downstream = Downstream { keep_alive: false, ..CLIENT };
const OLD: Downstream = Downstream { version: Version::Http10, keep_alive: true };
const OLD_LAST: Downstream = Downstream { keep_alive: false, ..OLD };

fn with<T>(
    bytes: &str,
    to_head: bool,
    then: impl FnOnce(&ResponseHead<'_>) -> T,
) -> Result<Option<T>, BadAnswer> {
    laws::answer::holds(bytes.as_bytes(), to_head);
    let mut space = Lines::default();
    Ok(ResponseHead::parse(bytes.as_bytes(), &mut space, to_head)?.map(|head| then(&head)))
}

fn body_and_keep_alive(bytes: &str, to_head: bool) -> (BodyLength, bool) {
    with(bytes, to_head, |head| (head.body, head.keep_alive)).unwrap().unwrap()
}

fn written(bytes: &str, client: Downstream) -> String {
    let mut out = Vec::new();
    with(bytes, false, |head| write_response(head, client, None, &mut out)).unwrap().unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn body_lengths() {
    let cases = [
        ("1.1 200 OK", "Content-Length: 5\r\n", Exactly(5), true),
        ("1.1 200 OK", "Content-Length: 0\r\n", Exactly(0), true),
        ("1.1 200 OK", "Transfer-Encoding: chunked\r\n", Chunked, true),
        ("1.1 200 OK", "Transfer-Encoding: CHUNKED\r\n", Chunked, true),
        ("1.1 200 OK", "", UntilClose, false),
        ("1.1 200 OK", "Connection: keep-alive\r\n", UntilClose, false),
        ("1.1 200 OK", "Connection: close\r\nContent-Length: 5\r\n", Exactly(5), false),
        ("1.1 200", "Content-Length: 5\r\n", Exactly(5), true),
        ("1.1 200 ", "Content-Length: 5\r\n", Exactly(5), true),
        ("1.1 999 Odd", "Content-Length: 5\r\n", Exactly(5), true),
        ("1.0 200 OK", "Content-Length: 5\r\n", Exactly(5), false),
        ("1.0 200 OK", "Content-Length: 5\r\nConnection: keep-alive\r\n", Exactly(5), true),
        ("1.0 200 OK", "", UntilClose, false),
        ("1.1 204 No Content", "", Exactly(0), true),
        ("1.1 204 No Content", "Content-Length: 5\r\n", Exactly(0), true),
        ("1.1 204 No Content", "Transfer-Encoding: chunked\r\n", Exactly(0), true),
        ("1.1 304 Not Modified", "Content-Length: 5\r\n", Exactly(0), true),
        ("1.1 304 Not Modified", "", Exactly(0), true),
        ("1.1 100 Continue", "", Exactly(0), true),
        ("1.1 103 Early Hints", "Content-Length: 5\r\n", Exactly(0), true),
    ];
    for (status, fields, body, keep_alive) in cases {
        let head = format!("HTTP/{status}\r\n{fields}\r\n");
        assert_eq!(body_and_keep_alive(&head, false), (body, keep_alive), "{head:?}");
    }
}

#[test]
fn an_answer_to_head_has_no_body() {
    for fields in ["", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        assert_eq!(body_and_keep_alive(&head, true), (Exactly(0), true), "{fields:?}");
    }
}

#[test]
fn refused() {
    let heads = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n",
        "HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 O\0K\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 000 None\r\n\r\n",
        "HTTP/1.1 099 None\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "ok\r\n\r\n",
        "<html></html>",
        "\x15\x03\x01\0\x02\x02\x50",
    ];
    for head in heads {
        assert!(with(head, false, |_| ()).is_err(), "{head:?}");
    }
    let names: Vec<_> = (0..17).map(|n| format!("x-{n}")).collect();
    let head = format!("HTTP/1.1 200 OK\r\nConnection: {}\r\n\r\n", names.join(","));
    assert!(with(&head, false, |_| ()).is_err());
}

#[test]
fn a_head_is_asked_for_until_its_last_byte() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    for end in 0..head.len() {
        assert_eq!(with(&head[..end], false, |_| ()), Ok(None), "after {end} bytes");
    }
    assert_eq!(with(&format!("{head}hello"), false, |head| head.bytes.len()), Ok(Some(head.len())));
}

#[test]
fn what_passes_unchanged() {
    let plain = "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\n";
    let cases = [
        (plain, CLIENT, true),
        (plain, LAST, false),
        (plain, OLD, false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", CLIENT, false),
        ("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n", CLIENT, false),
        ("HTTP/1.1 200 OK\r\nKeep-Alive: x\r\nContent-Length: 5\r\n\r\n", CLIENT, false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", CLIENT, true),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", CLIENT, false),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", CLIENT, true),
    ];
    for (head, client, expected) in cases {
        let unchanged = with(head, false, |head| passes_unchanged(head, client)).unwrap().unwrap();
        assert_eq!(unchanged, expected, "{head:?} {client:?}");
        // Where nothing need be changed, nothing is.
        assert!(!unchanged || written(head, client) == head, "{head:?}");
    }
}

#[test]
fn how_it_is_rewritten() {
    let length = "Content-Length: 5\r\n";
    let cases = [
        (
            format!("HTTP/1.1 200 OK\r\n{length}\r\n"),
            LAST,
            format!("HTTP/1.1 200 OK\r\n{length}Connection: close\r\n\r\n"),
        ),
        (
            format!("HTTP/1.0 200 OK\r\nA: b\r\n{length}\r\n"),
            CLIENT,
            format!("HTTP/1.1 200 OK\r\nA: b\r\n{length}\r\n"),
        ),
        (
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{length}\r\n"),
            CLIENT,
            format!("HTTP/1.1 200 OK\r\n{length}\r\n"),
        ),
        (
            format!("HTTP/1.1 200 \r\n{length}\r\n"),
            OLD,
            format!("HTTP/1.1 200 \r\n{length}Connection: keep-alive\r\n\r\n"),
        ),
        (
            format!("HTTP/1.1 200\r\n{length}\r\n"),
            OLD_LAST,
            format!("HTTP/1.1 200\r\n{length}Connection: close\r\n\r\n"),
        ),
        ("HTTP/1.1 200 OK\r\n\r\n".into(), LAST, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".into()),
        (
            format!("HTTP/1.1 204 No Content\r\nA: b\r\n{length}\r\n"),
            CLIENT,
            "HTTP/1.1 204 No Content\r\nA: b\r\n\r\n".into(),
        ),
        (
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
            CLIENT,
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".into(),
        ),
        (
            format!("HTTP/1.1 304 Not Modified\r\n{length}\r\n"),
            CLIENT,
            format!("HTTP/1.1 304 Not Modified\r\n{length}\r\n"),
        ),
    ];
    for (head, client, expected) in cases {
        assert_eq!(written(&head, client), expected, "{head:?} {client:?}");
    }
}

#[test]
fn a_client_of_http_1_0_is_not_told_of_chunks() {
    let head = "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\nC: d\r\n\r\n";
    assert!(must_unchunk(Chunked, Version::Http10));
    assert!(!must_unchunk(Chunked, Version::Http11) && !must_unchunk(Exactly(1), Version::Http10));
    assert_eq!(written(head, OLD_LAST), "HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\nConnection: close\r\n\r\n");
    assert_eq!(written(head, LAST), head.replace("C: d\r\n", "C: d\r\nConnection: close\r\n"));
    // Nor by the answer to a HEAD, which has no chunks.
    let mut out = Vec::new();
    with(head, true, |head| write_response(head, OLD, None, &mut out)).unwrap().unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\nConnection: keep-alive\r\n\r\n"
    );
}
