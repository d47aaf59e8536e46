//! What each client may have at once.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use berth_balancer::config::{Action, Fixed, PerClient, RateLimit, Route, Settings};
use berth_testkit::{Http, Listening, SteadyUpstream, Wire, eventually};

use crate::harness::{Balancer, expect, get, ok, settings};
use crate::routes::{route, with};
use crate::upgrade::tunnel;

const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn connections(most: u32) -> Option<PerClient> {
    Some(PerClient { max_connections: Some(most), max_requests: None })
}

fn requests(most: u32) -> Option<PerClient> {
    Some(PerClient { max_connections: None, max_requests: Some(most) })
}

fn limited(upstream: std::net::SocketAddr, per_client: Option<PerClient>) -> Settings {
    let mut settings = settings(&[upstream]);
    settings.proxy.per_client = per_client;
    settings
}

/// A connection that has been admitted.
fn admitted(balancer: &Balancer) -> Http {
    let mut client = balancer.http();
    assert_eq!(client.get("/").status, 200);
    client
}

/// A request that is with the upstream: the client's side of it and the upstream's.
fn under_way(mut client: Wire, upstream: &Listening) -> (Wire, Wire) {
    client.send(get("/slow"));
    let mut server = upstream.accept();
    server.read_head();
    (client, server)
}

/// So many requests, and no more for as long as a test may run.
fn at_once(requests: u32) -> RateLimit {
    let requests = NonZeroU32::new(requests).unwrap();
    RateLimit { requests, per: Duration::from_secs(3600) * requests.get(), burst: requests, by: None }
}

