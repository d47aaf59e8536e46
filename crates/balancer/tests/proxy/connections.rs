//! Connections on both sides: how long they live, what they carry, in which order.

use berth_testkit::{Listening, holds_for};

use crate::harness::{
    Balancer, accept_any, expect, expect_nobody, forwarded, forwarded_get, get, ok, settings,
};

#[test]
fn hundreds_of_requests_on_one_connection() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send(get("/0"));
    let mut server = upstream.accept();
    for number in 0..500 {
        expect(&mut server, forwarded_get(&format!("/{number}")));
        server.send(ok(&number.to_string()));
        expect(&mut client, ok(&number.to_string()));
        client.send(get(&format!("/{}", number + 1)));
    }
    expect_nobody(&upstream);
}

#[test]
fn one_upstream_connection_serves_one_client_after_the_other() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut first = balancer.connect();
    first.send(get("/"));
    let mut server = upstream.accept();
    for _ in 0..20 {
        expect(&mut server, forwarded_get("/"));
        server.send(ok("x"));
        expect(&mut first, ok("x"));
        first = balancer.connect();
        first.send(get("/"));
    }
    expect_nobody(&upstream);
}

#[test]
fn two_requests_at_once_need_two_upstream_connections() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let (mut a, mut b) = (balancer.connect(), balancer.connect());
    a.send(get("/a"));
    let mut for_a = upstream.accept();
    expect(&mut for_a, forwarded_get("/a"));
    b.send(get("/b"));
    let mut for_b = upstream.accept();
    expect(&mut for_b, forwarded_get("/b"));
    for_b.send(ok("b"));
    expect(&mut b, ok("b"));
    for_a.send(ok("a"));
    expect(&mut a, ok("a"));
    // The last one that was put back is the first one taken.
    b.send(get("/c"));
    expect(&mut for_a, forwarded_get("/c"));
    for_b.expect_silence();
    expect_nobody(&upstream);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    let post = "POST /b HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n";
    let chunked = "POST /c HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n";
    let chunks = "2\r\nhi\r\n0\r\n\r\n";
    let (a, d) = (get("/a"), get("/d"));
    client.send(format!("{a}{post}\r\nhello{chunked}\r\n{chunks}{d}{}", &get("/e")[..10]));
    let mut server = upstream.accept();
    let expected = [
        forwarded_get("/a"),
        format!("{post}{}hello", forwarded("test")),
        format!("{chunked}{}{chunks}", forwarded("test")),
        forwarded_get("/d"),
    ];
    for (number, expected) in expected.iter().enumerate() {
        expect(&mut server, expected);
        // The next one waits for the answer.
        server.expect_silence();
        server.send(ok(&number.to_string()));
        expect(&mut client, ok(&number.to_string()));
    }
    client.send(&get("/e")[10..]);
    expect(&mut server, forwarded_get("/e"));
    server.send(ok("e"));
    expect(&mut client, ok("e"));
}

#[test]
fn a_request_right_behind_the_rest_of_a_body() {
    for (framing, parts) in [
        ("Content-Length: 10", ["hello", "there"]),
        ("Transfer-Encoding: chunked", ["5\r\nhello\r\n5\r\n", "there\r\n0\r\n\r\n"]),
    ] {
        let upstream = Listening::start();
        let balancer = Balancer::over(&[upstream.address()]);
        let mut client = balancer.connect();
        let lines = format!("POST / HTTP/1.1\r\nHost: test\r\n{framing}\r\n");
        client.send(format!("{lines}\r\n{}", parts[0]));
        let mut server = upstream.accept();
        expect(&mut server, format!("{lines}{}{}", forwarded("test"), parts[0]));
        client.send(format!("{}{}", parts[1], get("/next")));
        expect(&mut server, parts[1]);
        server.expect_silence();
        server.send(ok("x"));
        expect(&mut client, ok("x"));
        expect(&mut server, forwarded_get("/next"));
        server.send(ok("y"));
        expect(&mut client, ok("y"));
    }
}

#[test]
fn a_thousand_requests_in_one_go() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send(get("/").repeat(1000));
    let mut server = upstream.accept();
    for _ in 0..1000 {
        expect(&mut server, forwarded_get("/"));
        server.send(ok("x"));
    }
    expect(&mut client, ok("x").repeat(1000));
    client.expect_silence();
}

#[test]
fn a_client_that_wants_to_close() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/"));
    server.send(ok("x"));
    expect(&mut client, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
    client.expect_end();
    // That was between the client and the balancer.
    let mut client = balancer.connect();
    client.send(get("/next"));
    expect(&mut server, forwarded_get("/next"));
}

#[test]
fn an_upstream_that_wants_to_close() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    for _ in 0..3 {
        client.send(get("/"));
        let mut server = upstream.accept();
        expect(&mut server, forwarded_get("/"));
        server.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx");
        expect(&mut client, ok("x"));
        server.expect_end();
    }
}

