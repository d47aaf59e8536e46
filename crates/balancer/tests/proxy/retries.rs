//! Requests that may have arrived and are sent again: whom it is good for, how often, and where it ends.

use std::time::Duration;

use berth_balancer::config::{Retry, RetryOn, StrategyName};
use berth_testkit::{Answer, Http, Listening, Refusing, Wire};

use crate::harness::{
    Balancer, SOON, accept_any, expect, expect_nobody, forwarded, forwarded_get, get, ok, settings,
};

const POST: &str = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n";

/// How the client's wish reaches the upstream.
fn forwarded_as(lines: &str, body: &str) -> String {
    format!("{lines}{}{body}", forwarded("test"))
}

/// A balancer with other rules for retries.
fn retrying(peers: &[&Listening], retry: &Retry, answer: Option<Duration>) -> Balancer {
    let addresses: Vec<_> = peers.iter().map(|peer| peer.address()).collect();
    let mut settings = settings(&addresses);
    for route in &mut settings.routing.routes {
        route.policy.retry = retry.clone();
    }
    if let Some(answer) = answer {
        settings.proxy.timeouts.answer = answer;
    }
    Balancer::start(settings)
}

fn on_statuses(statuses: &[u16]) -> Retry {
    Retry { on: RetryOn { statuses: statuses.to_vec(), ..RetryOn::default() }, ..Retry::default() }
}

fn answer_of(client: Wire) -> Answer {
    Http { wire: client }.read_answer()
}

#[test]
fn a_reset_goes_to_the_other_endpoint_once_if_the_method_allows_it() {
    for (lines, body, resets) in [
        ("GET / HTTP/1.1\r\nHost: test\r\n", "", true),
        ("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n", "hi", true),
        ("DELETE / HTTP/1.1\r\nHost: test\r\n", "", false),
    ] {
        let peers = [Listening::start(), Listening::start()];
        let balancer = Balancer::over(&[peers[0].address(), peers[1].address()]);
        let mut client = balancer.connect();
        client.send(format!("{lines}\r\n{body}"));
        let (first, mut wire) = accept_any(&[&peers[0], &peers[1]]);
        expect(&mut wire, forwarded_as(lines, body));
        if resets {
            wire.reset();
        } else {
            drop(wire);
        }
        let mut second = peers[1 - first].accept();
        expect(&mut second, forwarded_as(lines, body));
        second.send(ok("y"));
        expect(&mut client, ok("y"));
        expect_nobody(&peers[first]);
        balancer.wait_for_metric("requests_retried_total{why=\"reset\"}", 1.0);
    }
}

#[test]
fn a_route_that_allows_none_sends_nothing_twice() {
    let peers = [Listening::start(), Listening::start()];
    let retry = Retry { attempts: 0, ..Retry::default() };
    let balancer = retrying(&[&peers[0], &peers[1]], &retry, None);
    let mut client = balancer.connect();
    client.send(get("/"));
    let (_, mut wire) = accept_any(&[&peers[0], &peers[1]]);
    expect(&mut wire, forwarded_get("/"));
    drop(wire);
    assert_eq!(answer_of(client).status, 502);
    peers.iter().for_each(expect_nobody);
    assert_eq!(balancer.metric("requests_retried_total"), 0.0);
}

#[test]
fn a_route_may_except_resets() {
    let peers = [Listening::start(), Listening::start()];
    let retry = Retry { on: RetryOn { reset: false, ..RetryOn::default() }, ..Retry::default() };
    let balancer = retrying(&[&peers[0], &peers[1]], &retry, None);
    let mut client = balancer.connect();
    client.send(get("/"));
    let (_, mut wire) = accept_any(&[&peers[0], &peers[1]]);
    expect(&mut wire, forwarded_get("/"));
    drop(wire);
    assert_eq!(answer_of(client).status, 502);
    peers.iter().for_each(expect_nobody);
}

/// Whoever refuses costs no try: two tries are left for the one that resets, and are given to it.
#[test]
fn endpoints_that_refuse_cost_no_try() {
    let (refusing, more, upstream) = (Refusing::start(), Refusing::start(), Listening::start());
    let balancer = Balancer::over(&[refusing.address, upstream.address(), more.address]);
    let mut client = balancer.connect();
    client.send(get("/"));
    for _ in 0..2 {
        expect(&mut upstream.accept(), forwarded_get("/"));
    }
    let mut wire = upstream.accept();
    expect(&mut wire, forwarded_get("/"));
    wire.send(ok("x"));
    expect(&mut client, ok("x"));
    balancer.wait_for_metric("requests_retried_total{why=\"reset\"}", 2.0);
    // One at least; the other may be known to refuse by then.
    assert!(balancer.metric("connects_failed_total") >= 1.0);
}

