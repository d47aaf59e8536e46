//! Requests that are accepted, taken to pieces.

use berth_http1::{BodyLength, Lines, RequestHead, Version};

use crate::{LIMITS, Pieces, parse, try_parse};

#[test]
fn an_ordinary_request() {
    let head = "GET /a/b?c=d&e HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\r\n";
    let expected = Pieces {
        method: "GET".into(),
        target: "/a/b?c=d&e".into(),
        version: Version::Http11,
        host: Some("example.org".into()),
        body: BodyLength::Exactly(0),
        keep_alive: true,
        expects_continue: false,
        consumed: head.len(),
    };
    assert_eq!(parse(head), expected);
    // What follows the head belongs to somebody else.
    assert_eq!(parse(format!("{head}GET /next HTTP/1.1\r\n")), expected);
}

#[test]
fn a_body_by_its_length() {
    for (value, length) in
        [("0", 0), ("5", 5), ("007", 7), ("9999999999999999999", 9_999_999_999_999_999_999)]
    {
        let head = parse(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {value}\r\n\r\n"));
        assert_eq!(head.body, BodyLength::Exactly(length));
    }
}

#[test]
fn a_body_in_chunks() {
    for value in ["chunked", "Chunked", "CHUNKED", "  chunked\t "] {
        let head = parse(format!("POST / HTTP/1.1\r\nHost: a\r\ntransfer-ENCODING:{value}\r\n\r\n"));
        assert_eq!(head.body, BodyLength::Chunked, "{value:?}");
    }
}

#[test]
fn without_length_and_coding_there_is_no_body_whatever_the_method() {
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "BREW", "get", "M-SEARCH", "!#$%&'*+-.^_`|~09"] {
        let head = parse(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!((head.method.as_str(), head.body), (method, BodyLength::Exactly(0)));
    }
}

#[test]
fn one_empty_line_before_the_request_is_passed_over() {
    let head = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(parse(head).consumed, head.len());
    for part in ["", "\r", "\r\n", "\r\nG"] {
        assert_eq!(try_parse(part.as_bytes(), &LIMITS), Ok(None), "{part:?}");
    }
}

#[test]
fn keep_alive_by_version_and_connection() {
    let cases = [
        ("1.1", "", true),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: CLOSE\r\n", false),
        ("1.1", "Connection: x, close ,y\r\n", false),
        ("1.1", "Connection: x\r\nConnection: close\r\n", false),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Keep-Alive: timeout=5\r\n", false),
    ];
    for (version, fields, expected) in cases {
        let head = parse(format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(head.keep_alive, expected, "{version} {fields:?}");
    }
}

#[test]
fn expect_is_heard_from_http_1_1_only() {
    for (version, value, expected) in [
        ("1.1", "100-continue", true),
        ("1.1", "100-Continue", true),
        ("1.1", "more", false),
        ("1.0", "100-continue", false),
    ] {
        let head =
            parse(format!("PUT / HTTP/{version}\r\nHost: a\r\nExpect: {value}\r\nContent-Length: 1\r\n\r\n"));
        assert_eq!(head.expects_continue, expected, "{version} {value}");
    }
}

#[test]
fn hosts() {
    let accepted = [
        "a",
        "example.org",
        "example.org:8080",
        "example.org:",
        "EXAMPLE.org",
        "a_b.c-d.e",
        "10.1.2.3",
        "10.1.2.3:80",
        "[::1]",
        "[::1]:80",
        "[2001:db8::1:2]:65535",
        "xn--bcher-kva.example",
        "a%20b",
    ];
    for host in accepted {
        let head = parse(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(head.host.as_deref(), Some(host));
    }
}

#[test]
fn http_1_0_may_come_without_host() {
    let head = parse("GET / HTTP/1.0\r\n\r\n");
    assert_eq!((head.version, head.host, head.keep_alive), (Version::Http10, None, false));
}

#[test]
fn targets() {
    let cases = [
        ("GET", "/", "/", "a"),
        (
            "GET",
            "/%2e%2E//x/../y;z=1?q=%00&r[]={}|\\^`\"<>",
            "/%2e%2E//x/../y;z=1?q=%00&r[]={}|\\^`\"<>",
            "a",
        ),
        ("GET", "//double", "//double", "a"),
        ("GET", "/http://x", "/http://x", "a"),
        ("OPTIONS", "*", "*", "a"),
        ("GET", "http://b/", "/", "b"),
        ("GET", "http://b", "/", "b"),
        ("GET", "HTTP://B:81/c?d", "/c?d", "B:81"),
        ("GET", "https://[::1]:81/c", "/c", "[::1]:81"),
        // The path is empty; what goes out gets its slash.
        ("GET", "http://b?c", "?c", "b"),
        ("OPTIONS", "http://b", "*", "b"),
        ("OPTIONS", "http://b/", "/", "b"),
        ("OPTIONS", "http://b?", "?", "b"),
        ("GET", "hTTpS://b", "/", "b"),
        ("GET", "http://b:", "/", "b:"),
        ("GET", "http://b:?c", "?c", "b:"),
        ("GET", "http://b//c://d", "//c://d", "b"),
        ("GET", "http://b/?c/d?e://f@g", "/?c/d?e://f@g", "b"),
        ("GET", "http://[2001:db8::1.2.3.4]:8080?c", "?c", "[2001:db8::1.2.3.4]:8080"),
        ("get", "http://%41.b/%41", "/%41", "%41.b"),
    ];
    for (method, target, expected, host) in cases {
        let head = parse(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!((head.target.as_str(), head.host.as_deref()), (expected, Some(host)), "{target}");
    }
}

#[test]
fn field_values_may_hold_anything_printable() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX-Blank: \t \r\nX-Bytes: \x80\xff\t\"(\x7e\r\nx!#$%&'*+-.^_`|~9:1\r\n\r\n";
    assert_eq!(parse(head).consumed, head.len());
}

#[test]
fn a_head_is_asked_for_until_its_last_byte() {
    let head = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    for end in 0..head.len() {
        assert_eq!(try_parse(&head[..end], &LIMITS), Ok(None), "after {end} bytes");
    }
    assert_eq!(parse(head).body, BodyLength::Exactly(3));
}

#[test]
fn who_would_rather_have_json() {
    let cases = [
        ("", false),
        ("*/*", false),
        ("application/json", true),
        ("APPLICATION/JSON", true),
        ("application/problem+json", true),
        ("application/json;q=0.9, */*;q=0.1", true),
        ("application/xml, application/json", true),
        ("image/png,,application/json ;v=1", true),
        ("text/html, application/json", false),
        ("text/*, application/json", false),
        ("TEXT/plain;q=0.1, application/json", false),
        ("application/json, text/html", true),
        ("application/json5", false),
        ("application/jso", false),
        ("x/application/json", false),
        ("text", false),
        ("application/*", false),
    ];
    for (accept, expected) in cases {
        assert_eq!(prefers_json(&format!("Accept: {accept}\r\n")), expected, "{accept:?}");
    }
    assert!(!prefers_json("Accept: text/html\r\nX-Accept: application/json\r\n"));
    assert!(prefers_json("Accept: */*\r\nAccept: application/json\r\n"));
}

fn prefers_json(fields: &str) -> bool {
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let mut lines = Lines::default();
    RequestHead::parse(head.as_bytes(), &mut lines, &LIMITS).unwrap().unwrap().prefers_json
}

#[test]
fn fields_by_their_name() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\nConnection: x-a\r\nX-Empty:\r\n\r\n";
    let mut lines = Lines::default();
    let head = RequestHead::parse(head, &mut lines, &LIMITS).unwrap().unwrap();
    assert_eq!(head.field("X-a"), Some(&b"1"[..]));
    assert_eq!(head.field("x-empty"), Some(&b""[..]));
    assert_eq!(head.field("connection"), Some(&b"x-a"[..]));
    assert_eq!((head.field("x"), head.field("")), (None, None));
}
