//! Upstreams inside TLS: what they are asked for, and what reaches them.

use std::thread;

use berth_testkit::{Listening, Wire, eventually};

use crate::bodies::noise;
use crate::harness::{Balancer, expect, forwarded, forwarded_by, forwarded_get, get, ok, settings};
use crate::secure::{Authority, Secure, SecureWire};
use crate::upgrade::{ASK, SWITCH};

/// A GET from `test` as an upstream sees it that goes by another name.
fn get_from(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{}", forwarded("test"))
}

/// An authority, a server that it vouches for, a balancer in front of it, and what the server goes by.
fn one() -> (Secure, Balancer, String) {
    let authority = Authority::new();
    let upstream = Secure::local(&authority);
    let balancer = Balancer::start(authority.settings(&[("localhost", upstream.address())]));
    let host = format!("localhost:{}", upstream.address().port());
    (upstream, balancer, host)
}

enum Either {
    Secure(Box<SecureWire>),
    Plain(Wire),
}

/// The next connection to either.
fn either(upstream: &Secure, plain: &Listening) -> Either {
    eventually("a connection to either", || {
        let secure = upstream.try_accept().map(|wire| Either::Secure(Box::new(wire)));
        secure.or_else(|| plain.try_accept().map(Either::Plain))
    })
}

#[test]
fn it_is_asked_for_by_its_name_and_its_connection_is_kept() {
    let (upstream, balancer, host) = one();
    let mut client = balancer.connect();
    client.send(get("/first"));
    let mut server = upstream.accept();
    assert_eq!((server.name(), server.protocol()), (Some("localhost"), Some(&b"http/1.1"[..])));
    server.expect(get_from("/first", &host));
    server.send(ok("x"));
    expect(&mut client, ok("x"));
    for _ in 0..3 {
        client.send(get("/next"));
        server.expect(get_from("/next", &host));
        server.send(ok("y"));
        expect(&mut client, ok("y"));
    }
    assert!(upstream.try_accept().is_none());
}

#[test]
fn whatever_host_the_client_names() {
    let (upstream, balancer, host) = one();
    let mut server: Option<SecureWire> = None;
    let from = format!("127.0.0.1:{}", balancer.address.port());
    let cases = [
        (
            "GET / HTTP/1.1\r\nA: b\r\nhOST:  other.example:1 \r\nC: d\r\n\r\n",
            "A: b\r\nhOST: ",
            "other.example:1",
            "1.1",
        ),
        (
            "GET http://third.example/ HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n",
            "A: b\r\nHost: ",
            "third.example",
            "1.1",
        ),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "Host: ", from.as_str(), "1.0"),
    ];
    for (request, before, own, version) in cases {
        let mut client = balancer.http();
        client.wire.send(request);
        let server = server.get_or_insert_with(|| upstream.accept());
        let behind = if request.contains("C: d") { "C: d\r\n" } else { "" };
        let fields = forwarded_by(own, version);
        server.expect(format!("GET / HTTP/1.1\r\n{before}{host}\r\n{behind}{fields}"));
        server.send(ok("x"));
        assert_eq!(client.read_answer().text(), "x");
    }
}

#[test]
fn an_address_is_proved_like_a_name() {
    let authority = Authority::new();
    let upstream = Secure::start(authority.vouch(&["127.0.0.1"], |_| {}));
    let balancer = Balancer::start(authority.settings(&[("127.0.0.1", upstream.address())]));
    let mut client = balancer.connect();
    client.send(get("/"));
    let mut server = upstream.accept();
    // RFC 6066 §3: addresses are not asked for by name.
    assert_eq!(server.name(), None);
    server.expect(get_from("/", &upstream.address().to_string()));
    server.send(ok("x"));
    expect(&mut client, ok("x"));
}

#[test]
fn a_plain_upstream_gets_the_clients_host_whoever_was_tried_before() {
    let authority = Authority::new();
    let mut seen = [0, 0];
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";
    // Each is a new balancer: whoever has died once is asked how it is, which would come in between.
    for turns_before in 0..2 {
        let (upstream, plain) = (Secure::local(&authority), Listening::start());
        let mut settings = settings(&[plain.address()]);
        let own = authority.settings(&[("localhost", upstream.address())]);
        let servers = own.routing.backends[0].servers.clone();
        settings.routing.backends[0].servers.extend(servers);
        settings.proxy.tls = own.proxy.tls;
        let balancer = Balancer::start(settings);
        let host = format!("localhost:{}", upstream.address().port());
        let mut client = balancer.connect();
        for _ in 0..turns_before {
            client.send(get("/"));
            match either(&upstream, &plain) {
                Either::Secure(mut server) => server.send(last),
                Either::Plain(mut server) => server.send(last),
            }
            expect(&mut client, ok("x"));
        }
        client.send(get("/"));
        // One takes the request and dies; the other one answers.
        match either(&upstream, &plain) {
            Either::Secure(mut server) => {
                server.expect(get_from("/", &host));
                drop(server);
                let mut server = plain.accept();
                expect(&mut server, forwarded_get("/"));
                server.send(last);
                seen[0] += 1;
            }
            Either::Plain(mut server) => {
                expect(&mut server, forwarded_get("/"));
                drop(server);
                let mut server = upstream.accept();
                server.expect(get_from("/", &host));
                server.send(last);
                seen[1] += 1;
            }
        }
        expect(&mut client, ok("x"));
    }
    assert_eq!(seen, [1, 1]);
}

