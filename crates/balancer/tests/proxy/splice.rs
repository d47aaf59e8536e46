//! Bodies around and far beyond the length from which they go through the kernel: not a byte more, less or other.

use std::thread;

use berth_testkit::{Listening, Wire};

use crate::bodies::{HUGE, MOST_BUFFERED, noise, read_zeros};
use crate::harness::{Balancer, expect, forwarded, forwarded_get, get, ok, settings};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const LENGTHS: [usize; 6] = [64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 200_001, MIB, 20 * MIB];

/// How a body is framed: the field that says so, and its bytes.
fn framings(body: &[u8]) -> [(String, Vec<u8>); 3] {
    let chunk = |content: &[u8]| [format!("{:x}\r\n", content.len()).as_bytes(), content, b"\r\n"].concat();
    let chunks = "Transfer-Encoding: chunked".to_owned();
    let end = &b"0\r\n\r\n"[..];
    let many: Vec<u8> = body.chunks(70_001).flat_map(chunk).collect();
    [
        (format!("Content-Length: {}", body.len()), body.to_vec()),
        (chunks.clone(), [&chunk(body), end].concat()),
        (chunks, [&many, end].concat()),
    ]
}

/// Sends it while the other end reads it.
fn pass(from: &mut Wire, to: &mut Wire, bytes: &[u8]) {
    thread::scope(|scope| {
        scope.spawn(|| from.send(bytes));
        for piece in bytes.chunks(MIB) {
            let seen = to.read_exact(piece.len());
            assert!(seen == piece, "other bytes arrived than were sent");
        }
    });
}

/// A request and its answer on connections that are there.
fn still_works(client: &mut Wire, server: &mut Wire) {
    client.send(get("/next"));
    expect(server, forwarded_get("/next"));
    server.send(ok("x"));
    expect(client, ok("x"));
}

/// A client that has asked, and the upstream that has been asked.
fn asked(upstream: &Listening, balancer: &Balancer) -> (Wire, Wire) {
    let mut client = balancer.connect();
    client.send(get("/"));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/"));
    (client, server)
}

#[test]
fn answers_of_all_lengths_and_framings() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let (mut client, mut server) = asked(&upstream, &balancer);
    for length in LENGTHS {
        for (field, bytes) in framings(&noise(length)) {
            let head = format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n");
            // Head and body at once, and one after the other.
            pass(&mut server, &mut client, &[head.as_bytes(), &bytes].concat());
            still_works(&mut client, &mut server);
            client.send(get("/"));
            expect(&mut server, forwarded_get("/"));
            server.send(&head);
            expect(&mut client, head);
            pass(&mut server, &mut client, &bytes);
            client.send(get("/"));
            expect(&mut server, forwarded_get("/"));
        }
    }
    assert_eq!(balancer.metric("failures_total"), 0.0);
}

#[test]
fn requests_of_all_lengths_and_framings() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let (mut client, mut server) = asked(&upstream, &balancer);
    server.send(ok("x"));
    expect(&mut client, ok("x"));
    for length in LENGTHS {
        for (field, bytes) in framings(&noise(length)) {
            let lines = format!("POST / HTTP/1.1\r\nHost: test\r\n{field}\r\n");
            client.send(format!("{lines}\r\n"));
            expect(&mut server, lines + &forwarded("test"));
            pass(&mut client, &mut server, &bytes);
            server.send(ok("y"));
            expect(&mut client, ok("y"));
            still_works(&mut client, &mut server);
        }
    }
    assert_eq!(balancer.metric("failures_total"), 0.0);
}

#[test]
fn answers_that_end_with_the_connection() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    for length in LENGTHS {
        let (mut client, mut server) = asked(&upstream, &balancer);
        let body = noise(length);
        let sent = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &body].concat();
        let sender = thread::spawn(move || server.send(sent));
        expect(&mut client, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        let (seen, reset) = client.read_to_reset();
        assert!(seen == body && !reset, "{} bytes of {length}, reset: {reset}", seen.len());
        sender.join().unwrap();
    }
}

#[test]
fn what_follows_a_long_body_is_the_next_request() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    for (field, bytes) in framings(&noise(MIB)) {
        let mut client = balancer.connect();
        let lines = format!("POST / HTTP/1.1\r\nHost: test\r\n{field}\r\n");
        let next = get("/next");
        thread::scope(|scope| {
            scope.spawn(|| client.send([lines.as_bytes(), b"\r\n", &bytes, next.as_bytes()].concat()));
            let mut server = upstream.accept();
            expect(&mut server, lines.clone() + &forwarded("test"));
            assert!(server.read_exact(bytes.len()) == bytes);
            server.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx");
        });
        expect(&mut client, ok("x"));
        let mut server = upstream.accept();
        expect(&mut server, forwarded_get("/next"));
        server.send(ok("y"));
        expect(&mut client, ok("y"));
    }
}

