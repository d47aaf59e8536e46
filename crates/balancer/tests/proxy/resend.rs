//! Requests whose upstream ends the connection without an answer: sent again only where asking twice is harmless.

use berth_testkit::{Answer, Http, Listening, Wire};

use crate::harness::{Balancer, accept_any, expect, expect_nobody, forwarded, forwarded_get, get, ok};

const POST: &str = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n";

fn forwarded_post() -> String {
    format!("{POST}{}hi", forwarded("test"))
}

fn read_answer(client: Wire) -> Answer {
    Http { wire: client }.read_answer()
}

/// A client and both upstreams after two requests: each upstream has a connection that is idle now, and the next
/// request goes to the first of them.
struct Warm {
    balancer: Balancer,
    client: Wire,
    peers: [Listening; 2],
    next: Wire,
    other: Wire,
}

impl Warm {
    fn up() -> Self {
        let peers = [Listening::start(), Listening::start()];
        let balancer = Balancer::over(&[peers[0].address(), peers[1].address()]);
        let mut client = balancer.connect();
        let mut wires = Vec::new();
        for _ in 0..2 {
            client.send(get("/warm"));
            let (_, mut wire) = accept_any(&[&peers[0], &peers[1]]);
            expect(&mut wire, forwarded_get("/warm"));
            wire.send(ok("x"));
            expect(&mut client, ok("x"));
            wires.push(wire);
        }
        let other = wires.pop().unwrap();
        Self { balancer, client, peers, next: wires.pop().unwrap(), other }
    }
}

#[test]
fn a_get_that_an_idle_connection_took_with_it_goes_to_the_other_endpoint() {
    let mut warm = Warm::up();
    warm.client.send(get("/"));
    expect(&mut warm.next, forwarded_get("/"));
    drop(warm.next);
    // Who had it once should not have it twice while others are there.
    expect(&mut warm.other, forwarded_get("/"));
    warm.peers.iter().for_each(expect_nobody);
    warm.other.send(ok("y"));
    expect(&mut warm.client, ok("y"));
    warm.balancer.wait_for_metric("stale_connections_total", 1.0);
    assert_eq!(warm.balancer.metric("failures_total"), 0.0);
}

#[test]
fn a_post_that_an_idle_connection_took_with_it_is_not_sent_again() {
    for resets in [false, true] {
        let mut warm = Warm::up();
        warm.client.send(format!("{POST}\r\nhi"));
        expect(&mut warm.next, forwarded_post());
        if resets {
            warm.next.reset();
        } else {
            drop(warm.next);
        }
        let answer = read_answer(warm.client);
        assert_eq!(answer.status, 502);
        assert_eq!(answer.text(), "The upstream ended the connection without an answer.\n");
        warm.other.expect_silence();
        expect_nobody(&warm.peers[0]);
        expect_nobody(&warm.peers[1]);
    }
}

#[test]
fn a_put_goes_elsewhere_and_out_again_on_a_new_connection_where_nobody_else_is() {
    let mut warm = Warm::up();
    let put = format!("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n{}hi", forwarded("test"));
    warm.client.send("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi");
    expect(&mut warm.next, &put);
    drop(warm.next);
    expect(&mut warm.other, &put);
    drop(warm.other);
    let (_, mut again) = accept_any(&[&warm.peers[0], &warm.peers[1]]);
    expect(&mut again, &put);
    again.send(ok("y"));
    expect(&mut warm.client, ok("y"));
    warm.balancer.wait_for_metric("requests_retried_total{why=\"reset\"}", 2.0);
}

#[test]
fn who_has_begun_to_answer_has_read_the_request() {
    for method in ["PUT", "GET"] {
        let mut warm = Warm::up();
        let lines = format!("{method} / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n");
        warm.client.send(format!("{lines}\r\nhi"));
        expect(&mut warm.next, format!("{lines}{}hi", forwarded("test")));
        warm.next.send("HTTP/1.1 100 Continue\r\n\r\n");
        expect(&mut warm.client, "HTTP/1.1 100 Continue\r\n\r\n");
        drop(warm.next);
        assert_eq!(read_answer(warm.client).status, 502, "{method}");
        warm.other.expect_silence();
        expect_nobody(&warm.peers[0]);
        expect_nobody(&warm.peers[1]);
    }
}

