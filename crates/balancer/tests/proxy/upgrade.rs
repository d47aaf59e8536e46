//! Upgrades: what goes upstream before the 101, and what else an upstream may answer.

use berth_testkit::{Listening, Refusing, Wire};

use crate::harness::{
    Balancer, accept_any, expect, expect_nobody, forwarded, forwarded_by, forwarded_get, get, ok,
};

pub(crate) const ASK: &str = "GET /chat HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Key: x\r\n\r\n";
pub(crate) const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// [`ASK`] as its upstream sees it.
fn forwarded_ask() -> String {
    asked_for("websocket")
}

/// The same for other protocols; for none if there are none.
fn asked_for(protocols: &str) -> String {
    let hop = if protocols.is_empty() {
        String::new()
    } else {
        format!("Connection: Upgrade\r\nUpgrade: {protocols}\r\n")
    };
    format!("GET /chat HTTP/1.1\r\nHost: test\r\nSec-WebSocket-Key: x\r\n{hop}{}", forwarded("test"))
}

/// A client that has asked, and the upstream that has been asked.
pub(crate) fn asked(upstream: &Listening, balancer: &Balancer) -> (Wire, Wire) {
    let mut client = balancer.connect();
    client.send(ASK);
    let mut server = upstream.accept();
    expect(&mut server, forwarded_ask());
    (client, server)
}

/// Both ends of a tunnel.
pub(crate) fn tunnel(upstream: &Listening, balancer: &Balancer) -> (Wire, Wire) {
    let (mut client, mut server) = asked(upstream, balancer);
    server.send(SWITCH);
    expect(&mut client, SWITCH);
    (client, server)
}

/// A whole request of somebody else: whatever the balancer was to do before, it has done behind it.
fn somebody_else(upstream: &Listening, balancer: &Balancer) {
    let mut other = balancer.connect();
    other.send(get("/other"));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/other"));
    server.send(ok("x"));
    expect(&mut other, ok("x"));
}

#[test]
fn both_sides_talk_as_they_like() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let (mut client, mut server) = tunnel(&upstream, &balancer);
    // Neither is read as HTTP any more.
    for words in [&b"\0\xff\r\n\r\n"[..], get("/").as_bytes(), b"x", ok("y").as_bytes(), SWITCH.as_bytes()] {
        client.send(words);
        expect(&mut server, words);
        server.send(words);
        expect(&mut client, words);
    }
    expect_nobody(&upstream);
}

#[test]
fn nothing_goes_upstream_before_the_101() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send(format!("{ASK}early, "));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_ask());
    client.send("later");
    somebody_else(&upstream, &balancer);
    server.expect_silence();
    server.send(SWITCH);
    expect(&mut server, "early, later");
    expect(&mut client, SWITCH);
}

#[test]
fn without_a_101_what_follows_is_the_next_request() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send(format!("{ASK}GET /next HTTP/1.1\r\nHost: test\r\n\r\nGET /third HTTP/1.1\r\n"));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_ask());
    server.send(ok("no"));
    expect(&mut client, ok("no"));
    expect(&mut server, forwarded_get("/next"));
    client.send("Host: test\r\n\r\n");
    server.send(ok("x"));
    expect(&mut client, ok("x"));
    expect(&mut server, forwarded_get("/third"));
}

#[test]
fn what_the_upstream_says_right_behind_its_101() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let (mut client, mut server) = asked(&upstream, &balancer);
    server.send(format!("{SWITCH}welcome"));
    expect(&mut client, format!("{SWITCH}welcome"));
    // In pieces, behind an interim answer.
    let (mut client, mut server) = asked(&upstream, &balancer);
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    for byte in format!("{hints}{SWITCH}welcome").bytes() {
        server.send([byte]);
    }
    expect(&mut client, format!("{hints}{SWITCH}welcome"));
    client.send("thanks");
    expect(&mut server, "thanks");
}

#[test]
fn a_refusal_is_an_ordinary_answer() {
    let refusals = [
        ok("not here"),
        "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: Upgrade\r\nUpgrade: chat/2\r\n\r\n".into(),
        "HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n".into(),
        "HTTP/1.1 304 Not Modified\r\n\r\n".into(),
    ];
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let (mut client, mut server) = asked(&upstream, &balancer);
    for refusal in refusals {
        server.send(&refusal);
        expect(&mut client, &refusal);
        // Both connections go on.
        client.send(ASK);
        expect(&mut server, forwarded_ask());
    }
    server.send(SWITCH);
    expect(&mut client, SWITCH);
    assert_eq!(balancer.metric("tunnels_total"), 1.0);
}

