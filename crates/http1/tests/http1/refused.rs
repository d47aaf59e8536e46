//! Requests that are refused, each with its status.

use berth_http1::Refusal;

use crate::{LIMITS, laws, try_parse};

/// The refusal of a head. Where it is refused before its end, its prefixes must either ask for more or be
/// refused alike: no prefix may be accepted.
fn refusal(head: &[u8]) -> Refusal {
    let shown = head.escape_ascii();
    for end in 0..head.len() {
        let parsed = try_parse(&head[..end], &LIMITS);
        assert!(!matches!(parsed, Ok(Some(_))), "{shown}: accepted after {end} bytes");
    }
    laws::request::holds(head, &LIMITS);
    match try_parse(head, &LIMITS) {
        Err(refusal) => refusal,
        Ok(None) => panic!("{shown}: still waits for more"),
        Ok(Some(head)) => panic!("{shown}: accepted as {head:?}"),
    }
}

fn assert_malformed(heads: &[&str]) {
    for head in heads {
        assert_eq!(refusal(head.as_bytes()).status(), 400, "{head:?}");
    }
}

/// Refused are these fields in an otherwise ordinary POST.
fn assert_fields_malformed(fields: &[&str]) {
    for fields in fields {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        assert_eq!(refusal(head.as_bytes()).status(), 400, "{fields:?}");
    }
}

#[test]
fn two_framings() {
    assert_fields_malformed(&[
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nContent-Length: 0",
        "content-length: 5\r\ntransfer-encoding: identity",
    ]);
}

#[test]
fn lengths() {
    assert_fields_malformed(&[
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\ncontent-length: 5",
        "Content-Length: 5, 5",
        "Content-Length: 5,6",
        "Content-Length:",
        "Content-Length: ",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: -0",
        "Content-Length: 5.0",
        "Content-Length: 5 6",
        "Content-Length: 0x5",
        "Content-Length: 5a",
        "Content-Length: five",
        "Content-Length: \"5\"",
        "Content-Length: 5;",
        "Content-Length: 1e3",
        "Content-Length: 1_000",
        "Content-Length: 18446744073709551616",
        "Content-Length: 99999999999999999999999999",
        "Content-Length: \u{0665}",
    ]);
}

#[test]
fn codings() {
    assert_fields_malformed(&[
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedx",
        "Transfer-Encoding: chun ked",
        "Transfer-Encoding:",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding:",
        "Transfer-Encoding: chunked\u{a0}",
    ]);
    assert_malformed(&[
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
    ]);
}

#[test]
fn line_ends() {
    assert_malformed(&[
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\n",
        "GET / HTTP/1.1\n\n",
        "GET / HTTP/1.0\n\r\n",
        "GET / HTTP/1.0\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\nContent-Length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA:\nB: c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\r\n\r\n",
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\rHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rB: c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: \r b\r\n\r\n",
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ]);
}

#[test]
fn field_lines() {
    assert_fields_malformed(&[
        "A : b",
        "A\t: b",
        "Content-Length : 5",
        "Transfer-Encoding : chunked",
        " A: b",
        "A: b\r\n folded",
        "A: b\r\n\tfolded",
        "A: b\r\n : c",
        "no colon",
        ": no name",
        "A[b]: c",
        "A(b): c",
        "A b: c",
        "A@b: c",
        "\u{e4}: b",
    ]);
    // White space before the first field, which some take for a part of it and some pass over.
    assert_malformed(&[
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\tX: y\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    ]);
}

