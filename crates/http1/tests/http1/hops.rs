//! What counts, names and traces the hops: Max-Forwards, TRACE, Via, X-Request-Id and traceparent.

use berth_http1::forward::{Origin, write_trace};
use berth_http1::{Lines, RequestHead};

use crate::{LIMITS, STRANGER, TRUSTED, forward, forwarded, forwarded_from, laws, try_parse};

fn with<T>(head: &str, then: impl FnOnce(&RequestHead<'_>) -> T) -> T {
    laws::request::holds(head.as_bytes(), &LIMITS);
    let mut lines = Lines::default();
    then(&RequestHead::parse(head.as_bytes(), &mut lines, &LIMITS).unwrap().unwrap())
}

#[test]
fn max_forwards_is_counted_down() {
    for method in ["TRACE", "OPTIONS"] {
        for (value, left, sent) in [
            ("10", 10, "9"),
            ("1", 1, "0"),
            ("007", 7, "6"),
            // It is not sent on; nobody underflows.
            ("0", 0, "0"),
            ("9999999999999999999", 9_999_999_999_999_999_999, "9999999999999999998"),
        ] {
            let head = format!("{method} / HTTP/1.1\r\nHost: a\r\nmax-forwards:{value}\r\nA: b\r\n\r\n");
            assert_eq!(with(&head, |head| head.max_forwards), Some(left), "{head:?}");
            assert_eq!(
                forward(&head, &STRANGER),
                format!("{method} / HTTP/1.1\r\nHost: a\r\nA: b\r\nMax-Forwards: {sent}\r\n")
                    + &forwarded("a")
            );
        }
        assert_eq!(with(&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"), |head| head.max_forwards), None);
    }
}

#[test]
fn max_forwards_is_a_number() {
    for lines in [
        "Max-Forwards: ",
        "Max-Forwards: -1",
        "Max-Forwards: +1",
        "Max-Forwards: 1.0",
        "Max-Forwards: x",
        "Max-Forwards: 1, 2",
        "Max-Forwards: 18446744073709551616",
        "Max-Forwards: 1\r\nMax-Forwards: 1",
        "Max-Forwards: 0\r\nMax-Forwards: 5",
    ] {
        for method in ["TRACE", "OPTIONS"] {
            let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n");
            laws::request::holds(head.as_bytes(), &LIMITS);
            let refusal = try_parse(head.as_bytes(), &LIMITS).unwrap_err();
            assert_eq!(refusal.status(), 400, "{head:?}");
        }
        // For other methods it means nothing (RFC 9110 §7.6.2), and nobody touches it.
        for method in ["GET", "options", "TRACED"] {
            let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
            assert_eq!(with(&format!("{head}\r\n"), |head| head.max_forwards), None);
            assert_eq!(forward(format!("{head}\r\n"), &STRANGER), head + &forwarded("a"));
        }
    }
}

#[test]
fn a_trace_is_answered_with_the_request_but_for_its_secrets() {
    let head = "TRACE /a?b HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nMax-Forwards: 0\r\nCOOKIE: y\r\ncookie: z\r\n\
                Proxy-Authorization: x\r\nX-Api-Key: x\r\nX-A:1\r\nConnection: close\r\n\r\n";
    let mut out = b"before ".to_vec();
    with(head, |head| write_trace(head, &mut out));
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "before TRACE /a?b HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nX-A:1\r\nConnection: close\r\n\r\n"
    );
    let bare = "TRACE http://b HTTP/1.0\r\n\r\n";
    let mut out = Vec::new();
    with(&format!("\r\n{bare}"), |head| write_trace(head, &mut out));
    assert_eq!(String::from_utf8(out).unwrap(), bare);
}

#[test]
fn via_is_added_behind_those_that_are_there() {
    let head = "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 fred, 1.1 p\r\n";
    assert_eq!(forward(format!("{head}\r\n"), &STRANGER), head.to_owned() + &forwarded("a"));
    let old = "GET / HTTP/1.0\r\nHost: a\r\n\r\n";
    assert_eq!(
        forward(old, &STRANGER),
        "GET / HTTP/1.1\r\nHost: a\r\n".to_owned() + &forwarded_from("1.0", "a")
    );
    let silent = Origin { via: false, ..STRANGER };
    assert_eq!(
        forward(format!("{head}\r\n"), &silent),
        head.to_owned() + &forwarded("a").replace("Via: 1.1 berth\r\n", "")
    );
}

/// The lines of a plain request that name its trace.
fn ids(lines: &str, origin: &Origin<'_>) -> Vec<String> {
    let sent = forward(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"), origin);
    let is_id = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.starts_with("x-request-id:") || line.starts_with("trace")
    };
    sent.split("\r\n").filter(is_id).map(str::to_owned).collect()
}

#[test]
fn ids_are_made_of_the_entropy() {
    let cases = [
        ([0, 0, 0], "00000000000000010000000000000001", "0000000000000001"),
        ([1, 2, 3], "00000000000000010000000000000002", "0000000000000003"),
        ([u64::MAX; 3], "ffffffffffffffffffffffffffffffff", "ffffffffffffffff"),
        ([1 << 63, 0, 10], "80000000000000000000000000000001", "000000000000000a"),
        (
            [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, 0x9a09_a9a0_f0f0_0f0f],
            "0123456789abcdeffedcba9876543210",
            "9a09a9a0f0f00f0f",
        ),
    ];
    for (entropy, trace, span) in cases {
        let expected = [format!("X-Request-Id: {trace}"), format!("traceparent: 00-{trace}-{span}-00")];
        assert_eq!(ids("", &Origin { entropy, ..STRANGER }), expected);
    }
}

#[test]
fn ids_that_came_stay() {
    let made = ids("", &STRANGER);
    let trace = "TraceParent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for origin in [STRANGER, TRUSTED] {
        assert_eq!(ids("x-request-ID:7\r\n", &origin), ["x-request-ID:7", &made[1]]);
        assert_eq!(
            ids(&format!("{trace}\r\ntracestate: a=b\r\n"), &origin),
            [trace, "tracestate: a=b", &made[0]]
        );
        assert_eq!(ids(&format!("X-Request-Id: 7\r\n{trace}\r\n"), &origin), ["X-Request-Id: 7", trace]);
    }
}

#[test]
fn no_client_has_its_ids_removed_on_the_way() {
    let lines = "X-Request-Id: 7\r\ntraceparent: 8\r\ntracestate: 9\r\n";
    let named = format!("Connection: x-request-id, Traceparent, tracestate\r\n{lines}");
    assert_eq!(ids(&named, &STRANGER), ["X-Request-Id: 7", "traceparent: 8", "tracestate: 9"]);
}
