//! Clients that go away: nothing is left of them.

use berth_testkit::{Listening, eventually};

use crate::harness::{Balancer, expect, expect_nobody, forwarded, forwarded_get, get, ok};

/// Waits until neither side's connections nor a request are left.
fn wait_for_nobody(balancer: &Balancer) {
    balancer.wait_for_metric("client_connections_open", 0.0);
    balancer.wait_for_metric("endpoint_in_flight", 0.0);
}

#[test]
fn within_its_head() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.1\r\nHo");
    balancer.wait_for_metric("client_connections_open", 1.0);
    drop(client);
    wait_for_nobody(&balancer);
    expect_nobody(&upstream);
}

#[test]
fn within_its_body() {
    let lines = [("Content-Length: 100", "hello"), ("Transfer-Encoding: chunked", "5\r\nhello\r\n")];
    for (framing, body) in lines {
        for resets in [false, true] {
            let upstream = Listening::start();
            let balancer = Balancer::over(&[upstream.address()]);
            let mut client = balancer.connect();
            let lines = format!("POST / HTTP/1.1\r\nHost: test\r\n{framing}\r\n");
            client.send(format!("{lines}\r\n{body}"));
            let mut server = upstream.accept();
            expect(&mut server, format!("{lines}{}{body}", forwarded("test")));
            if resets {
                client.reset();
            } else {
                drop(client);
            }
            // It must not look whole.
            server.expect_end();
            wait_for_nobody(&balancer);
            balancer.wait_for_metric("failures_total{side=\"client\"}", 1.0);
            expect_nobody(&upstream);
        }
    }
}

#[test]
fn within_its_answer() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send(get("/"));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/"));
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nhello");
    client.read_until(b"hello");
    drop(client);
    eventually("the upstream's end", || (!server.try_send(vec![0; 64 * 1024])).then_some(()));
    wait_for_nobody(&balancer);
    balancer.wait_for_metric("failures_total{side=\"client\"}", 1.0);
}

#[test]
fn without_reading_what_it_was_sent() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send(get("/"));
    let mut server = upstream.accept();
    server.read_head();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    server.fill(1_000_000_000);
    // The balancer waits for the client alone by now.
    drop(client);
    eventually("the upstream's end", || (!server.try_send(vec![0; 64 * 1024])).then_some(()));
    wait_for_nobody(&balancer);
}

#[test]
fn before_its_answer() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send(get("/"));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/"));
    drop(client);
    server.send(ok("x"));
    wait_for_nobody(&balancer);
    // Nothing was wrong with the upstream: it serves the next one.
    let mut client = balancer.connect();
    client.send(get("/next"));
    expect(&mut server, forwarded_get("/next"));
}

#[test]
fn many_of_them() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    for round in 0..100 {
        let mut client = balancer.connect();
        client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n");
        let mut server = upstream.accept();
        server.read_head();
        match round % 3 {
            0 => drop(client),
            1 => client.reset(),
            _ => drop(server),
        }
    }
    wait_for_nobody(&balancer);
}

#[test]
fn while_the_upstream_works() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send(get("/"));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/"));
    client.reset();
    // Not a byte of an answer, and yet it learns that nobody waits for one.
    server.expect_end();
    wait_for_nobody(&balancer);
    balancer.wait_for_metric("failures_total{side=\"client\"}", 1.0);
}

#[test]
fn or_only_says_its_last_word() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send(get("/"));
    client.finish();
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/"));
    server.send(ok("x"));
    expect(&mut client, ok("x"));
    client.expect_end();
}
