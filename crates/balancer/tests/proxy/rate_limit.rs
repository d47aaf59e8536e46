//! Routes that take only so many requests.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use berth_balancer::config::{Action, Fixed, LimitBy, Placeholder, RateLimit, Route, Settings, Template};
use berth_balancer::{AccessFormat, AccessTarget};
use berth_testkit::{Answer, Http, SteadyUpstream, Wire};
use serde_json::Value;

use crate::harness::{Balancer, get};
use crate::routes::{backend, route, server, with};

/// So many requests, and no more for as long as a test may run.
fn at_once(requests: u32, by: Option<LimitBy>) -> RateLimit {
    let requests = NonZeroU32::new(requests).unwrap();
    let per = Duration::from_secs(3600) * requests.get();
    RateLimit { requests, per, burst: requests, by }
}

fn by_header(name: &str) -> Option<LimitBy> {
    Some(LimitBy::Header(name.into()))
}

fn limited(upstream: SocketAddr, limits: &[RateLimit]) -> Settings {
    let mut route = route("/*", 0);
    route.policy.rate_limits = limits.to_vec();
    with(vec![route], vec![backend("only", vec![server(upstream, None)])])
}

fn statuses(balancer: &Balancer, requests: usize, fields: &str) -> Vec<u16> {
    let mut client = balancer.http();
    (0..requests).map(|_| client.send("GET", "/", fields, b"").status).collect()
}

fn is_refused(answer: &Answer, burst: u32) -> bool {
    let number = |name| answer.field(name).and_then(|text| text.parse::<u64>().ok());
    let wait_s = number("Retry-After");
    let policy = format!("{burst};w={}", 3600 * burst);
    answer.status == 429
        && wait_s.is_some_and(|wait_s| (3500..=3600).contains(&wait_s))
        && number("RateLimit-Reset") == wait_s
        && number("RateLimit-Limit") == Some(u64::from(burst))
        && number("RateLimit-Remaining") == Some(0)
        && answer.field("RateLimit-Policy") == Some(&policy)
}

#[test]
fn one_too_many_is_told_and_the_connection_goes_on() {
    let upstream = SteadyUpstream::saying("x");
    let mut settings = limited(upstream.address(), &[at_once(2, None)]);
    settings.routing.routes.push(route("/free", 0));
    let balancer = Balancer::start(settings);
    let mut client = balancer.http();
    assert_eq!([client.get("/").status, client.get("/").status], [200, 200]);
    let answer = client.get("/");
    assert!(is_refused(&answer, 2), "{}", answer.head);
    assert!(answer.head.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{}", answer.head);
    assert_eq!(answer.text(), "Too many requests.\n");
    assert_eq!(answer.field("Connection"), None);
    // Of a body that has come the next head is behind.
    let answer = client.send("POST", "/", "Accept: application/json\r\n", b"body");
    assert!(is_refused(&answer, 2), "{}", answer.head);
    assert_eq!(answer.field("Content-Type"), Some("application/problem+json"));
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&problem["status"], &problem["title"]), (&429.into(), &"Too Many Requests".into()));
    client.wire.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(client.wire.read_head().starts_with("HTTP/1.1 429 "));
    assert_eq!(client.get("/free").status, 200);
    assert_eq!(upstream.requests(), 3);
    balancer.wait_for_metric("requests_limited_total{limit=\"rate_limit\"}", 3.0);
    balancer.wait_for_metric("requests_limited_total{limit=\"max_requests\"}", 0.0);
    balancer.wait_for_metric("answers_total{status=\"4xx\"}", 3.0);
    balancer.wait_for_metric("failures_total", 0.0);
}

#[test]
fn a_body_that_has_not_come_ends_the_connection() {
    let upstream = SteadyUpstream::saying("x");
    let balancer = Balancer::start(limited(upstream.address(), &[at_once(1, None)]));
    let mut client = balancer.http();
    assert_eq!(client.get("/").status, 200);
    client.wire.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n01234");
    let answer = client.read_answer();
    assert!(is_refused(&answer, 1), "{}", answer.head);
    assert_eq!(answer.field("Connection"), Some("close"));
    client.wire.send("56789");
    client.wire.finish();
    client.wire.expect_end();
    assert_eq!(upstream.requests(), 1);
}

