//! Endpoints that cannot be connected to, and none at all.

use berth_balancer::config::default_routing;
use berth_model::Query;
use berth_testkit::{Full, Http, Listening, Refusing, SteadyUpstream};

use crate::harness::{Balancer, SOON, expect, forwarded, get, ok, settings};

#[test]
fn a_refused_connection_costs_the_client_nothing() {
    let (refusing, more_refusing, upstream) =
        (Refusing::start(), Refusing::start(), SteadyUpstream::saying("here"));
    let balancer = Balancer::over(&[refusing.address, upstream.address(), more_refusing.address]);
    let mut client = balancer.http();
    for _ in 0..30 {
        assert_eq!(client.get("/").text(), "here");
        let posted = client.send("POST", "/", "", &[b'x'; 1000]);
        assert_eq!(posted.text(), "here");
    }
    assert_eq!(upstream.requests(), 60);
    // Either of them had its turn once at least; then it is out.
    assert!(balancer.metric("connects_failed_total") >= 2.0);
    assert_eq!((balancer.metric("failures_total"), balancer.metric("requests_resent_total")), (0.0, 0.0));
}

#[test]
fn a_large_post_reaches_the_endpoint_that_accepts() {
    let (refusing, upstream) = (Refusing::start(), Listening::start());
    let balancer = Balancer::over(&[refusing.address, upstream.address()]);
    let body = vec![b'x'; 300_000];
    // Whoever is first in turn, one of two requests meets the one that refuses first.
    for _ in 0..2 {
        let mut client = balancer.connect();
        let lines = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 300000\r\nConnection: close\r\n";
        client.send(format!("{lines}\r\n"));
        client.send(&body);
        let mut server = upstream.accept();
        expect(&mut server, lines.replace("Connection: close\r\n", "") + &forwarded("test"));
        expect(&mut server, &body);
        server.send(ok("x").replace("OK\r\n", "OK\r\nConnection: close\r\n"));
        expect(&mut client, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
    }
    assert!(balancer.metric("connects_failed_total") >= 1.0);
}

#[test]
fn all_refuse() {
    let (one, two) = (Refusing::start(), Refusing::start());
    let balancer = Balancer::over(&[one.address, two.address]);
    let mut client = balancer.http();
    for answer in [client.get("/"), client.send("POST", "/", "", b"hi")] {
        assert_eq!(answer.status, 503);
        assert_eq!(answer.field("Retry-After"), Some("1"));
        assert_eq!(answer.text(), "No instance of the given upstreams accepts a connection.\n");
    }
    balancer.wait_for_metric("connects_failed_total", 4.0);
    balancer.wait_for_metric("failures_total{side=\"none\"}", 2.0);
}

#[test]
fn nobody_to_ask() {
    let mut settings = settings(&[]);
    settings.routing = default_routing(Some(&"web@1.x".parse::<Query>().unwrap()), &[], &[]);
    let balancer = Balancer::start(settings);
    let mut client = balancer.connect();
    let lines = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 46\r\nRetry-After: 1\r\n";
    let sentence = "No instance of service web@1.x is available.\n";
    let lines = lines.replace("46", &sentence.len().to_string());
    client.send(get("/"));
    expect(&mut client, format!("{lines}\r\n{sentence}"));
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
    expect(&mut client, format!("{lines}\r\n"));
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi");
    expect(&mut client, format!("{lines}\r\n{sentence}"));
    client.send(get("/").repeat(3));
    expect(&mut client, format!("{lines}\r\n{sentence}").repeat(3));
    // A body that is still to come hides where the next request begins.
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nh");
    expect(&mut client, format!("{lines}Connection: close\r\n\r\n{sentence}"));
    client.expect_end();
}

#[test]
fn whoever_neither_accepts_nor_refuses_is_passed_over() {
    let (full, upstream) = (Full::start(), SteadyUpstream::saying("here"));
    let balancer =
        Balancer::with_timeouts(&[full.address, upstream.address()], |timeouts| timeouts.connect = SOON);
    for _ in 0..2 {
        assert_eq!(Http::once(balancer.address, "/").text(), "here");
    }
    assert!(balancer.metric("connects_failed_total") >= 1.0);
}

#[test]
fn nobody_accepts_in_time() {
    let full = Full::start();
    let balancer = Balancer::with_timeouts(&[full.address], |timeouts| timeouts.connect = SOON);
    let answer = Http::once(balancer.address, "/");
    assert_eq!((answer.status, answer.field("Retry-After")), (503, Some("1")));
}

#[test]
fn only_so_many_wait_for_a_connection_to_come_about() {
    const TURNED_AWAY: &str = "turned_away_total{backend=\"default\",reason=\"max_pending\"}";
    let full = Full::start();
    let start = |most_pending| {
        let mut settings = settings(&[full.address]);
        settings.proxy.most_pending = most_pending;
        settings.proxy.timeouts.connect = std::time::Duration::from_secs(3600);
        Balancer::start(settings)
    };
    let balancer = start(2);
    let mut clients: Vec<Http> = (0..5).map(|_| balancer.http()).collect();
    clients.iter_mut().for_each(|client| client.wire.send(get("/")));
    balancer.wait_for_metric(TURNED_AWAY, 3.0);
    balancer.wait_for_metric("answers_total{status=\"5xx\"}", 3.0);
    let balancer = start(0);
    let answer = balancer.http().get("/");
    assert_eq!((answer.status, answer.field("Retry-After")), (503, Some("1")));
    assert_eq!(answer.text(), "Too many requests wait for a connection to the given upstreams.\n");
    assert_eq!(balancer.metric(TURNED_AWAY), 1.0);
}