#[test]
fn control_characters_anywhere() {
    let controls = (0_u8..0x20).chain([0x7f]).filter(|byte| !b"\r\n\t".contains(byte));
    for byte in controls {
        // Far behind and near, because parsers look at several bytes at once.
        for room in [0, 1, 7, 15, 31, 40] {
            let pad = "x".repeat(room);
            let places: [(&str, &str); 6] = [
                ("GE", "T / HTTP/1.1\r\nHost: a\r\n\r\n"),
                ("GET /", " HTTP/1.1\r\nHost: a\r\n\r\n"),
                ("GET / HTTP/1.1", "\r\nHost: a\r\n\r\n"),
                ("GET / HTTP/1.1\r\nHost: a\r\nA", ": b\r\n\r\n"),
                ("GET / HTTP/1.1\r\nHost: a\r\nA: ", "\r\n\r\n"),
                ("GET / HTTP/1.1\r\nHost: ", "\r\n\r\n"),
            ];
            for (before, after) in places {
                let mut head = before.as_bytes().to_vec();
                if before.len() > 4 && !before.ends_with("1.1") {
                    head.extend_from_slice(pad.as_bytes());
                }
                head.push(byte);
                head.extend_from_slice(pad.as_bytes());
                head.extend_from_slice(after.as_bytes());
                let status = refusal(&head).status();
                assert_eq!(status, 400, "{}", head.escape_ascii());
            }
        }
    }
}

#[test]
fn hosts() {
    let malformed = [
        "",
        "a b",
        "a,b",
        "a/b",
        "a?b",
        "a#b",
        "a@b",
        "user@a",
        "user:pass@a",
        "http://a",
        "a\\b",
        "\"a\"",
        "<a>",
        "a:b",
        "a:80:81",
        "a:-1",
        "a:+80",
        ":80",
        "::1",
        "[::1",
        "::1]",
        "[::1]80",
        "[::1]x",
        "[]",
        "[a]",
        "[[::1]]",
        "[::1%25eth0]",
        "[1.2.3.4]",
        "a]",
        "a[b",
        "\u{e4}.example",
    ];
    for host in malformed {
        assert_malformed(&[
            &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            &format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n"),
            &format!("GET http://b/ HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        ]);
    }
    assert_malformed(&[
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nX-Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\n\r\n",
    ]);
}

#[test]
fn request_lines() {
    assert_malformed(&[
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\r\n\r\n",
        "GET\r\n\r\n",
        "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "G\u{e4}T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET: / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n",
    ]);
}

#[test]
fn targets() {
    let malformed = [
        "a",
        "*",
        "?a",
        "a.example:80",
        "/a#b",
        "/\u{e4}",
        "/\x7f",
        "ftp://a/",
        "htt://a/",
        "httpss://a/",
        "http//a/",
        "http://:80/",
        "http://[]/",
        "http://[::1]x/",
        "http://a:80:80/",
        "http://a@b/",
        "http://\\a/",
        "http://a\\b/",
        "http:/a",
        "http:a",
        "http:///a",
        "http://",
        "http://?a",
        "http://b#c",
        "http://b?c#d",
        "http://user@b/",
        "http://user:pass@b/",
        "http://b:c/",
        "http://b,c/",
        "http://[::1/",
        "://a/",
    ];
    for target in malformed {
        assert_malformed(&[&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")]);
    }
    assert_malformed(&["options * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n"]);
}

#[test]
fn versions() {
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/1.9", "HTTP/3", "HTTP/11.1"] {
        let head = format!("GET / {version}\r\nHost: a\r\n\r\n");
        assert_eq!(refusal(head.as_bytes()), Refusal::Version, "{version}");
    }
    assert_malformed(&[
        "GET / http/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTPS/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/x.y\r\nHost: a\r\n\r\n",
        "GET / HTTP/\r\nHost: a\r\n\r\n",
        "GET / ICAP/1.0\r\nHost: a\r\n\r\n",
    ]);
    // What a client of HTTP/2 says first.
    assert_eq!(refusal(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").status(), 505);
}

#[test]
fn connect() {
    for target in ["a.example:443", "/", "http://a/"] {
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(refusal(head.as_bytes()).status(), 501);
    }
}

#[test]
fn too_many_names_in_connection() {
    let names = |count: usize| (0..count).map(|n| format!("x-{n}")).collect::<Vec<_>>().join(",");
    let head = |count| format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {}\r\n\r\n", names(count));
    assert!(matches!(try_parse(head(16).as_bytes(), &LIMITS), Ok(Some(_))));
    assert_eq!(refusal(head(17).as_bytes()).status(), 400);
}
