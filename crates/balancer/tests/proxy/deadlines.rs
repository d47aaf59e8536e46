//! What happens to a side that keeps the other one waiting.

use berth_testkit::{Http, Listening, eventually};

use crate::harness::{Balancer, SOON, expect, expect_nobody, forwarded, forwarded_get, get, ok};

#[test]
fn a_head_that_does_not_end() {
    let upstream = Listening::start();
    let balancer = Balancer::with_timeouts(&[upstream.address()], |timeouts| timeouts.head = SOON);
    let mut client = balancer.http();
    client.wire.send("GET / HTTP/1.1\r\nHo");
    let answer = client.read_answer();
    assert_eq!((answer.status, answer.field("Connection")), (408, Some("close")));
    assert_eq!(answer.text(), "The request did not arrive in time.\n");
    client.wire.expect_end();
    expect_nobody(&upstream);
}

#[test]
fn a_head_that_trickles_in() {
    let upstream = Listening::start();
    let balancer = Balancer::with_timeouts(&[upstream.address()], |timeouts| timeouts.head = SOON);
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.1\r\nX: ");
    // Each byte comes in time, the head does not. In the end nobody takes the bytes any more.
    eventually("the end of a slow client", || (!client.try_send("x")).then_some(()));
    let seen = client.read_to_end();
    assert!(seen.starts_with(b"HTTP/1.1 408 Request Timeout\r\n"), "{}", seen.escape_ascii());
}

#[test]
fn a_head_behind_another_request() {
    let upstream = Listening::start();
    let balancer = Balancer::with_timeouts(&[upstream.address()], |timeouts| timeouts.head = SOON);
    let mut client = balancer.http();
    client.wire.send(get("/") + "GET / HT");
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/"));
    server.send(ok("x"));
    assert_eq!(client.read_answer().text(), "x");
    assert_eq!(client.read_answer().status, 408);
}

#[test]
fn a_client_that_says_nothing() {
    let upstream = Listening::start();
    let balancer = Balancer::with_timeouts(&[upstream.address()], |timeouts| timeouts.idle = SOON);
    // At once, and after a request.
    balancer.connect().expect_end();
    let mut client = balancer.connect();
    client.send(get("/"));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/"));
    server.send(ok("x"));
    expect(&mut client, ok("x"));
    client.expect_end();
}

#[test]
fn an_upstream_that_does_not_answer() {
    let upstream = Listening::start();
    let balancer = Balancer::with_timeouts(&[upstream.address()], |timeouts| timeouts.answer = SOON);
    let mut client = balancer.http();
    for _ in 0..2 {
        client.wire.send(get("/"));
        let mut server = upstream.accept();
        expect(&mut server, forwarded_get("/"));
        let answer = client.read_answer();
        assert_eq!((answer.status, answer.text()), (504, "The upstream did not answer in time.\n"));
        assert_eq!(answer.field("Connection"), None);
        server.expect_end();
    }
    balancer.wait_for_metric("failures_total{side=\"upstream\"}", 2.0);
    balancer.wait_for_metric("endpoint_in_flight", 0.0);
}

#[test]
fn an_upstream_that_begins_a_head() {
    let upstream = Listening::start();
    let balancer = Balancer::with_timeouts(&[upstream.address()], |timeouts| timeouts.answer = SOON);
    let mut client = balancer.http();
    client.wire.send(get("/"));
    let mut server = upstream.accept();
    server.read_head();
    server.send("HTTP/1.1 200 OK\r\nCont");
    assert_eq!(client.read_answer().status, 504);
    server.expect_end();
}

#[test]
fn an_upstream_that_falls_silent() {
    for beginning in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let upstream = Listening::start();
        let balancer = Balancer::with_timeouts(&[upstream.address()], |timeouts| timeouts.body = SOON);
        let mut client = balancer.connect();
        client.send(get("/"));
        let mut server = upstream.accept();
        server.read_head();
        server.send(beginning);
        expect(&mut client, beginning);
        client.expect_end();
        server.expect_end();
        balancer.wait_for_metric("failures_total{side=\"upstream\"}", 1.0);
    }
}

