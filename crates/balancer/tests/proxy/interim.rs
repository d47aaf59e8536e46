//! Interim answers, and clients that wait for one.

use berth_testkit::Listening;

use crate::harness::{Balancer, expect, expect_nobody, forwarded, forwarded_get, forwarded_old_get, get, ok};

const PUT: &str = "PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n";

#[test]
fn a_client_that_waits_is_told_to_go_on() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send(format!("{PUT}\r\n"));
    let mut server = upstream.accept();
    expect(&mut server, PUT.to_owned() + &forwarded("test"));
    client.expect_silence();
    server.send("HTTP/1.1 100 Continue\r\n\r\n");
    expect(&mut client, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    expect(&mut server, "hello");
    server.send(ok("done"));
    expect(&mut client, ok("done"));
    client.send(get("/next"));
    expect(&mut server, forwarded_get("/next"));
}

#[test]
fn a_client_that_waits_is_turned_away() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send(format!("{PUT}\r\n"));
    let mut server = upstream.accept();
    expect(&mut server, PUT.to_owned() + &forwarded("test"));
    server.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno");
    // Whether the body will still come is open, so neither connection can go on.
    expect(
        &mut client,
        "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
    );
    client.expect_end();
    server.expect_end();
}

#[test]
fn other_interim_answers_pass() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send(get("/"));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/"));
    server.send("HTTP/1.1 102 Processing\r\n\r\n");
    expect(&mut client, "HTTP/1.1 102 Processing\r\n\r\n");
    // Together with the final one, and with fields that are not for the client.
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n";
    server.send(format!("{hints}Connection: close\r\n\r\n{hints}\r\n{}", ok("x")));
    expect(&mut client, format!("{hints}\r\n{hints}\r\n{}", ok("x")));
    client.send(get("/next"));
    expect(&mut server, forwarded_get("/next"));
    expect_nobody(&upstream);
}

#[test]
fn a_client_of_http_1_0_hears_of_none() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.0\r\nHost: test\r\n\r\n");
    let mut server = upstream.accept();
    expect(&mut server, forwarded_old_get("/"));
    server.send("HTTP/1.1 100 Continue\r\n\r\n");
    server.send(format!("HTTP/1.1 103 Early Hints\r\n\r\n{}", ok("x")));
    expect(&mut client, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
    client.expect_end();
}

#[test]
fn a_protocol_that_nobody_asked_for() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.http();
    client.wire.send(get("/"));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/"));
    server.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.read_answer().status, 502);
    server.expect_end();
}

#[test]
fn more_than_anybody_needs() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.http();
    client.wire.send(get("/"));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/"));
    let hint = "HTTP/1.1 103 Early Hints\r\n\r\n";
    server.send(hint.repeat(17));
    for _ in 0..16 {
        expect(&mut client.wire, hint);
    }
    assert_eq!(client.read_answer().status, 502);
    server.expect_end();
}

#[test]
fn a_client_that_waits_in_vain_is_not_to_blame() {
    let upstream = Listening::start();
    let soon = std::time::Duration::from_millis(300);
    let balancer = Balancer::with_timeouts(&[upstream.address()], |timeouts| timeouts.body = soon);
    let mut client = balancer.http();
    client.wire.send(format!("{PUT}\r\n"));
    let mut server = upstream.accept();
    expect(&mut server, PUT.to_owned() + &forwarded("test"));
    assert_eq!(client.read_answer().status, 504);
}