#[test]
fn requests_that_came_together_are_each_counted() {
    let upstream = SteadyUpstream::saying("x");
    let balancer = Balancer::start(limited(upstream.address(), &[at_once(1, None)]));
    let mut client = balancer.http();
    client.wire.send(get("/").repeat(3));
    let statuses: Vec<u16> = (0..3).map(|_| client.read_answer().status).collect();
    assert_eq!(statuses, [200, 429, 429]);
}

#[test]
fn two_keys_do_not_disturb_one_another() {
    let upstream = SteadyUpstream::saying("x");
    let balancer = Balancer::start(limited(upstream.address(), &[at_once(2, by_header("X-Key"))]));
    assert_eq!(statuses(&balancer, 3, "X-Key: a\r\n"), [200, 200, 429]);
    assert_eq!(statuses(&balancer, 3, "x-key: b\r\n"), [200, 200, 429]);
    assert_eq!(statuses(&balancer, 3, ""), [200, 200, 429], "without a key the address counts");
    assert_eq!(statuses(&balancer, 1, "X-Key: a\r\n"), [429], "also on another connection");
}

#[test]
fn who_has_used_up_his_own_takes_nothing_from_all() {
    let upstream = SteadyUpstream::saying("x");
    let limits = [at_once(3, None), at_once(1, by_header("X-Key"))];
    let balancer = Balancer::start(limited(upstream.address(), &limits));
    assert_eq!(statuses(&balancer, 10, "X-Key: greedy\r\n")[..2], [200, 429]);
    assert_eq!(statuses(&balancer, 1, "X-Key: a\r\n"), [200]);
    assert_eq!(statuses(&balancer, 1, "X-Key: b\r\n"), [200]);
    assert_eq!(statuses(&balancer, 1, "X-Key: c\r\n"), [429], "all together have had three");
}

#[test]
fn nobody_uses_up_what_is_another_ones() {
    let upstream = SteadyUpstream::saying("x");
    let limits = [at_once(3, by_header("X-Tenant")), at_once(1, Some(LimitBy::Address))];
    let balancer = Balancer::start(limited(upstream.address(), &limits));
    let ask = |from: u8, fields: &str| {
        let mut client = Http { wire: Wire::connect_from([127, 0, 0, from].into(), balancer.address) };
        client.send("GET", "/", fields, b"").status
    };
    let victim = "X-Tenant: victim\r\n";
    assert_eq!([(); 5].map(|()| ask(8, victim)), [200, 429, 429, 429, 429]);
    assert_eq!([7, 6, 5].map(|from| ask(from, victim)), [200, 200, 429]);
}

#[test]
fn a_field_that_comes_twice_makes_nobody_another_client() {
    let upstream = SteadyUpstream::saying("x");
    let balancer = Balancer::start(limited(upstream.address(), &[at_once(1, by_header("X-Key"))]));
    assert_eq!(statuses(&balancer, 1, "X-Key: made-up-1\r\nX-Key: a\r\n"), [200]);
    assert_eq!(statuses(&balancer, 1, "X-Key: made-up-2\r\nX-Key: a\r\n"), [429]);
    assert_eq!(statuses(&balancer, 1, "X-Key:\r\n"), [429]);
    assert_eq!(statuses(&balancer, 1, "X-Key: a\r\n"), [200]);
}

