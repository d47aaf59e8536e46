//! Fields of one hop are removed both ways; nobody removes others through that door.

use berth_http1::forward::{Downstream, write_response};
use berth_http1::{BodyLength, Lines, ResponseHead, Version};

use crate::{STRANGER, forward, forwarded, parse};

/// These lines among others, and what is left of all of them upstream.
fn left_upstream(lines: &str) -> String {
    let sent = forward(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"), &STRANGER);
    let rest = sent.strip_prefix("GET / HTTP/1.1\r\nHost: a\r\n").unwrap();
    rest.strip_suffix(&forwarded("a")).unwrap_or_else(|| panic!("{sent}")).to_owned()
}

#[test]
fn known_ones() {
    let lines = "A: 1\r\nTE: trailers\r\nConnection: close\r\nB: 2\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\n\
                 C: 3\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\nte: gzip\r\nD: 4\r\nconnection:\r\n";
    let kept = "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n";
    assert_eq!(left_upstream(&lines.replace("TE: trailers", "TE: deflate")), kept);
    // That the client reads trailers is said to the next hop in our own words.
    let reads_trailers = "TE: trailers\r\nConnection: TE\r\n";
    assert_eq!(left_upstream(lines), format!("{kept}{reads_trailers}"));
    for lines in ["te:gzip, TRAILERS\r\n", "TE: gzip\r\nTE: trailers\r\nConnection: TE\r\n"] {
        assert_eq!(left_upstream(lines), reads_trailers, "{lines:?}");
    }
}

#[test]
fn those_that_connection_names() {
    let cases = [
        ("Connection: x-a\r\nX-A: 1\r\nX-B: 2\r\n", "X-B: 2\r\n"),
        ("X-A: 1\r\nX-B: 2\r\nx-a: 3\r\nConnection: X-A\r\n", "X-B: 2\r\n"),
        ("Connection: x-a , x-b,, keep-alive\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\n", "X-C: 3\r\n"),
        ("Connection: x-a\r\nConnection: x-b\r\nX-A: 1\r\nX-B: 2\r\n", ""),
        ("Connection: x\r\nX-A: 1\r\n", "X-A: 1\r\n"),
        ("Connection: keep-alive\r\nX-A: 1\r\n", "X-A: 1\r\n"),
    ];
    for (lines, expected) in cases {
        assert_eq!(left_upstream(lines), expected, "{lines:?}");
    }
}

#[test]
fn end_to_end_fields_stay_though_named() {
    let lines = "Authorization: secret\r\nCookie: a=b\r\nCache-Control: no-store\r\nContent-Type: text/plain\r\n\
                 Content-Encoding: gzip\r\nRange: bytes=0-1\r\nExpect: 100-continue\r\n";
    let named = "Connection: host, authorization, cookie, cache-control, content-type, content-encoding, range, expect\r\n";
    assert_eq!(left_upstream(&format!("{named}{lines}")), lines);
}

#[test]
fn framing_stays_though_named() {
    for (framing, body) in
        [("Content-Length: 5", BodyLength::Exactly(5)), ("Transfer-Encoding: chunked", BodyLength::Chunked)]
    {
        let lines = format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n");
        let head = format!("{lines}Connection: Content-Length, transfer-encoding, HOST\r\n\r\n");
        assert_eq!(parse(&head).body, body);
        let sent = forward(&head, &STRANGER);
        assert_eq!(sent, lines + &forwarded("a"));
        assert_eq!(parse(&sent).body, body);
    }
}

#[test]
fn look_alikes_do_not_go_upstream() {
    for name in [
        "Content_Length",
        "TRANSFER_ENCODING",
        "x_forwarded_for",
        "X-Forwarded_For",
        "X_Forwarded-Proto",
        "x_forwarded_host",
        "X_Real_IP",
        "Keep_Alive",
        "Proxy_Connection",
        "HTTP2_Settings",
        "Max_Forwards",
        "X_Request_Id",
    ] {
        assert_eq!(left_upstream(&format!("A: 1\r\n{name}: 5\r\nB: 2\r\n")), "A: 1\r\nB: 2\r\n", "{name}");
    }
    // Nor does one hide the field that it looks like.
    let lines = "POST / HTTP/1.1\r\nHost: a\r\n";
    let head = format!("{lines}Content_Length: 7\r\nContent-Length: 5\r\nTransfer_Encoding: chunked\r\n\r\n");
    assert_eq!(parse(&head).body, BodyLength::Exactly(5));
    assert_eq!(forward(&head, &STRANGER), format!("{lines}Content-Length: 5\r\n") + &forwarded("a"));
    for name in
        ["Content_Type", "_Host", "Host_", "_", "X_A", "Content__Length", "ContentLength", "Content.Length"]
    {
        let line = format!("{name}: 5\r\n");
        assert_eq!(left_upstream(&line), line);
    }
}

#[test]
fn all_lines_and_the_last_one() {
    let many: String = (0..127).map(|n| format!("X-{n}: y\r\n")).collect();
    assert_eq!(left_upstream(&many), many);
    let closes: String = "Connection: close\r\n".repeat(127);
    assert_eq!(left_upstream(&closes), "");
}

fn left_downstream(lines: &str) -> String {
    let head = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n");
    let mut space = Lines::default();
    let head = ResponseHead::parse(head.as_bytes(), &mut space, false).unwrap().unwrap();
    let mut out = Vec::new();
    write_response(&head, Downstream { version: Version::Http11, keep_alive: true }, None, &mut out);
    let text = String::from_utf8(out).unwrap();
    let rest = text.strip_prefix("HTTP/1.1 200 OK\r\n").unwrap();
    rest.strip_suffix("Content-Length: 0\r\n\r\n").unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn in_answers() {
    let cases = [
        ("A: 1\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nB: 2\r\n", "A: 1\r\nB: 2\r\n"),
        ("Connection: close\r\nUpgrade: h2\r\nA: 1\r\n", "A: 1\r\n"),
        ("Connection: x-a\r\nX-A: 1\r\nX-B: 2\r\n", "X-B: 2\r\n"),
        (
            "Connection: content-length, set-cookie, date\r\nSet-Cookie: a\r\nDate: b\r\n",
            "Set-Cookie: a\r\nDate: b\r\n",
        ),
        ("Proxy-Connection: close\r\nTE: x\r\n", ""),
        // About the client, not from it: an answer may say what it likes.
        ("X-Forwarded-For: 1\r\nForwarded: 2\r\n", "X-Forwarded-For: 1\r\nForwarded: 2\r\n"),
    ];
    for (lines, expected) in cases {
        assert_eq!(left_downstream(lines), expected, "{lines:?}");
    }
}