#[test]
fn a_body_that_is_not_kept_is_not_sent_again() {
    let peers = [Listening::start(), Listening::start()];
    let balancer = Balancer::over(&[peers[0].address(), peers[1].address()]);
    let mut client = balancer.connect();
    client.send("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 70000\r\n\r\n");
    client.send(vec![b'x'; 70_000]);
    let (_, mut wire) = accept_any(&[&peers[0], &peers[1]]);
    wire.read_head();
    wire.read_exact(70_000);
    drop(wire);
    assert_eq!(answer_of(client).status, 502);
    peers.iter().for_each(expect_nobody);
    assert_eq!(balancer.metric("requests_retried_total"), 0.0);
}

#[test]
fn a_spent_budget_ends_all_retries() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut delivered = 0;
    // Each of them asks for two, and thirty are there.
    for _ in 0..20 {
        let mut client = balancer.connect();
        client.send(get("/"));
        let mut wire = upstream.accept();
        delivered += 1;
        expect(&mut wire, forwarded_get("/"));
        drop(wire);
        let answer = std::thread::scope(|scope| {
            let reading = scope.spawn(|| answer_of(client));
            berth_testkit::eventually("an answer", || {
                if let Some(mut wire) = upstream.try_accept() {
                    delivered += 1;
                    expect(&mut wire, forwarded_get("/"));
                }
                reading.is_finished().then_some(())
            });
            reading.join().unwrap()
        });
        assert_eq!(answer.status, 502);
    }
    assert_eq!(delivered, 20 + 30);
    balancer.wait_for_metric("requests_retried_total", 30.0);
    balancer.wait_for_metric("retries_refused_total", 5.0);
}

#[test]
fn a_status_goes_elsewhere_where_the_route_says_so() {
    let failed = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno";
    for (retry, comes_back) in [(on_statuses(&[503]), true), (on_statuses(&[502]), false)] {
        let peers = [Listening::start(), Listening::start()];
        let balancer = retrying(&[&peers[0], &peers[1]], &retry, None);
        let mut client = balancer.connect();
        client.send(get("/"));
        let (first, mut wire) = accept_any(&[&peers[0], &peers[1]]);
        expect(&mut wire, forwarded_get("/"));
        wire.send(failed);
        if !comes_back {
            expect(&mut client, failed);
            expect_nobody(&peers[1 - first]);
            continue;
        }
        let mut second = peers[1 - first].accept();
        expect(&mut second, forwarded_get("/"));
        second.send(ok("y"));
        expect(&mut client, ok("y"));
        balancer.wait_for_metric("requests_retried_total{why=\"status\"}", 1.0);
        // That answer had come to its end, so its connection serves again.
        client.send(get("/next"));
        expect(&mut wire, forwarded_get("/next"));
        wire.send(ok("z"));
        expect(&mut client, ok("z"));
    }
}

#[test]
fn an_answer_that_goes_no_further_is_not_read_to_its_end() {
    let peers = [Listening::start(), Listening::start()];
    let balancer = retrying(&[&peers[0], &peers[1]], &on_statuses(&[500]), None);
    let mut client = balancer.connect();
    client.send(get("/"));
    let (first, mut wire) = accept_any(&[&peers[0], &peers[1]]);
    expect(&mut wire, forwarded_get("/"));
    wire.send("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 1000\r\n\r\nno");
    wire.expect_end();
    let mut second = peers[1 - first].accept();
    expect(&mut second, forwarded_get("/"));
    second.send(ok("y"));
    expect(&mut client, ok("y"));
}

#[test]
fn the_client_gets_the_answer_that_nobody_betters() {
    let failed = "HTTP/1.1 503 Service Unavailable\r\nX: y\r\nContent-Length: 2\r\n\r\nno";
    // A single endpoint, and two that say the same.
    for count in [1, 2] {
        let peers: Vec<Listening> = (0..count).map(|_| Listening::start()).collect();
        let all: Vec<&Listening> = peers.iter().collect();
        let balancer = retrying(&all, &on_statuses(&[503]), None);
        let mut client = balancer.connect();
        client.send(get("/"));
        for _ in 0..count {
            let (_, mut wire) = accept_any(&all);
            expect(&mut wire, forwarded_get("/"));
            wire.send(failed);
        }
        expect(&mut client, failed);
        all.into_iter().for_each(expect_nobody);
    }
}

