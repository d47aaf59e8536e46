//! Answers that the balancer makes itself.

use std::net::IpAddr;

use berth_http1::PeerText;
use berth_http1::Version;
use berth_http1::forward::{Answer, Downstream, write_answer};

const ANSWER: Answer<'static> = Answer {
    status: 503,
    reason: "Service Unavailable",
    retry_after_s: Some(1),
    content_type: "text/plain; charset=utf-8",
    fields: b"",
    body: b"No instance.\n",
    to_head: false,
    client: Downstream { version: Version::Http11, keep_alive: true },
};

fn written(answer: &Answer<'_>) -> String {
    let mut out = b"before ".to_vec();
    write_answer(answer, &mut out);
    String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned()
}

#[test]
fn whole() {
    let head = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n\
                Retry-After: 1\r\n";
    assert_eq!(written(&ANSWER), format!("{head}\r\nNo instance.\n"));
    assert_eq!(written(&Answer { to_head: true, ..ANSWER }), format!("{head}\r\n"));
    let last = Downstream { keep_alive: false, ..ANSWER.client };
    assert_eq!(
        written(&Answer { client: last, ..ANSWER }),
        format!("{head}Connection: close\r\n\r\nNo instance.\n")
    );
    let old = Downstream { version: Version::Http10, ..ANSWER.client };
    assert_eq!(
        written(&Answer { client: old, ..ANSWER }),
        format!("{head}Connection: keep-alive\r\n\r\nNo instance.\n")
    );
}

#[test]
fn without_retry() {
    assert_eq!(
        written(&Answer { status: 400, reason: "Bad Request", retry_after_s: None, body: b"", ..ANSWER }),
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn addresses_as_text() {
    for (address, text) in [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::1", "::1"),
        ("2001:db8::1", "2001:db8::1"),
    ] {
        assert_eq!(PeerText::of(address.parse::<IpAddr>().unwrap()).as_str(), text);
    }
}
