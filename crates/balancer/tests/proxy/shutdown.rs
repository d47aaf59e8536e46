//! The graceful end: what runs is finished, what waits is served, nobody new comes in.

use berth_balancer::StartError;
use berth_testkit::Listening;

use crate::harness::{Balancer, expect, forwarded, forwarded_get, get, ok, settings};

const LAST: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";

#[test]
fn a_request_under_way_is_finished() {
    for threads in [1, 2] {
        let upstream = Listening::start();
        let mut settings = settings(&[upstream.address()]);
        settings.threads = threads;
        let balancer = Balancer::start(settings);
        let mut client = balancer.connect();
        let lines = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n";
        client.send(format!("{lines}\r\nhello"));
        let mut server = upstream.accept();
        expect(&mut server, format!("{lines}{}hello", forwarded("test")));
        balancer.begin_end();
        client.send("there");
        expect(&mut server, "there");
        server.send(ok("x"));
        expect(&mut client, LAST);
        client.expect_end();
        balancer.wait().unwrap();
    }
}

#[test]
fn an_answer_under_way_is_finished() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send(get("/"));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/"));
    let beginning = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    server.send(beginning);
    expect(&mut client, beginning);
    balancer.begin_end();
    server.send("there");
    expect(&mut client, "there");
    // The client was not told that this was the last one, so it may be asked for another, for a moment.
    client.expect_end();
    balancer.wait().unwrap();
}

#[test]
fn idle_connections_end() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut fresh = balancer.connect();
    let mut used = balancer.connect();
    used.send(get("/"));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/"));
    server.send(ok("x"));
    expect(&mut used, ok("x"));
    balancer.wait_for_metric("client_connections_open", 2.0);
    balancer.begin_end();
    fresh.expect_end();
    used.expect_end();
    balancer.wait().unwrap();
    server.expect_end();
}

#[test]
fn whoever_waits_to_be_accepted_is_served() {
    let upstream = Listening::start();
    let mut settings = settings(&[upstream.address()]);
    settings.most_connections = 1;
    let balancer = Balancer::start(settings);
    let mut first = balancer.connect();
    first.send(get("/first"));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/first"));
    // Nobody else is accepted as long as the first one is there.
    let mut waiting: Vec<_> = (0..5).map(|_| balancer.connect()).collect();
    for client in &mut waiting {
        client.send(get("/waiting"));
    }
    balancer.begin_end();
    for client in &mut waiting {
        let mut server = upstream.accept();
        expect(&mut server, forwarded_get("/waiting"));
        server.send(ok("x"));
        // Its own connection goes back to the pool.
        let _ = client;
    }
    for client in &mut waiting {
        expect(client, LAST);
    }
    server.send(ok("x"));
    expect(&mut first, LAST);
    balancer.wait().unwrap();
}

#[test]
fn a_forced_end_waits_for_nobody() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send(get("/"));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/"));
    balancer.begin_end();
    client.expect_silence();
    balancer.shutdown.forced.cancel();
    assert!(matches!(balancer.wait(), Err(StartError::Forced)));
    client.expect_end();
    server.expect_end();
}

#[test]
fn with_nothing_under_way_it_ends_at_once() {
    for threads in [1, 2] {
        let mut settings = settings(&[]);
        settings.threads = threads;
        Balancer::start(settings).end();
    }
}