#[test]
fn a_session_is_resumed() {
    let (upstream, balancer, host) = one();
    let mut client = balancer.connect();
    for round in 0..3 {
        client.send(get("/"));
        let mut server = upstream.accept();
        assert_eq!(server.is_resumed(), round > 0, "round {round}");
        assert_eq!(server.name(), Some("localhost"));
        server.expect(get_from("/", &host));
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
        expect(&mut client, ok("x"));
        server.expect_end();
    }
}

#[test]
fn an_idle_connection_that_ended_is_never_the_clients_problem() {
    let (upstream, balancer, host) = one();
    let mut client = balancer.connect();
    client.send(get("/"));
    let mut server = upstream.accept();
    server.expect(get_from("/", &host));
    server.send(ok("x"));
    expect(&mut client, ok("x"));
    // It takes the next request, and is gone.
    client.send(get("/next"));
    server.expect(get_from("/next", &host));
    drop(server);
    let mut server = upstream.accept();
    server.expect(get_from("/next", &host));
    server.send(ok("y"));
    expect(&mut client, ok("y"));
    balancer.wait_for_metric("stale_connections_total", 1.0);
    // It ends before the next request.
    server.finish();
    drop(server);
    client.send(get("/last"));
    let mut server = upstream.accept();
    server.expect(get_from("/last", &host));
    server.send(ok("z"));
    expect(&mut client, ok("z"));
    assert_eq!(balancer.metric("failures_total"), 0.0);
}

#[test]
fn long_bodies_both_ways() {
    let (upstream, balancer, host) = one();
    let mut client = balancer.connect();
    let body = noise(5 * 1024 * 1024);
    let length = format!("Content-Length: {}\r\n", body.len());
    let mut server = None;
    for _ in 0..2 {
        client.send(format!("POST / HTTP/1.1\r\nHost: test\r\n{length}\r\n"));
        let server = server.get_or_insert_with(|| upstream.accept());
        server.expect(format!("POST / HTTP/1.1\r\nHost: {host}\r\n{length}{}", forwarded("test")));
        thread::scope(|scope| {
            scope.spawn(|| client.send(&body));
            server.expect(&body);
        });
        let head = format!("HTTP/1.1 200 OK\r\n{length}\r\n");
        thread::scope(|scope| {
            scope.spawn(|| server.send([head.as_bytes(), &body].concat()));
            expect(&mut client, &head);
            expect(&mut client, &body);
        });
    }
}

#[test]
fn an_answer_that_is_cut_off_is_never_called_whole() {
    let beginnings = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "\r\n\r\nhello"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "\r\n\r\n5\r\nhello\r\n"),
        ("HTTP/1.1 200 OK\r\n\r\nhello", "\r\n\r\nhello"),
    ];
    for (beginning, end) in beginnings {
        // Even where the end of the connection ends the body: anybody on the way could have made it.
        for in_order in [false, true] {
            let (upstream, balancer, host) = one();
            let mut client = balancer.connect();
            client.send(get("/"));
            let mut server = upstream.accept();
            server.expect(get_from("/", &host));
            server.send(beginning);
            client.read_until(end.as_bytes());
            if in_order {
                server.finish();
            }
            drop(server);
            let whole = in_order && !beginning.contains(':');
            assert_eq!(client.read_to_reset(), (Vec::new(), !whole), "{beginning:?} {in_order}");
            balancer.wait_for_metric("failures_total{side=\"upstream\"}", f64::from(u8::from(!whole)));
        }
    }
}

#[test]
fn a_tunnel_inside_tls() {
    let (upstream, balancer, _) = one();
    let mut client = balancer.connect();
    client.send(format!("{ASK}early"));
    let mut server = upstream.accept();
    while !server.take_line().is_empty() {}
    server.send(format!("{SWITCH}welcome"));
    expect(&mut client, format!("{SWITCH}welcome"));
    server.expect("early");
    let body = noise(1024 * 1024);
    thread::scope(|scope| {
        scope.spawn(|| client.send(&body));
        server.expect(&body);
    });
    server.send("last word");
    server.finish();
    assert_eq!(client.read_to_reset(), (b"last word".to_vec(), false));
    // It still listens.
    client.send("so long");
    server.expect("so long");
    client.finish();
    server.expect_end();
    balancer.wait_for_metric("tunnels_open", 0.0);
}

#[test]
fn two_names_of_one_server_are_two_endpoints() {
    let authority = Authority::new();
    let upstream = Secure::start(authority.vouch(&["localhost", "127.0.0.1"], |_| {}));
    let mut settings = authority.settings(&[("localhost", upstream.address())]);
    let second = authority.settings(&[("127.0.0.1", upstream.address())]).routing.backends;
    settings.routing.backends[0].servers.extend(second[0].servers.clone());
    let balancer = Balancer::start(settings);
    let mut names = Vec::new();
    for _ in 0..2 {
        let mut client = balancer.http();
        client.wire.send(get("/"));
        let mut server = upstream.accept();
        names.push(server.name().map(str::to_owned));
        server.send(ok("x"));
        assert_eq!(client.read_answer().text(), "x");
    }
    names.sort();
    assert_eq!(names, [None, Some("localhost".to_owned())]);
}
