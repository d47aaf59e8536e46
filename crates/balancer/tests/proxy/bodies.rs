//! Large bodies both ways, and sides that do not take them at once.

use std::thread;

use berth_testkit::{Listening, Wire};

use crate::harness::{Balancer, expect, expect_nobody, forwarded, forwarded_get, get, ok};

const LARGE: usize = 5 * 1024 * 1024;

/// What the sockets on the way may hold together, and much less than a whole body here.
pub(crate) const MOST_BUFFERED: usize = 48 * 1024 * 1024;
pub(crate) const HUGE: usize = 128 * 1024 * 1024;

/// Bytes of which no stretch looks like another.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// The same in chunks of many sizes.
pub(crate) fn chunked(body: &[u8]) -> Vec<u8> {
    let (mut rest, mut size, mut out) = (body, 1, Vec::new());
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(size.min(rest.len()));
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        (rest, size) = (behind, size * 3 % 200_003);
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// Sends a body and gets it back, both in this framing, several times on the same two connections.
fn echo(framing: &str, body: &[u8]) {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let (mut client, mut server) = (balancer.connect(), None);
    for _ in 0..3 {
        let lines = format!("POST / HTTP/1.1\r\nHost: test\r\n{framing}\r\n");
        client.send(format!("{lines}\r\n"));
        let server = server.get_or_insert_with(|| upstream.accept());
        expect(server, lines + &forwarded("test"));
        thread::scope(|scope| {
            scope.spawn(|| client.send(body));
            expect(server, body);
        });
        let head = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n");
        server.send(&head);
        expect(&mut client, head);
        thread::scope(|scope| {
            scope.spawn(|| server.send(body));
            expect(&mut client, body);
        });
    }
    client.expect_silence();
}

#[test]
fn five_mebibytes_by_length() {
    echo(&format!("Content-Length: {LARGE}"), &noise(LARGE));
}

#[test]
fn five_mebibytes_in_chunks() {
    echo("Transfer-Encoding: chunked", &chunked(&noise(LARGE)));
}

#[test]
fn five_mebibytes_until_close() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send(get("/"));
    let mut server = upstream.accept();
    server.read_head();
    let body = noise(LARGE);
    thread::scope(|scope| {
        scope.spawn(|| {
            server.send("HTTP/1.0 200 OK\r\n\r\n");
            server.send(&body);
            drop(server);
        });
        expect(&mut client, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        let (seen, reset) = client.read_to_reset();
        assert!(seen == body && !reset, "{} bytes, reset: {reset}", seen.len());
    });
}

#[test]
fn chunks_of_five_mebibytes_are_taken_apart() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.0\r\nHost: test\r\n\r\n");
    let mut server = upstream.accept();
    server.read_head();
    let body = noise(LARGE);
    thread::scope(|scope| {
        scope.spawn(|| {
            server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            server.send(chunked(&body));
        });
        expect(&mut client, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        let (seen, reset) = client.read_to_reset();
        assert!(seen == body && !reset, "{} bytes, reset: {reset}", seen.len());
    });
}

/// Reads so many zeros, and no more than a piece of them at a time.
pub(crate) fn read_zeros(wire: &mut Wire, count: usize) {
    let mut left = count;
    while left > 0 {
        let piece = wire.read_exact(left.min(1024 * 1024));
        assert!(piece.iter().all(|byte| *byte == 0));
        left -= piece.len();
    }
}

#[test]
fn an_answer_waits_for_a_client_that_does_not_read() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send(get("/"));
    let mut server = upstream.accept();
    server.read_head();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {HUGE}\r\n\r\n");
    server.send(&head);
    let taken = server.fill(HUGE);
    assert!(taken < MOST_BUFFERED, "{taken} bytes were taken from the upstream, none by the client");
    thread::scope(|scope| {
        scope.spawn(|| server.send(vec![0; HUGE - taken]));
        expect(&mut client, head);
        read_zeros(&mut client, HUGE);
    });
    client.send(get("/next"));
    expect(&mut server, forwarded_get("/next"));
}