fn go_over_to(balancer: &Balancer, next: &Mutex<Result<Settings, String>>, settings: Settings) {
    *next.lock().unwrap() = Ok(settings);
    let answer = balancer.admin().send("POST", "/reload", "Host: localhost\r\n", b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn expect_turned_away(client: &mut Http) {
    let answer = client.read_answer();
    assert_eq!((answer.status, answer.text()), (429, "Too many connections.\n"));
    assert_eq!((answer.field("Connection"), answer.field("Retry-After")), (Some("close"), Some("1")));
    let (rest, was_reset) = client.wire.read_to_reset();
    assert!(rest.is_empty() && !was_reset);
}

#[test]
fn one_connection_too_many_is_told_so_at_once() {
    let upstream = SteadyUpstream::saying("x");
    let mut settings = limited(upstream.address(), connections(2));
    settings.threads = 3;
    let balancer = Balancer::start(settings);
    let (mut first, second) = (admitted(&balancer), admitted(&balancer));
    // Without a word from it, and also when it has sent something.
    expect_turned_away(&mut balancer.http());
    let mut told = 1.0;
    eventually("a word to one that has sent something", || {
        let mut client = balancer.http();
        told += 1.0;
        // Whoever sends after it has been given up is reset.
        let has_sent = client.wire.try_send(get("/").repeat(3));
        let is_told = client.try_read_answer().is_ok_and(|answer| answer.status == 429);
        (has_sent && is_told && client.wire.read_to_reset() == (Vec::new(), false)).then_some(())
    });
    let mut other = Http { wire: Wire::connect_from(OTHER, balancer.address) };
    assert_eq!((other.get("/").status, first.get("/").status), (200, 200));
    balancer.wait_for_metric("client_connections_limited_total", told);
    balancer.wait_for_metric("answers_total{status=\"4xx\"}", told);
    balancer.wait_for_metric("requests_limited_total", 0.0);
    balancer.wait_for_metric("failures_total", 0.0);
    drop(second);
    eventually("the place of one that has ended", || {
        let mut client = balancer.http();
        client.try_get("/").is_ok_and(|answer| answer.status == 200).then_some(())
    });
    assert_eq!(first.get("/").status, 200);
}

#[test]
fn who_is_trusted_has_no_limit() {
    let upstream = SteadyUpstream::saying("x");
    let mut settings = limited(upstream.address(), connections(1));
    settings.proxy.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    let balancer = Balancer::start(settings);
    let _open: Vec<Http> = (0..5).map(|_| admitted(&balancer)).collect();
    let mut other = Http { wire: Wire::connect_from(OTHER, balancer.address) };
    assert_eq!(other.get("/").status, 200);
    expect_turned_away(&mut Http { wire: Wire::connect_from(OTHER, balancer.address) });
}

#[test]
fn a_flood_is_reset_without_a_word() {
    let upstream = SteadyUpstream::saying("x");
    let mut settings = limited(upstream.address(), connections(1));
    // An eighth may be those that are being told.
    settings.most_connections = 80;
    let balancer = Balancer::start(settings);
    let mut first = admitted(&balancer);
    let mut lingering = Vec::new();
    // Those that have been told stay for a while, so sooner or later there are too many of them.
    let seen = loop {
        let mut client = balancer.http();
        match client.try_read_answer() {
            Ok(answer) => assert_eq!(answer.status, 429),
            Err(seen) => break seen,
        }
        lingering.push(client);
        assert!(lingering.len() < 1000, "nobody is reset");
    };
    assert!(seen.is_empty() && lingering.len() >= 10, "{} linger", lingering.len());
    let mut other = Http { wire: Wire::connect_from(OTHER, balancer.address) };
    assert_eq!((other.get("/").status, first.get("/").status), (200, 200));
    drop(lingering);
    eventually("a word again", || balancer.http().try_read_answer().is_ok().then_some(()));
    drop((first, other));
    eventually("no flood any more", || {
        balancer.http().try_get("/").is_ok_and(|answer| answer.status == 200).then_some(())
    });
    balancer.wait_for_metric("client_connections_open", 0.0);
}

#[test]
fn one_request_too_many_is_told_so_and_the_connection_goes_on() {
    let upstream = Listening::start();
    let balancer = Balancer::start(limited(upstream.address(), requests(1)));
    let mut slow = balancer.connect();
    slow.send(get("/slow"));
    let mut server = upstream.accept();
    server.read_head();
    let mut client = balancer.http();
    for _ in 0..3 {
        let answer = client.get("/");
        assert_eq!((answer.status, answer.text()), (429, "Too many requests.\n"));
        assert_eq!((answer.field("Connection"), answer.field("Retry-After")), (None, Some("1")));
        assert_eq!(answer.field("RateLimit-Limit"), None);
    }
    let mut other = Wire::connect_from(OTHER, balancer.address);
    other.send(get("/other"));
    upstream.accept().read_head();
    server.send(ok("slow"));
    expect(&mut slow, ok("slow"));
    client.wire.send(get("/next"));
    assert!(server.read_head().starts_with("GET /next "));
    server.send(ok("next"));
    assert_eq!(client.read_answer().text(), "next");
    balancer.wait_for_metric("requests_limited_total{limit=\"max_requests\"}", 3.0);
    balancer.wait_for_metric("failures_total{side=\"client\"}", 0.0);
}

#[test]
fn a_tunnel_is_under_way_until_it_ends() {
    let upstream = Listening::start();
    let balancer = Balancer::start(limited(upstream.address(), requests(1)));
    let (tunnel, server) = tunnel(&upstream, &balancer);
    let mut client = balancer.http();
    assert_eq!(client.get("/").status, 429);
    drop((tunnel, server));
    balancer.wait_for_metric("tunnels_open", 0.0);
    client.wire.send(get("/"));
    let mut server = upstream.accept();
    server.read_head();
    server.send(ok("x"));
    assert_eq!(client.read_answer().status, 200);
}

#[test]
fn a_connection_that_lingers_has_no_request_under_way() {
    let fixed = Fixed { status: 200, headers: Vec::new(), body: "fixed".into() };
    let free = Route { action: Action::Respond(fixed), ..route("/*", 0) };
    let mut full = Route { rule: route("/full", 0).rule, ..free.clone() };
    full.policy.rate_limits = vec![at_once(1)];
    let mut settings = with(vec![free, full], Vec::new());
    settings.proxy.per_client = requests(1);
    let balancer = Balancer::start(settings);
    let mut client = balancer.http();
    assert_eq!(client.get("/full").status, 200);
    for (path, status) in [("/", 200), ("/full", 429)] {
        let mut lingering = balancer.http();
        // The rest of the body is waited for.
        lingering.wire.send(format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n01234"));
        let answer = lingering.read_answer();
        assert_eq!((answer.status, answer.field("Connection")), (status, Some("close")));
        assert_eq!(client.get("/").status, 200);
    }
}

#[test]
fn who_is_trusted_has_any_number_of_requests() {
    let upstream = Listening::start();
    let mut settings = limited(upstream.address(), requests(1));
    settings.proxy.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    let balancer = Balancer::start(settings);
    let _under_way = [(); 3].map(|()| under_way(balancer.connect(), &upstream));
    let other = || Http { wire: Wire::connect_from(OTHER, balancer.address) };
    let _other = under_way(other().wire, &upstream);
    assert_eq!(other().get("/").status, 429);
}

#[test]
fn how_many_requests_changes_while_some_are_under_way() {
    let upstream = Listening::start();
    let next = Arc::new(Mutex::new(Err(String::new())));
    let both = |max_requests| Some(PerClient { max_connections: Some(100), max_requests });
    let balancer = Balancer::reloading(limited(upstream.address(), both(None)), &next);
    let go_over_to = |max_requests| {
        go_over_to(&balancer, &next, limited(upstream.address(), both(max_requests)));
    };
    let mut client = balancer.http();
    let begins = || under_way(balancer.connect(), &upstream);
    let _before = begins();
    go_over_to(Some(1));
    // What began before does not count.
    let _first = begins();
    assert_eq!(client.get("/").status, 429);
    go_over_to(Some(2));
    let _second = begins();
    assert_eq!(client.get("/").status, 429);
    go_over_to(Some(1));
    assert_eq!(client.get("/").status, 429);
    go_over_to(None);
    let _more = [(); 3].map(|()| begins());
}

#[test]
fn who_becomes_trusted_has_no_limit_any_more() {
    let upstream = Listening::start();
    let next = Arc::new(Mutex::new(Err(String::new())));
    let mut settings = limited(upstream.address(), requests(1));
    let balancer = Balancer::reloading(settings.clone(), &next);
    let _slow = under_way(balancer.connect(), &upstream);
    let mut client = balancer.http();
    assert_eq!(client.get("/").status, 429);
    settings.proxy.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    go_over_to(&balancer, &next, settings);
    let _counted = under_way(client.wire, &upstream);
}

#[test]
fn limits_change_while_connections_are_open() {
    let upstream = SteadyUpstream::saying("x");
    let next = Arc::new(Mutex::new(Err(String::new())));
    let balancer = Balancer::reloading(limited(upstream.address(), None), &next);
    let go_over_to = |per_client| go_over_to(&balancer, &next, limited(upstream.address(), per_client));
    let mut uncounted = admitted(&balancer);
    go_over_to(connections(1));
    let mut counted = admitted(&balancer);
    expect_turned_away(&mut balancer.http());
    go_over_to(connections(2));
    let _second = admitted(&balancer);
    expect_turned_away(&mut balancer.http());
    go_over_to(None);
    let _more = [(); 3].map(|()| admitted(&balancer));
    go_over_to(connections(3));
    let _third = admitted(&balancer);
    expect_turned_away(&mut balancer.http());
    assert_eq!((uncounted.get("/").status, counted.get("/").status), (200, 200));
}

#[test]
fn who_waits_for_others_to_end_uses_nothing_up() {
    let upstream = Listening::start();
    let mut settings = limited(upstream.address(), requests(1));
    settings.routing.routes[0].policy.rate_limits = vec![at_once(2)];
    let balancer = Balancer::start(settings);
    let mut slow = balancer.connect();
    slow.send(get("/slow"));
    let mut server = upstream.accept();
    server.read_head();
    let mut client = balancer.http();
    for _ in 0..3 {
        assert_eq!(client.get("/").field("RateLimit-Limit"), None);
    }
    server.send(ok("slow"));
    expect(&mut slow, ok("slow"));
    client.wire.send(get("/second"));
    server.read_head();
    server.send(ok("second"));
    assert_eq!(client.read_answer().status, 200);
    assert_eq!(client.get("/").field("RateLimit-Limit"), Some("2"));
}