#[test]
fn a_client_that_has_nothing_more_to_say_still_gets_its_answer() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi");
    client.finish();
    let mut server = upstream.accept();
    server.read_until(b"\r\n\r\nhi");
    server.send(ok("x"));
    expect(&mut client, ok("x"));
    client.expect_end();
}

#[test]
fn surplus_bytes_end_the_upstream_connection() {
    for (answer, expected) in [
        (ok("x") + "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray", ok("x")),
        (ok("x") + "\n", ok("x")),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".into(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
        ),
        ("HTTP/1.1 304 Not Modified\r\n\r\nx".into(), "HTTP/1.1 304 Not Modified\r\n\r\n".into()),
        ("HTTP/1.1 204 No Content\r\nA: b\r\n\r\nx".into(), "HTTP/1.1 204 No Content\r\nA: b\r\n\r\n".into()),
    ] {
        let upstream = Listening::start();
        let balancer = Balancer::over(&[upstream.address()]);
        let mut client = balancer.connect();
        client.send(get("/"));
        let mut server = upstream.accept();
        expect(&mut server, forwarded_get("/"));
        server.send(answer);
        expect(&mut client, expected);
        server.expect_end();
        client.send(get("/next"));
        expect(&mut upstream.accept(), forwarded_get("/next"));
    }
}

#[test]
fn an_idle_connection_that_speaks_or_ends_is_not_used_again() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send(get("/"));
    let mut speaks = upstream.accept();
    expect(&mut speaks, forwarded_get("/"));
    speaks.send(ok("x"));
    expect(&mut client, ok("x"));
    speaks.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
    client.send(get("/"));
    let mut ends = upstream.accept();
    expect(&mut ends, forwarded_get("/"));
    ends.send(ok("y"));
    expect(&mut client, ok("y"));
    drop(ends);
    // A method that is never sent twice.
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
    let mut third = upstream.accept();
    third.read_head();
    third.send(ok("z"));
    expect(&mut client, ok("z"));
}

#[test]
fn each_endpoint_has_connections_of_its_own() {
    let (one, two) = (Listening::start(), Listening::start());
    let peers = [&one, &two];
    let balancer = Balancer::over(&[one.address(), two.address()]);
    let mut client = balancer.connect();
    client.send(get("/"));
    let (first, mut a) = accept_any(&peers);
    expect(&mut a, forwarded_get("/"));
    a.send(ok("a"));
    expect(&mut client, ok("a"));
    client.send(get("/"));
    let (second, mut b) = accept_any(&peers);
    assert_ne!(first, second);
    expect(&mut b, forwarded_get("/"));
    b.send(ok("b"));
    expect(&mut client, ok("b"));
    for _ in 0..10 {
        for (wire, name) in [(&mut a, "a"), (&mut b, "b")] {
            client.send(get("/"));
            expect(wire, forwarded_get("/"));
            wire.send(ok(name));
            expect(&mut client, ok(name));
        }
    }
    expect_nobody(&one);
    expect_nobody(&two);
}

#[test]
fn an_empty_line_behind_a_body_begins_no_request() {
    let upstream = Listening::start();
    let soon = std::time::Duration::from_millis(300);
    let balancer = Balancer::with_timeouts(&[upstream.address()], |timeouts| {
        (timeouts.head, timeouts.idle) = (soon, soon);
    });
    let mut client = balancer.connect();
    client.send(get("/"));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/"));
    client.send("\r\n");
    server.send(ok("x"));
    expect(&mut client, ok("x"));
    // Not a 408: nothing was begun that could be late.
    client.expect_end();
}

#[test]
fn one_empty_line_may_come_before_a_request_however_it_is_split_and_no_second_one() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let request = get("/");
    let mut server = None;
    for before in ["\r\n", "\r\n\r\n"] {
        let bytes = format!("{before}{request}");
        for split in 0..before.len() + 3 {
            let mut client = balancer.connect();
            client.send(&bytes[..split]);
            // The bytes so far are read before the rest arrives, unless the machine is slow: then nothing is split.
            std::thread::yield_now();
            client.send(&bytes[split..]);
            if before.len() > 2 {
                assert!(client.read_head().starts_with("HTTP/1.1 400 "), "{before:?} split at {split}");
                continue;
            }
            let server = server.get_or_insert_with(|| upstream.accept());
            expect(server, forwarded_get("/"));
            server.send(ok("x"));
            expect(&mut client, ok("x"));
        }
    }
}

#[test]
fn more_clients_than_allowed_wait_for_others_to_go() {
    let upstream = Listening::start();
    let mut settings = settings(&[upstream.address()]);
    settings.most_connections = 2;
    let balancer = Balancer::start(settings);
    let mut first = balancer.connect();
    first.send(get("/first"));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/first"));
    let second = balancer.connect();
    let mut third = balancer.connect();
    third.send(get("/third"));
    holds_for(40, "two are served", || upstream.try_accept().is_none());
    balancer.wait_for_metric("client_connections_open", 2.0);
    drop(second);
    let mut other = upstream.accept();
    expect(&mut other, forwarded_get("/third"));
    other.send(ok("x"));
    expect(&mut third, ok("x"));
}