#[test]
fn a_body_waits_for_an_upstream_that_does_not_read() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    let lines = format!("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: {HUGE}\r\n");
    client.send(format!("{lines}\r\n"));
    let taken = client.fill(HUGE);
    assert!(taken < MOST_BUFFERED, "{taken} bytes were taken from the client, none by the upstream");
    let mut server = upstream.accept();
    thread::scope(|scope| {
        scope.spawn(|| client.send(vec![0; HUGE - taken]));
        expect(&mut server, lines + &forwarded("test"));
        read_zeros(&mut server, HUGE);
    });
    server.send(ok("x"));
    expect(&mut client, ok("x"));
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody_else() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut lazy = balancer.connect();
    lazy.send(get("/"));
    let mut server = upstream.accept();
    server.read_head();
    server.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {HUGE}\r\n\r\n"));
    server.fill(HUGE);
    let mut other = balancer.connect();
    other.send(get("/"));
    let mut second = upstream.accept();
    expect(&mut second, forwarded_get("/"));
    second.send(ok("x"));
    expect(&mut other, ok("x"));
}

#[test]
fn an_answer_may_come_before_the_body_is_done() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    let lines = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 20\r\n";
    client.send(format!("{lines}\r\n0123456789"));
    let mut server = upstream.accept();
    expect(&mut server, format!("{lines}{}0123456789", forwarded("test")));
    server.send(ok("enough"));
    // The rest of the body may or may not come, so this connection cannot go on.
    expect(&mut client, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nenough");
    client.expect_end();
    server.expect_end();
    expect_nobody(&upstream);
}

#[test]
fn a_client_that_stops_within_its_body_still_gets_the_answer_that_has_begun() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    let lines = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 20\r\n";
    client.send(format!("{lines}\r\n0123456789"));
    let mut server = upstream.accept();
    expect(&mut server, format!("{lines}{}0123456789", forwarded("test")));
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\neno");
    expect(&mut client, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\neno");
    client.finish();
    server.send("ugh");
    assert_eq!(client.read_to_reset(), (b"ugh".to_vec(), false));
    server.expect_end();
    expect_nobody(&upstream);
}

#[test]
fn bodies_flow_both_ways_at_once() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    let lines = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n";
    client.send(format!("{lines}\r\n2\r\na0\r\n"));
    let mut server = upstream.accept();
    expect(&mut server, format!("{lines}{}2\r\na0\r\n", forwarded("test")));
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nb0\r\n");
    expect(
        &mut client,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nb0\r\n",
    );
    for number in 1..10 {
        client.send(format!("2\r\na{number}\r\n"));
        expect(&mut server, format!("2\r\na{number}\r\n"));
        server.send(format!("2\r\nb{number}\r\n"));
        expect(&mut client, format!("2\r\nb{number}\r\n"));
    }
    client.send("0\r\n\r\n");
    expect(&mut server, "0\r\n\r\n");
    server.send("0\r\n\r\n");
    expect(&mut client, "0\r\n\r\n");
    client.expect_end();
}

#[test]
fn an_early_refusal_reaches_a_client_that_is_still_sending() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n");
    let mut server = upstream.accept();
    server.read_head();
    let refusal = "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    server.send(refusal);
    drop(server);
    expect(&mut client, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    // It may still be sending what it meant to send.
    client.send(vec![0; 50_000]);
    client.expect_end();
}

#[test]
fn an_early_answer_reaches_a_client_that_goes_on_sending() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    let length = 8 * 1024 * 1024;
    client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n"));
    let mut server = upstream.accept();
    server.read_head();
    server.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
    // It sends all of it before it looks at the answer.
    client.send(vec![b'x'; length]);
    expect(&mut client, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    client.expect_end();
}