#[test]
fn addresses_are_those_that_trusted_proxies_name() {
    let upstream = SteadyUpstream::saying("x");
    let limits = [at_once(1, Some(LimitBy::Address))];
    let mut settings = limited(upstream.address(), &limits);
    let from = |client: &str| format!("X-Forwarded-For: {client}\r\n");
    let balancer = Balancer::start(settings.clone());
    assert_eq!(statuses(&balancer, 1, &from("192.0.2.1")), [200]);
    assert_eq!(statuses(&balancer, 1, &from("192.0.2.2")), [429], "anybody may claim that");
    settings.proxy.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let balancer = Balancer::start(settings);
    assert_eq!(statuses(&balancer, 2, &from("192.0.2.1")), [200, 429]);
    assert_eq!(statuses(&balancer, 2, &from("203.0.113.5, 192.0.2.2, 127.0.0.9")), [200, 429]);
    assert_eq!(statuses(&balancer, 1, &from("198.51.100.7, 192.0.2.2")), [429]);
    assert_eq!(statuses(&balancer, 2, &from("2001:db8::1")), [200, 429]);
    assert_eq!(statuses(&balancer, 1, &from("2001:db8::2")), [429], "one network");
    assert_eq!(statuses(&balancer, 2, ""), [200, 429], "the proxy itself");
}

#[test]
fn what_asks_nobody_is_limited_too() {
    let fixed = Fixed { status: 200, headers: Vec::new(), body: "fixed".into() };
    let template = Template { parts: vec![("https://".into(), Placeholder::Host)], rest: "/there".into() };
    for (action, status) in
        [(Action::Respond(fixed), 200), (Action::RedirectTo { location: template, permanent: false }, 307)]
    {
        let mut route = Route { action, ..route("/*", 0) };
        route.policy.rate_limits = vec![at_once(1, None)];
        let balancer = Balancer::start(with(vec![route], Vec::new()));
        let mut client = balancer.http();
        assert_eq!(client.get("/").status, status);
        let answer = client.get("/");
        assert!(is_refused(&answer, 1), "{}", answer.head);
        assert_eq!(answer.field("Location"), None);
    }
}

#[test]
fn a_reload_forgets_nobody() {
    let upstream = SteadyUpstream::saying("x");
    let limits = [at_once(2, by_header("X-Key")), at_once(4, None)];
    let mut settings = limited(upstream.address(), &limits);
    settings.threads = 2;
    let mut changed = settings.clone();
    changed.proxy.via = false;
    changed.routing.routes.push(route("/other", 0));
    let next = Arc::new(Mutex::new(Ok(changed.clone())));
    let balancer = Balancer::reloading(settings, &next);
    let reload = || {
        let answer = balancer.admin().send("POST", "/reload", "Host: localhost\r\n", b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    assert_eq!(statuses(&balancer, 3, "X-Key: a\r\n"), [200, 200, 429]);
    assert_eq!(statuses(&balancer, 1, "X-Key: b\r\n"), [200]);
    reload();
    assert_eq!(statuses(&balancer, 1, "X-Key: a\r\n"), [429]);
    assert_eq!(statuses(&balancer, 2, "X-Key: b\r\n"), [200, 429]);
    assert_eq!(statuses(&balancer, 1, "X-Key: c\r\n"), [429], "nor what all have had together");
    // A limit that is another one begins anew, for itself.
    changed.routing.routes[0].policy.rate_limits[1] = at_once(5, None);
    *next.lock().unwrap() = Ok(changed.clone());
    reload();
    assert_eq!(statuses(&balancer, 1, "X-Key: a\r\n"), [429]);
    assert_eq!(statuses(&balancer, 3, "X-Key: d\r\n"), [200, 200, 429]);
    changed.routing.routes[0].policy.rate_limits.clear();
    *next.lock().unwrap() = Ok(changed);
    reload();
    assert_eq!(statuses(&balancer, 5, "X-Key: a\r\n"), [200; 5]);
}

#[test]
fn refusals_are_in_the_access_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let upstream = SteadyUpstream::saying("x");
    let mut settings = limited(upstream.address(), &[at_once(1, None)]);
    (settings.access_log, settings.access_format) = (AccessTarget::File(path.clone()), AccessFormat::Json);
    let balancer = Balancer::start(settings);
    assert_eq!(statuses(&balancer, 2, ""), [200, 429]);
    balancer.end();
    let text = std::fs::read_to_string(path).unwrap();
    let line: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&line["status"], &line["bytes"]), (&429.into(), &19.into()), "{line}");
    assert_eq!(line["failure"], "rate_limit");
}
