//! Which route, backend and endpoint a request is counted for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use berth_balancer::config::{Action, Fixed, Policy, Route, Target};
use berth_testkit::{Refusing, SteadyUpstream, eventually};
use serde_json::Value;

use crate::harness::Balancer;
use crate::routes::{backend, route, server, with};

fn rates(balancer: &Balancer) -> Value {
    let answer = balancer.admin().get("/v1/rates");
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(answer.text()).unwrap()
}

/// The requests of each of these, in the answer's order.
fn requests(rates: &Value, kind: &str, name: &str) -> Vec<(String, u64)> {
    let entry = |it: &Value| (it[name].as_str().unwrap().to_owned(), it["requests"].as_u64().unwrap());
    rates[kind].as_array().unwrap().iter().map(entry).collect()
}

fn expect(balancer: &Balancer, kind: &str, name: &str, expected: &[(&str, u64)]) {
    let expected: Vec<(String, u64)> =
        expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    // What workers count is known a tick later.
    eventually(&format!("{kind} at {expected:?}"), || {
        (requests(&rates(balancer), kind, name) == expected).then_some(())
    });
}

#[test]
fn a_request_counts_where_it_goes_first() {
    let (good, refusing) = (SteadyUpstream::saying("good"), Refusing::start());
    let split = Action::Forward(Target::Split { shares: vec![(0, 1), (1, 1)], by: None });
    let fixed = Action::Respond(Fixed { status: 200, headers: Vec::new(), body: "fixed".into() });
    let rule = |path: &str| route(path, 0).rule;
    let routes = vec![
        Route { rule: rule("/fixed"), action: fixed, policy: Policy::default() },
        Route { rule: rule("/split/*"), action: split, policy: Policy::default() },
        route("/good/*", 1),
    ];
    let backends = vec![
        backend("gone", vec![server(refusing.address, None)]),
        backend("here", vec![server(good.address(), None)]),
    ];
    let balancer = Balancer::start(with(routes, backends));
    let mut client = balancer.http();
    for (path, times, text) in [("/fixed", 3, "fixed"), ("/split/", 4, "good"), ("/good/", 5, "good")] {
        for _ in 0..times {
            assert_eq!(client.get(path).text(), text, "{path}");
        }
    }
    assert_eq!(client.get("/nowhere").status, 404);
    expect(&balancer, "routes", "name", &[("/fixed", 3), ("/split/*", 4), ("/good/*", 5)]);
    // Two went on to the other one when nobody was there: that is a matter of endpoints.
    expect(&balancer, "backends", "name", &[("gone", 2), ("here", 7)]);
    let addresses = [refusing.address, good.address()].map(|address| address.to_string());
    expect(&balancer, "endpoints", "address", &[(&addresses[0], 2), (&addresses[1], 9)]);
    for (name, value) in [("/fixed", 3.0), ("/split/*", 4.0), ("/good/*", 5.0)] {
        assert_eq!(balancer.metric(&format!("route_requests_total{{route=\"{name}\"}}")), value);
    }
    assert_eq!(balancer.metric("backend_requests_total"), 9.0);
}

#[test]
fn nothing_is_lost_when_the_view_changes() {
    let upstream = SteadyUpstream::saying("x");
    let settings = |more: &str| {
        let mut settings = with(
            vec![route(more, 0), route("/*", 0)],
            vec![backend("all", vec![server(upstream.address(), None)])],
        );
        settings.threads = 2;
        settings
    };
    let next = Arc::new(Mutex::new(Ok(settings("/first/*"))));
    let balancer = Balancer::reloading(settings("/first/*"), &next);
    let (sent, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = balancer.http();
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(client.get("/").text(), "x");
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Requests come between any two ticks, and some of them are the first to see the next view.
        for round in 0..20 {
            *next.lock().unwrap() = Ok(settings(&format!("/{round}/*")));
            assert_eq!(balancer.admin().send("POST", "/reload", "Host: localhost\r\n", b"").status, 200);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let sent = sent.into_inner();
    expect(&balancer, "routes", "name", &[("/19/*", 0), ("/*", sent)]);
    expect(&balancer, "backends", "name", &[("all", sent)]);
}
