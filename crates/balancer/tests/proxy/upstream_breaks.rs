//! Upstreams that break off, or answer what is no answer.

use berth_testkit::{Listening, Wire};

use crate::harness::{Balancer, expect, expect_nobody, forwarded_get, get, ok};

/// A client that has asked, and the upstream that has been asked.
fn asked(upstream: &Listening, balancer: &Balancer) -> (Wire, Wire) {
    let mut client = balancer.connect();
    client.send(get("/"));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/"));
    (client, server)
}

#[test]
fn an_answer_that_breaks_off_is_never_called_whole() {
    let beginnings = [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ];
    for beginning in beginnings {
        for resets in [false, true] {
            let upstream = Listening::start();
            let balancer = Balancer::over(&[upstream.address()]);
            let (mut client, mut server) = asked(&upstream, &balancer);
            server.send(beginning);
            expect(&mut client, beginning);
            if resets {
                server.reset();
            } else {
                drop(server);
            }
            client.expect_end();
            expect_nobody(&upstream);
            balancer.wait_for_metric("failures_total{side=\"upstream\"}", 1.0);
        }
    }
}

#[test]
fn an_answer_until_close_that_is_reset_ends_in_a_reset() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let (mut client, mut server) = asked(&upstream, &balancer);
    server.send("HTTP/1.1 200 OK\r\n\r\nhel");
    expect(&mut client, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhel");
    server.reset();
    assert_eq!(client.read_to_reset(), (Vec::new(), true));
}

#[test]
fn chunks_that_turn_bad_end_the_answer() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let (mut client, mut server) = asked(&upstream, &balancer);
    let good = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    server.send(good);
    expect(&mut client, good);
    server.send("x\r\nwhat?");
    client.expect_end();
    server.expect_end();
}

#[test]
fn what_is_no_answer_becomes_502() {
    let answers = [
        "what?\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        "HTTP/1.1 099 Low\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\nwhat?\r\n\r\n",
    ];
    for answer in answers {
        let upstream = Listening::start();
        let balancer = Balancer::over(&[upstream.address()]);
        let (client, mut server) = asked(&upstream, &balancer);
        let mut client = berth_testkit::Http { wire: client };
        server.send(answer);
        let mut seen = client.read_answer();
        while seen.status < 200 {
            seen = client.read_answer();
        }
        assert_eq!(
            (seen.status, seen.text()),
            (502, "The upstream's answer was not valid HTTP.\n"),
            "{answer:?}"
        );
        server.expect_end();
        // That was the upstream's fault; the client may go on.
        client.wire.send(get("/next"));
        expect(&mut upstream.accept(), forwarded_get("/next"));
    }
}

#[test]
fn a_head_that_breaks_off_each_time_becomes_502() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let (client, mut server) = asked(&upstream, &balancer);
    for _ in 0..2 {
        server.send("HTTP/1.1 200 OK\r\nContent-Le");
        drop(server);
        server = upstream.accept();
        expect(&mut server, forwarded_get("/"));
    }
    server.send("HTTP/1.1 200 OK\r\nContent-Le");
    drop(server);
    assert_eq!(berth_testkit::Http { wire: client }.read_answer().status, 502);
    expect_nobody(&upstream);
}

#[test]
fn a_head_without_end_becomes_502() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let (client, mut server) = asked(&upstream, &balancer);
    server.send("HTTP/1.1 200 OK\r\nA: ");
    let _ = server.try_send("x".repeat(100_000));
    assert_eq!(berth_testkit::Http { wire: client }.read_answer().status, 502);
}

#[test]
fn an_answer_in_pieces_is_put_together() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let (mut client, mut server) = asked(&upstream, &balancer);
    for byte in ok("hello").bytes() {
        server.send([byte]);
    }
    expect(&mut client, ok("hello"));
}