#[test]
fn a_101_that_was_not_asked_for() {
    let switch = |protocol: &str| {
        format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\nx")
    };
    let no_protocol = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\nx".to_owned();
    let old = ASK.replace("HTTP/1.1", "HTTP/1.0");
    let with_body = format!("{}Content-Length: 2\r\n\r\nhi", ASK.strip_suffix("\r\n").unwrap());
    let cases = [
        (get("/"), switch("websocket")),
        (ASK.into(), switch("chat/2")),
        (ASK.into(), switch("websocket, chat/2")),
        (ASK.into(), switch("h2c")),
        (ASK.into(), no_protocol),
        (ASK.replace("Connection: Upgrade\r\n", ""), switch("websocket")),
        (ASK.replace("websocket", "h2c"), switch("h2c")),
        (old, switch("websocket")),
        (with_body, switch("websocket")),
    ];
    for (request, answer) in cases {
        let upstream = Listening::start();
        let balancer = Balancer::over(&[upstream.address()]);
        let mut client = balancer.http();
        client.wire.send(&request);
        let mut server = upstream.accept();
        server.read_head();
        server.send(&answer);
        let seen = client.read_answer();
        let told = (seen.status, seen.text());
        assert_eq!(told, (502, "The upstream's answer was not valid HTTP.\n"), "{request:?} {answer:?}");
        server.read_to_end();
        balancer.wait_for_metric("failures_total{side=\"upstream\"}", 1.0);
        assert_eq!(balancer.metric("tunnels_total"), 0.0);
    }
}

#[test]
fn one_of_several_protocols() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send(ASK.replace("websocket", "chat/2, h2c, WebSocket"));
    let mut server = upstream.accept();
    expect(&mut server, asked_for("chat/2, WebSocket"));
    server.send(SWITCH);
    expect(&mut client, SWITCH);
}

#[test]
fn http_2_is_never_asked_for() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    client.send(ASK.replace("Connection: Upgrade\r\nUpgrade: websocket\r\n", h2c));
    let mut server = upstream.accept();
    expect(&mut server, asked_for(""));
    server.send(ok("as ever"));
    expect(&mut client, ok("as ever"));
    client
        .send(ASK.replace("Connection: Upgrade\r\nUpgrade: websocket\r\n", h2c).replace("h2c", "h2c, chat"));
    expect(&mut server, asked_for("chat"));
}

#[test]
fn who_may_not_upgrade_asks_an_ordinary_question() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    // HTTP/1.0 knows no upgrades.
    let mut client = balancer.connect();
    client.send(ASK.replace("HTTP/1.1", "HTTP/1.0"));
    let mut server = upstream.accept();
    let head = "GET /chat HTTP/1.1\r\nHost: test\r\nSec-WebSocket-Key: x\r\n".to_owned();
    expect(&mut server, head + &forwarded_by("test", "1.0"));
    server.send(ok("x"));
    expect(&mut client, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
    // A request with a body: where it ends would be harder to tell.
    let mut client = balancer.connect();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: chat\r\nContent-Length: 2\r\n\r\nhi");
    let lines = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n";
    expect(&mut server, format!("{lines}{}hi", forwarded("test")));
    server.send(ok("x"));
    expect(&mut client, ok("x"));
}

#[test]
fn behind_another_request() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    client.send(get("/first") + ASK + "early");
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/first"));
    server.send(ok("x"));
    expect(&mut client, ok("x"));
    expect(&mut server, forwarded_ask());
    server.send(SWITCH);
    expect(&mut client, SWITCH);
    expect(&mut server, "early");
    // It is a tunnel's now: the next one gets a connection of its own.
    drop((client, server));
    balancer.wait_for_metric("tunnels_open", 0.0);
    somebody_else(&upstream, &balancer);
}

#[test]
fn another_endpoint_is_asked_if_one_does_not_accept_or_answer() {
    let (refusing, peers) = (Refusing::start(), [Listening::start(), Listening::start()]);
    let balancer = Balancer::over(&[refusing.address, peers[0].address(), peers[1].address()]);
    let mut client = balancer.connect();
    client.send(ASK);
    let (first, mut server) = accept_any(&[&peers[0], &peers[1]]);
    expect(&mut server, forwarded_ask());
    drop(server);
    let mut server = peers[1 - first].accept();
    expect(&mut server, forwarded_ask());
    server.send(SWITCH);
    expect(&mut client, SWITCH);
}

#[test]
fn what_is_counted() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let (client, server) = tunnel(&upstream, &balancer);
    balancer.wait_for_metric("tunnels_total", 1.0);
    balancer.wait_for_metric("tunnels_open", 1.0);
    balancer.wait_for_metric("endpoint_in_flight", 1.0);
    drop((client, server));
    balancer.wait_for_metric("tunnels_open", 0.0);
    balancer.wait_for_metric("endpoint_in_flight", 0.0);
    balancer.wait_for_metric("client_connections_open", 0.0);
    balancer.wait_for_metric("answers_total{status=\"1xx\"}", 1.0);
    // How long a tunnel was open says nothing of how fast requests are.
    assert_eq!(balancer.metric("request_seconds_count"), 0.0);
    assert_eq!(balancer.metric("failures_total"), 0.0);
}