#[test]
fn bytes_behind_a_long_answer_reach_nobody() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let (mut client, mut server) = asked(&upstream, &balancer);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {MIB}\r\n\r\n");
    server.send(&head);
    expect(&mut client, head);
    let body = noise(MIB);
    thread::scope(|scope| {
        scope
            .spawn(|| server.send([&body[..], b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfake"].concat()));
        assert!(client.read_exact(MIB) == body);
    });
    client.send(get("/next"));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/next"));
    server.send(ok("true"));
    expect(&mut client, ok("true"));
}

#[test]
fn a_reader_that_stops_and_goes_on() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let (mut client, mut server) = asked(&upstream, &balancer);
    for field in [format!("Content-Length: {HUGE}"), "Transfer-Encoding: chunked".into()] {
        let (start, end) = if field.starts_with('T') {
            (format!("{HUGE:x}\r\n"), "\r\n0\r\n\r\n")
        } else {
            (String::new(), "")
        };
        let head = format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n{start}");
        server.send(&head);
        let taken = server.fill(HUGE);
        assert!(taken < MOST_BUFFERED, "{taken} bytes were taken from the upstream, none by the client");
        expect(&mut client, head);
        read_zeros(&mut client, MIB);
        let more = server.fill(HUGE - taken);
        assert!(taken + more < MOST_BUFFERED + MIB, "{taken} and {more} bytes");
        thread::scope(|scope| {
            scope.spawn(|| server.send(vec![0; HUGE - taken - more]));
            read_zeros(&mut client, HUGE - MIB);
        });
        server.send(end);
        expect(&mut client, end);
        still_works(&mut client, &mut server);
        client.send(get("/"));
        expect(&mut server, forwarded_get("/"));
    }
}

#[test]
fn an_upstream_that_breaks_off() {
    let framings = ["Content-Length: 20000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n1312d00\r\n"];
    for framing in framings {
        for resets in [false, true] {
            let upstream = Listening::start();
            let balancer = Balancer::over(&[upstream.address()]);
            let (mut client, mut server) = asked(&upstream, &balancer);
            let head = format!("HTTP/1.1 200 OK\r\n{framing}");
            server.send(&head);
            expect(&mut client, head);
            let body = noise(5 * MIB);
            pass(&mut server, &mut client, &body);
            if resets {
                server.reset();
            } else {
                drop(server);
            }
            assert_eq!(client.read_to_reset(), (Vec::new(), true));
            balancer.wait_for_metric("failures_total{side=\"upstream\"}", 1.0);
            balancer.wait_for_metric("endpoint_in_flight", 0.0);
        }
    }
}

#[test]
fn an_upstream_that_breaks_off_an_upload() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    for answers in [true, false] {
        let mut client = balancer.connect();
        client.send("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 20000000\r\n\r\n");
        let mut server = upstream.accept();
        server.read_head();
        pass(&mut client, &mut server, &noise(5 * MIB));
        if answers {
            server.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
            drop(server);
        } else {
            server.reset();
        }
        let status = if answers { "413" } else { "502" };
        let head = client.read_head();
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")) && head.contains("Connection: close"),
            "{head}"
        );
    }
}

#[test]
fn a_client_that_resets() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    // Its answer is on the way.
    let (mut client, mut server) = asked(&upstream, &balancer);
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n");
    client.read_head();
    pass(&mut server, &mut client, &noise(5 * MIB));
    client.reset();
    while server.try_send(vec![0; MIB]) {}
    balancer.wait_for_metric("failures_total{side=\"client\"}", 1.0);
    // Its body is on the way.
    let mut client = balancer.connect();
    client.send("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 200000000\r\n\r\n");
    let mut server = upstream.accept();
    server.read_head();
    pass(&mut client, &mut server, &noise(5 * MIB));
    client.reset();
    server.read_to_end();
    balancer.wait_for_metric("failures_total{side=\"client\"}", 2.0);
    balancer.wait_for_metric("endpoint_in_flight", 0.0);
    // What was in the pipes is nobody else's.
    let (mut client, mut server) = asked(&upstream, &balancer);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {MIB}\r\n\r\n");
    pass(&mut server, &mut client, &[head.as_bytes(), &noise(MIB)].concat());
    still_works(&mut client, &mut server);
}

#[test]
fn more_at_once_than_there_are_pipes() {
    const CLIENTS: usize = 300;
    let upstream = Listening::start();
    let mut settings = settings(&[upstream.address()]);
    // Room for 64 pipes.
    settings.open_files = berth_balancer::OTHER_FILES + 1024;
    let balancer = Balancer::start(settings);
    let body = noise(300_000);
    let mut pairs: Vec<(Wire, Wire)> = (0..CLIENTS).map(|_| asked(&upstream, &balancer)).collect();
    for round in 0..2 {
        for (client, server) in &mut pairs {
            server.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
            server.send(&body[..1000]);
            client.read_head();
            assert!(client.read_exact(1000) == body[..1000]);
        }
        // All of them are under way now.
        for (client, server) in pairs.iter_mut().rev() {
            pass(server, client, &body[1000..]);
        }
        for (client, server) in &mut pairs {
            client.send(get("/"));
            assert!(server.read_head().starts_with("GET / "), "round {round}");
        }
    }
    assert_eq!(balancer.metric("failures_total"), 0.0);
}