#[test]
fn a_post_gets_its_status_as_it_came() {
    let failed = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno";
    let peers = [Listening::start(), Listening::start()];
    let balancer = retrying(&[&peers[0], &peers[1]], &on_statuses(&[503]), None);
    let mut client = balancer.connect();
    client.send(format!("{POST}\r\nhi"));
    let (_, mut wire) = accept_any(&[&peers[0], &peers[1]]);
    expect(&mut wire, forwarded_as(POST, "hi"));
    wire.send(failed);
    expect(&mut client, failed);
    peers.iter().for_each(expect_nobody);
}

#[test]
fn one_that_is_declined_serves_after_all_if_nobody_else_can_be_reached() {
    let (refusing, upstream) = (Refusing::start(), Listening::start());
    let mut settings = settings(&[refusing.address, upstream.address()]);
    settings.routing.routes[0].policy.retry = on_statuses(&[503]);
    // In turn, the one that refuses might be the first of them each time.
    settings.routing.backends[0].choosing.strategy = StrategyName::Random;
    let balancer = Balancer::start(settings);
    let failed = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno";
    settle_for(&balancer, &upstream, failed);
}

/// Asks until the one that refuses was asked second. Each time the client gets what the other one says.
fn settle_for(balancer: &Balancer, upstream: &Listening, failed: &str) {
    let last = failed.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    berth_testkit::eventually("a retry", || {
        let mut client = balancer.connect();
        client.send(get("/"));
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| answer_of(client));
            berth_testkit::eventually("an answer", || {
                if let Some(mut wire) = upstream.try_accept() {
                    wire.read_head();
                    wire.send(&last);
                }
                reading.is_finished().then_some(())
            });
            let answer = reading.join().unwrap();
            assert_eq!((answer.status, answer.text()), (503, "no"));
        });
        (balancer.metric("requests_retried_total{why=\"status\"}") > 0.0).then_some(())
    });
}

#[test]
fn a_late_answer_is_looked_for_elsewhere_where_the_route_says_so() {
    for timeout in [false, true] {
        let peers = [Listening::start(), Listening::start()];
        let retry = Retry { on: RetryOn { timeout, ..RetryOn::default() }, ..Retry::default() };
        let balancer = retrying(&[&peers[0], &peers[1]], &retry, Some(SOON));
        let mut client = balancer.connect();
        client.send(get("/"));
        let (first, mut wire) = accept_any(&[&peers[0], &peers[1]]);
        expect(&mut wire, forwarded_get("/"));
        if !timeout {
            assert_eq!(answer_of(client).status, 504);
            expect_nobody(&peers[1 - first]);
            continue;
        }
        let mut second = peers[1 - first].accept();
        expect(&mut second, forwarded_get("/"));
        second.send(ok("y"));
        expect(&mut client, ok("y"));
        wire.expect_end();
        balancer.wait_for_metric("requests_retried_total{why=\"timeout\"}", 1.0);
    }
}

#[test]
fn a_head_that_breaks_off_is_a_reset_unless_the_client_has_an_interim_answer() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    for (lines, body, early, goes_on) in [
        ("GET / HTTP/1.1\r\nHost: test\r\n", "", "", true),
        (POST, "hi", "", false),
        ("GET / HTTP/1.1\r\nHost: test\r\n", "", interim, false),
    ] {
        let peers = [Listening::start(), Listening::start()];
        let balancer = Balancer::over(&[peers[0].address(), peers[1].address()]);
        let mut client = balancer.connect();
        client.send(format!("{lines}\r\n{body}"));
        let (first, mut wire) = accept_any(&[&peers[0], &peers[1]]);
        expect(&mut wire, forwarded_as(lines, body));
        wire.send(early);
        expect(&mut client, early);
        wire.send("HTTP/1.1 200 OK\r\nConte");
        drop(wire);
        if !goes_on {
            assert_eq!(answer_of(client).status, 502);
            expect_nobody(&peers[1 - first]);
            continue;
        }
        let mut second = peers[1 - first].accept();
        expect(&mut second, forwarded_as(lines, body));
        second.send(ok("y"));
        expect(&mut client, ok("y"));
        balancer.wait_for_metric("requests_retried_total{why=\"reset\"}", 1.0);
    }
}
