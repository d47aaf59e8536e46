//! Upgrades: what is asked for upstream, what an answer may switch to, and the heads that say so.

use berth_http1::forward::{Downstream, write_response};
use berth_http1::{Lines, RequestHead, ResponseHead, Version};

use crate::{LIMITS, STRANGER, forward, forwarded, forwarded_from, laws};

/// What a request with these lines asks for.
fn asked(head: &str) -> Option<String> {
    laws::request::holds(head.as_bytes(), &LIMITS);
    let mut lines = Lines::default();
    let head = RequestHead::parse(head.as_bytes(), &mut lines, &LIMITS).unwrap().unwrap();
    head.upgrade.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

fn get(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

#[test]
fn what_is_asked_for_goes_upstream_in_our_own_words() {
    let cases = [
        ("Connection: Upgrade\r\nUpgrade: websocket\r\n", "websocket"),
        ("upgrade:\twebsocket \r\nconnection: keep-alive, UPGRADE\r\n", "websocket"),
        ("Connection: close\r\nConnection: upgrade\r\nUpgrade: a/1.1,b\r\n", "a/1.1, b"),
        ("Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n", "websocket"),
        ("Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAM\r\nUpgrade: a, ,H2C,b,\r\n", "a, b"),
        ("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n", "websocket"),
    ];
    for (lines, protocols) in cases {
        assert!(asked(&get(lines)).is_some(), "{lines:?}");
        let length = if lines.contains("Length") { "Content-Length: 0\r\n" } else { "" };
        let sent = format!("Connection: Upgrade\r\nUpgrade: {protocols}\r\n");
        assert_eq!(
            forward(get(lines), &STRANGER),
            format!("GET / HTTP/1.1\r\nHost: a\r\n{length}{sent}") + &forwarded("a"),
            "{lines:?}"
        );
    }
}

#[test]
fn what_cannot_be_passed_on_is_as_if_it_had_not_been_asked() {
    let cases = [
        // HTTP/2 would hide the requests behind it.
        "Connection: Upgrade\r\nUpgrade: h2c\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c, H2C\r\nHTTP2-Settings: AAM\r\n",
        // Not named, so it came from somebody before the client.
        "Upgrade: websocket\r\n",
        "Connection: keep-alive\r\nUpgrade: websocket\r\n",
        // Which one?
        "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n",
        "Connection: Upgrade\r\nUpgrade: a\r\nupgrade: b\r\n",
        // No protocols.
        "Connection: Upgrade\r\n",
        "Connection: Upgrade\r\nUpgrade:\r\n",
        "Connection: Upgrade\r\nUpgrade: ,\r\n",
        "Connection: Upgrade\r\nUpgrade: \"websocket\"\r\n",
        "Connection: Upgrade\r\nUpgrade: web socket\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket, a b\r\n",
        "Connection: Upgrade\r\nUpgrade: a/b/c\r\n",
        "Connection: Upgrade\r\nUpgrade: /\r\n",
        "Connection: Upgrade\r\nUpgrade: a/\r\n",
        "Connection: Upgrade\r\nUpgrade: web\u{e4}\r\n",
    ];
    for lines in cases {
        assert_eq!(asked(&get(lines)), None, "{lines:?}");
        let plain = "GET / HTTP/1.1\r\nHost: a\r\n".to_owned() + &forwarded("a");
        assert_eq!(forward(get(lines), &STRANGER), plain, "{lines:?}");
    }
}

#[test]
fn neither_a_body_nor_http_1_0_is_upgraded() {
    let lines = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    for framing in ["Content-Length: 1\r\n", "Transfer-Encoding: chunked\r\n"] {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}{framing}\r\n");
        assert_eq!(asked(&head), None, "{framing:?}");
        let sent = format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}") + &forwarded("a");
        assert_eq!(forward(&head, &STRANGER), sent);
    }
    let old = format!("GET / HTTP/1.0\r\nHost: a\r\n{lines}\r\n");
    assert_eq!(asked(&old), None);
    assert_eq!(
        forward(&old, &STRANGER),
        "GET / HTTP/1.1\r\nHost: a\r\n".to_owned() + &forwarded_from("1.0", "a")
    );
}

fn with<T>(head: &str, then: impl FnOnce(&ResponseHead<'_>) -> T) -> T {
    laws::answer::holds(head.as_bytes(), false);
    let mut lines = Lines::default();
    then(&ResponseHead::parse(head.as_bytes(), &mut lines, false).unwrap().unwrap())
}

#[test]
fn only_what_was_asked_for_is_switched_to() {
    let cases = [
        ("Upgrade: websocket\r\n", "websocket", true),
        ("Upgrade: WebSocket\r\n", "h2c, websocket", true),
        ("upgrade: b\r\n", "a, b/2, b", true),
        ("Upgrade: b, a\r\n", "a, b", true),
        ("Upgrade: b/2\r\n", "a, b", false),
        ("Upgrade: websocket2\r\n", "websocket", false),
        ("Upgrade: a\r\n", "websocket", false),
        ("Upgrade: websocket, a\r\n", "websocket", false),
        ("Upgrade: h2c\r\n", "h2c, websocket", false),
        ("Upgrade: web socket\r\n", "websocket", false),
        ("Upgrade:\r\n", "websocket", false),
        ("Upgrade: websocket\r\nUpgrade: websocket\r\n", "websocket", false),
        ("Upgrade: evil\r\nUpgrade: websocket\r\n", "websocket", false),
        ("", "websocket", false),
        ("X-Upgrade: websocket\r\n", "websocket", false),
    ];
    for (lines, asked, expected) in cases {
        let head = format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{lines}\r\n");
        assert_eq!(with(&head, |head| head.switches_to(asked.as_bytes())), expected, "{lines:?} {asked:?}");
    }
    let other = "HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n";
    assert!(!with(other, |head| head.switches_to(b"websocket")));
}

fn written(head: &str) -> String {
    with(head, |head| {
        let mut out = Vec::new();
        write_response(head, Downstream { version: Version::Http11, keep_alive: true }, None, &mut out);
        String::from_utf8(out).unwrap()
    })
}

#[test]
fn answers_about_an_upgrade() {
    let switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade, x-a\r\nX-A: 1\r\n\
                     Sec-WebSocket-Accept: x\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(
        written(switching),
        "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
    let required = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: h2c, TLS/1.0\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        written(required),
        "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0\r\n\r\n"
    );
}

#[test]
fn answers_that_say_nothing_clear_about_an_upgrade() {
    for lines in ["Upgrade: h2c\r\n", "Upgrade: \r\n", "Upgrade: a b\r\n", "Upgrade: a\r\nUpgrade: b\r\n", ""]
    {
        for status in ["101 x", "426 x"] {
            let head = format!("HTTP/1.1 {status}\r\nConnection: Upgrade\r\n{lines}A: b\r\n\r\n");
            assert_eq!(written(&head), format!("HTTP/1.1 {status}\r\nA: b\r\n\r\n"), "{lines:?}");
        }
    }
    // Other answers may offer one; that is between the two ends of a hop.
    let offered = "HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(written(offered), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}