#[test]
fn a_client_that_stops_within_its_body() {
    let upstream = Listening::start();
    let balancer = Balancer::with_timeouts(&[upstream.address()], |timeouts| timeouts.body = SOON);
    let mut client = balancer.http();
    client.wire.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello");
    let mut server = upstream.accept();
    server.read_until(b"hello");
    let answer = client.read_answer();
    assert_eq!((answer.status, answer.field("Connection")), (408, Some("close")));
    client.wire.expect_end();
    server.expect_end();
    balancer.wait_for_metric("failures_total{side=\"client\"}", 1.0);
}

#[test]
fn an_upstream_that_does_not_take_the_body() {
    let upstream = Listening::start();
    let balancer = Balancer::with_timeouts(&[upstream.address()], |timeouts| timeouts.body = SOON);
    let mut client = balancer.http();
    client.wire.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000000\r\n\r\n");
    // Until neither the upstream, which reads nothing, nor the balancer takes any more.
    client.wire.fill(128 * 1024 * 1024);
    let _server = upstream.accept();
    // The client was not at fault.
    let answer = client.read_answer();
    assert_eq!((answer.status, answer.field("Connection")), (504, Some("close")));
    balancer.wait_for_metric("failures_total{side=\"upstream\"}", 1.0);
}

#[test]
fn a_client_that_does_not_read() {
    let upstream = Listening::start();
    let balancer = Balancer::with_timeouts(&[upstream.address()], |timeouts| timeouts.send = SOON);
    let mut client = balancer.connect();
    client.send(get("/"));
    let mut server = upstream.accept();
    server.read_head();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    while server.try_send(vec![0; 64 * 1024]) {}
    balancer.wait_for_metric("failures_total{side=\"client\"}", 1.0);
    balancer.wait_for_metric("endpoint_in_flight", 0.0);
    drop(client);
}

#[test]
fn a_client_that_reads_slowly_is_served_to_the_end() {
    const LENGTH: usize = 30_000_000;
    let upstream = Listening::start();
    let balancer = Balancer::with_timeouts(&[upstream.address()], |timeouts| {
        timeouts.send = SOON;
        timeouts.body = SOON;
    });
    let mut client = balancer.connect();
    client.send(get("/"));
    let mut server = upstream.accept();
    server.read_head();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            server.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"));
            server.send(vec![0; LENGTH]);
        });
        client.read_head();
        for _ in 0..LENGTH / 1_000_000 {
            client.read_exact(1_000_000);
        }
    });
    client.expect_silence();
}

#[test]
fn an_upstream_connection_that_nobody_needs() {
    let upstream = Listening::start();
    let balancer = Balancer::with_timeouts(&[upstream.address()], |timeouts| timeouts.upstream_idle = SOON);
    let mut client = balancer.connect();
    client.send(get("/"));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/"));
    server.send(ok("x"));
    expect(&mut client, ok("x"));
    server.expect_end();
    client.send(get("/"));
    expect(&mut upstream.accept(), forwarded_get("/"));
}

#[test]
fn progress_keeps_a_slow_exchange_alive() {
    let upstream = Listening::start();
    let balancer = Balancer::with_timeouts(&[upstream.address()], |timeouts| timeouts.body = SOON);
    let mut client = balancer.connect();
    let lines = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 250\r\n";
    client.send(format!("{lines}\r\n"));
    let mut server = upstream.accept();
    expect(&mut server, lines.to_owned() + &forwarded("test"));
    // Longer than the deadline in all, never as long at once: each round waits for the other side and a little.
    let mut left = 250;
    eventually("the body's end", || {
        client.send("x");
        expect(&mut server, "x");
        left -= 1;
        (left == 0).then_some(())
    });
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 250\r\n\r\n");
    client.read_head();
    let mut left = 250;
    eventually("the answer's end", || {
        server.send("y");
        expect(&mut client, "y");
        left -= 1;
        (left == 0).then_some(())
    });
    let mut client = Http { wire: client };
    client.wire.send(get("/next"));
    expect(&mut server, forwarded_get("/next"));
    server.send(ok("z"));
    assert_eq!(client.read_answer().text(), "z");
}
