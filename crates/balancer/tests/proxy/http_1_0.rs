//! Clients of HTTP/1.0.

use berth_testkit::Listening;

use crate::harness::{Balancer, expect, forwarded_by, forwarded_old_get, ok};

#[test]
fn one_request_per_connection() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send("GET /a HTTP/1.0\r\n\r\n");
    let mut server = upstream.accept();
    let host = balancer.address.to_string();
    expect(&mut server, format!("GET /a HTTP/1.1\r\nHost: {host}\r\n{}", forwarded_by(&host, "1.0")));
    server.send(ok("x"));
    expect(&mut client, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
    client.expect_end();
    // The upstream connection is of HTTP/1.1 all the same, and goes on.
    let mut client = balancer.connect();
    client.send("GET /b HTTP/1.0\r\nHost: test\r\n\r\n");
    expect(&mut server, forwarded_old_get("/b"));
}

#[test]
fn kept_alive_where_asked_for() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    let request = "POST / HTTP/1.0\r\nHost: test\r\nContent-Length: 2\r\n";
    client.send(format!("{request}Connection: keep-alive\r\n\r\nhi"));
    let mut server = upstream.accept();
    let expected = format!("{}{}hi", request.replace("1.0", "1.1"), forwarded_by("test", "1.0"));
    for _ in 0..3 {
        expect(&mut server, &expected);
        server.send(ok("x"));
        expect(&mut client, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx");
        client.send(format!("{request}Connection: Keep-Alive\r\n\r\nhi"));
    }
}

#[test]
fn chunks_are_taken_apart() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n\r\n");
    let mut server = upstream.accept();
    expect(&mut server, forwarded_old_get("/"));
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n3\r\nhel");
    expect(&mut client, "HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\nhel");
    server.send("\r\n2;x\r\nlo\r\n0\r\nSum: 1\r\n\r\n");
    let (rest, reset) = client.read_to_reset();
    assert_eq!((rest.as_slice(), reset), (&b"lo"[..], false));
    // Nothing was wrong with the upstream connection.
    let mut client = balancer.connect();
    client.send("GET /next HTTP/1.0\r\nHost: test\r\n\r\n");
    expect(&mut server, forwarded_old_get("/next"));
}

#[test]
fn chunks_that_break_off_end_in_a_reset() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.0\r\nHost: test\r\n\r\n");
    let mut server = upstream.accept();
    expect(&mut server, forwarded_old_get("/"));
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel");
    expect(&mut client, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhel");
    drop(server);
    // An orderly end would make half an answer look whole.
    assert_eq!(client.read_to_reset(), (Vec::new(), true));
}