#[test]
fn a_get_without_an_answer_goes_to_the_other_endpoint() {
    for method in ["GET", "HEAD", "OPTIONS"] {
        let peers = [Listening::start(), Listening::start()];
        let balancer = Balancer::over(&[peers[0].address(), peers[1].address()]);
        let mut client = balancer.connect();
        client.send(format!("{method} / HTTP/1.1\r\nHost: test\r\n\r\n"));
        let (first, mut wire) = accept_any(&[&peers[0], &peers[1]]);
        let expected = format!("{method} / HTTP/1.1\r\nHost: test\r\n{}", forwarded("test"));
        expect(&mut wire, &expected);
        drop(wire);
        let mut second = peers[1 - first].accept();
        expect(&mut second, &expected);
        second.send("HTTP/1.1 204 No Content\r\n\r\n");
        expect(&mut client, "HTTP/1.1 204 No Content\r\n\r\n");
        balancer.wait_for_metric("requests_resent_total", 1.0);
    }
}

#[test]
fn a_post_without_an_answer_goes_nowhere_else() {
    let peers = [Listening::start(), Listening::start()];
    let balancer = Balancer::over(&[peers[0].address(), peers[1].address()]);
    let mut client = balancer.connect();
    client.send(format!("{POST}\r\nhi"));
    let (first, mut wire) = accept_any(&[&peers[0], &peers[1]]);
    expect(&mut wire, forwarded_post());
    drop(wire);
    assert_eq!(read_answer(client).status, 502);
    expect_nobody(&peers[first]);
    expect_nobody(&peers[1 - first]);
    assert_eq!(balancer.metric("requests_resent_total"), 0.0);
}

#[test]
fn a_request_that_kills_its_servers_is_not_carried_through_all_of_them() {
    let peers: Vec<Listening> = (0..6).map(|_| Listening::start()).collect();
    let addresses: Vec<_> = peers.iter().map(Listening::address).collect();
    let balancer = Balancer::over(&addresses);
    let mut client = balancer.connect();
    client.send(get("/"));
    let all: Vec<&Listening> = peers.iter().collect();
    for _ in 0..3 {
        let (_, mut wire) = accept_any(&all);
        expect(&mut wire, forwarded_get("/"));
        drop(wire);
    }
    assert_eq!(read_answer(client).status, 502);
    peers.iter().for_each(expect_nobody);
    balancer.wait_for_metric("requests_resent_total", 2.0);
}

#[test]
fn a_single_endpoint_without_an_answer_is_asked_again_for_want_of_another() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.connect();
    for answer in [Some("x"), None] {
        client.send(get("/"));
        for _ in 0..2 {
            let mut wire = upstream.accept();
            expect(&mut wire, forwarded_get("/"));
        }
        let mut wire = upstream.accept();
        expect(&mut wire, forwarded_get("/"));
        if let Some(content) = answer {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
            expect(&mut client, ok(content));
        }
    }
    assert_eq!(read_answer(client).status, 502);
    expect_nobody(&upstream);
    balancer.wait_for_metric("requests_resent_total", 4.0);
}

#[test]
fn a_get_with_a_body_is_sent_again_as_far_as_it_was_kept() {
    let peers = [Listening::start(), Listening::start()];
    let balancer = Balancer::over(&[peers[0].address(), peers[1].address()]);
    let mut client = balancer.connect();
    let lines = "GET / HTTP/1.1\r\nHost: test\r\nContent-Length: 40000\r\n";
    let (body, head) = (vec![b'x'; 40_000], lines.to_owned() + &forwarded("test"));
    client.send(format!("{lines}\r\n"));
    client.send(&body[..20_000]);
    let (first, mut wire) = accept_any(&[&peers[0], &peers[1]]);
    expect(&mut wire, &head);
    expect(&mut wire, &body[..20_000]);
    drop(wire);
    let mut second = peers[1 - first].accept();
    expect(&mut second, &head);
    expect(&mut second, &body[..20_000]);
    client.send(&body[20_000..]);
    expect(&mut second, &body[20_000..]);
    second.send(ok("x"));
    expect(&mut client, ok("x"));
}

#[test]
fn a_get_whose_body_is_gone_is_not_sent_again() {
    let peers = [Listening::start(), Listening::start()];
    let balancer = Balancer::over(&[peers[0].address(), peers[1].address()]);
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.1\r\nHost: test\r\nContent-Length: 200000\r\n\r\n");
    client.send(vec![b'x'; 200_000]);
    let (first, mut wire) = accept_any(&[&peers[0], &peers[1]]);
    wire.read_head();
    wire.read_exact(200_000);
    drop(wire);
    assert_eq!(read_answer(client).status, 502);
    expect_nobody(&peers[1 - first]);
}
