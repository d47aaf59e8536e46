//! Everybody gets the same share, whoever comes and goes.

use std::collections::BTreeSet;

use berth_testkit::{Http, Process, Signal, eventually};

use crate::site::{Load, balancer, count_answers, free_port, port_of, registry, registry_at, server};

#[test]
fn three_servers_get_exactly_a_hundred_each_and_a_fourth_joins_in() {
    let registry = registry();
    let address = registry.address().to_string();
    let balancer = balancer(&address);
    let _three: Vec<Process> = (0..3).map(|_| server(&address)).collect();
    balancer.wait_for_endpoints(3);
    let counts = count_answers(balancer.address, 300);
    assert_eq!(counts.values().collect::<Vec<_>>(), [&100, &100, &100], "{counts:?}");

    let fourth = server(&address);
    let joined = fourth.address().port();
    balancer.wait_for_endpoints(4);
    let counts = count_answers(balancer.address, 400);
    assert_eq!(counts.len(), 4);
    assert!(counts.contains_key(&joined) && counts.values().all(|count| *count == 100), "{counts:?}");
}

#[test]
fn the_port_changes_with_each_request() {
    let registry = registry();
    let address = registry.address().to_string();
    let balancer = balancer(&address);
    let _servers: Vec<Process> = (0..3).map(|_| server(&address)).collect();
    balancer.wait_for_endpoints(3);
    // A connection of its own for each, as `curl` does.
    let ports: Vec<u16> = (0..6).map(|_| port_of(Http::once(balancer.address, "/").text())).collect();
    assert_eq!(ports[..3].iter().collect::<BTreeSet<_>>().len(), 3, "{ports:?}");
    assert_eq!(ports[..3], ports[3..]);
}

#[test]
fn two_balancers_follow_one_registry() {
    let registry = registry();
    let address = registry.address().to_string();
    let balancers = [balancer(&address), balancer(&address)];
    let _servers: Vec<Process> = (0..2).map(|_| server(&address)).collect();
    for balancer in &balancers {
        balancer.wait_for_endpoints(2);
        let counts = count_answers(balancer.address, 100);
        assert_eq!(counts.values().collect::<Vec<_>>(), [&50, &50], "{counts:?}");
    }
}

#[test]
fn the_order_of_starting_does_not_matter() {
    let port = free_port();
    let address = format!("localhost:{port}");
    let balancer = balancer(&address);
    let server = server(&address);
    let answer = Http::once(balancer.address, "/");
    assert_eq!(answer.status, 503);
    assert!(answer.text().starts_with("No instance of any service"), "{}", answer.text());
    let _registry = registry_at(port);
    balancer.wait_for_endpoints(1);
    let answer = Http::once(balancer.address, "/");
    assert_eq!(port_of(answer.text()), server.address().port());
}

#[test]
fn ctrl_c_of_each_in_turn() {
    let mut registry = registry();
    let address = registry.address().to_string();
    let mut balancer = balancer(&address);
    let mut first = server(&address);
    let second = server(&address);
    balancer.wait_for_endpoints(2);
    let load = Load::start(balancer.address, 8);
    load.wait_for_answers(100);
    first.stop(Signal::INT);
    balancer.process.wait_for_line(&["instance left", "deregistered"]);
    load.wait_for_answers(100);
    let (failures, answered) = load.stop();
    assert!(failures.is_empty() && answered > 200, "{failures:?}");
    balancer.wait_for_endpoints(1);

    balancer.process.stop(Signal::INT);
    registry.stop(Signal::INT);
    // The server goes on without a registry, and ends when it is told to.
    let port = second.address();
    assert_eq!(port_of(Http::once(port, "/").text()), port.port());
    let mut second = second;
    second.stop(Signal::INT);
}

#[test]
fn a_stopping_balancer_finishes_what_runs() {
    let registry = registry();
    let address = registry.address().to_string();
    let mut balancer = balancer(&address);
    let _slow = Process::start("server", &["--registry", &address, "--delay", "700ms"]);
    balancer.wait_for_endpoints(1);
    let mut client = Http::connect(balancer.address);
    client.wire.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    let at_the_server = "balancer_endpoint_in_flight{service=\"server\"";
    eventually("the request is under way", || {
        let metrics = Http::once(balancer.admin, "/metrics");
        metrics
            .text()
            .lines()
            .any(|line| line.starts_with(at_the_server) && line.ends_with(" 1"))
            .then_some(())
    });
    balancer.process.signal(Signal::TERM);
    eventually("not ready any more", || (Http::once(balancer.admin, "/readyz").status == 503).then_some(()));
    let answer = client.read_answer();
    assert_eq!((answer.status, answer.field("Connection")), (200, Some("close")));
    assert!(balancer.process.wait().success());
}
