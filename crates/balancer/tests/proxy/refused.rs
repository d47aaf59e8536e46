//! Requests that are refused on the wire: the client learns why, the connection ends, nothing reaches an upstream.

use std::net::IpAddr;

use berth_testkit::{Http, Listening, SteadyUpstream};

use crate::harness::{Balancer, expect, expect_nobody, forwarded, get, ok, settings, traced};

fn assert_refused(balancer: &Balancer, request: &str, status: u16) {
    let mut client = balancer.http();
    client.wire.send(request);
    let answer = client.read_answer();
    assert_eq!((answer.status, answer.field("Connection")), (status, Some("close")), "{request:?}");
    assert!(answer.text().ends_with(".\n"), "{:?}", answer.text());
    client.wire.expect_end();
}

#[test]
fn each_with_its_status() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let head = "POST / HTTP/1.1\r\nHost: a\r\n";
    let cases = [
        (format!("{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400),
        (format!("{head}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"), 400),
        (format!("{head}Content-Length: +5\r\n\r\nhello"), 400),
        (format!("{head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 400),
        (format!("{head}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"), 400),
        (format!("{head}A: b\r\n Transfer-Encoding: chunked\r\n\r\n"), 400),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\nHost: a\n\n".into(), 400),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(), 400),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n".into(), 400),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(16 * 1024)), 414),
        (format!("{head}X: {}\r\n\r\n", "x".repeat(64 * 1024)), 431),
        (format!("{head}{}\r\n", "X: y\r\n".repeat(128)), 431),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n".into(), 501),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 505),
        // The body that came with the head is broken already.
        (format!("{head}Transfer-Encoding: chunked\r\n\r\nx\r\n"), 400),
    ];
    for (request, status) in &cases {
        assert_refused(&balancer, request, *status);
    }
    expect_nobody(&upstream);
    balancer.wait_for_metric("answers_total{status=\"4xx\"}", 16.0);
}

#[test]
fn a_request_behind_a_good_one() {
    let upstream = SteadyUpstream::saying("x");
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.http();
    client.wire.send(get("/") + "GET / HTTP/1.1\r\n\r\n" + &get("/never"));
    assert_eq!(client.read_answer().text(), "x");
    assert_eq!(client.read_answer().status, 400);
    client.wire.expect_end();
    assert_eq!(upstream.requests(), 1);
}

#[test]
fn chunks_that_turn_bad() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    for bad in ["5\nhello\r\n", "x", "ffffffffffffffff\r\n", "0\r\nA: b\n\r\n", "2\r\nhey\r\n0\r\n\r\n"] {
        let mut client = balancer.http();
        let lines = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n";
        client.wire.send(format!("{lines}\r\n5\r\nhello\r\n"));
        let mut server = upstream.accept();
        expect(&mut server, format!("{lines}{}5\r\nhello\r\n", forwarded("test")));
        client.wire.send(bad);
        let answer = client.read_answer();
        assert_eq!((answer.status, answer.field("Connection")), (400, Some("close")), "{bad:?}");
        client.wire.expect_end();
        // Of the bad bytes nothing goes on.
        server.expect_end();
    }
}

#[test]
fn a_client_that_goes_on_sending_still_reads_why() {
    let balancer = Balancer::over(&[]);
    let mut client = balancer.http();
    client.wire.send([&b"BAD\r\n\r\n"[..], &[b'x'; 200_000]].concat());
    assert_eq!(client.read_answer().status, 400);
    // To close with bytes unread would be a reset, which may overtake the answer.
    assert_eq!(client.wire.read_to_reset(), (Vec::new(), false));
}

#[test]
fn what_a_peer_says_of_others_is_believed_only_if_it_is_trusted() {
    let request =
        "GET / HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n\r\n";
    let trusted = format!(
        "GET / HTTP/1.1\r\nHost: test\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 9.9.9.9, 127.0.0.1\r\n\
         X-Forwarded-Host: test\r\nX-Real-IP: 9.9.9.9\r\n{}",
        traced("1.1")
    );
    let stranger = format!("GET / HTTP/1.1\r\nHost: test\r\n{}", forwarded("test"));
    for (network, expected) in [("127.0.0.0/8", &trusted), ("10.0.0.0/8", &stranger)] {
        let upstream = Listening::start();
        let mut settings = settings(&[upstream.address()]);
        settings.proxy.trusted_proxies = vec![network.parse().unwrap()];
        let balancer = Balancer::start(settings);
        assert!(balancer.address.ip() == "127.0.0.1".parse::<IpAddr>().unwrap());
        let mut client = balancer.connect();
        client.send(request);
        let mut server = upstream.accept();
        expect(&mut server, expected);
        server.send(ok("x"));
        assert_eq!(Http { wire: client }.read_answer().text(), "x");
    }
}
