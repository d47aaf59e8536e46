//! The registry goes and comes back.

use berth_testkit::{Http, Process, Signal, eventually};

use crate::site::{
    Load, balancer, count_answers, free_port, registry, registry_at, server, short_lived_server,
};

#[test]
fn a_restarted_registry_is_found_again_and_nobody_notices() {
    let port = free_port();
    let address = format!("localhost:{port}");
    let mut registry = registry_at(port);
    registry.address();
    let balancer = balancer(&address);
    let _servers: Vec<Process> = (0..3).map(|_| server(&address)).collect();
    balancer.wait_for_endpoints(3);
    let load = Load::start(balancer.address, 16);
    load.wait_for_answers(500);
    registry.kill();
    balancer.process.wait_for_line(&["WARN", "the registry is away"]);
    load.wait_for_answers(500);
    assert_eq!(balancer.metric("balancer_endpoints "), Some(3.0), "the last list is kept");

    let registry = registry_at(port);
    let registry_address = registry.address();
    eventually("all three come back by themselves", || {
        let services = Http::once(registry_address, "/v1/services");
        services.text().contains("\"server\":3").then_some(())
    });
    load.wait_for_answers(500);
    let (failures, _) = load.stop();
    assert!(failures.is_empty(), "{failures:?}");
    let counts = count_answers(balancer.address, 30);
    assert_eq!(counts.values().collect::<Vec<_>>(), [&10, &10, &10], "{counts:?}");
}

#[test]
fn a_fourth_joins_the_restarted_registry() {
    let port = free_port();
    let address = format!("localhost:{port}");
    let mut registry = registry_at(port);
    let balancer = balancer(&address);
    let _first = server(&address);
    balancer.wait_for_endpoints(1);
    registry.kill();
    let _second = short_lived_server(&address);
    let _registry = registry_at(port);
    balancer.wait_for_endpoints(2);
}

#[test]
fn two_registries_are_one_list() {
    let (mut first, second) = (registry(), registry());
    let both = format!("{},{}", first.address(), second.address());
    let balancer = balancer(&both);
    let mut servers: Vec<Process> = (0..2).map(|_| short_lived_server(&both)).collect();
    for registry in [&first, &second] {
        for server in &servers {
            registry.wait_for_line(&["instance joined", &format!(":{}", server.address().port())]);
        }
    }
    balancer.wait_for_endpoints(2);
    let counts = count_answers(balancer.address, 20);
    assert_eq!(counts.values().collect::<Vec<_>>(), [&10, &10], "{counts:?}");
    // One registry alone keeps everybody, and what it says of the end of one counts.
    first.kill();
    balancer.process.wait_for_line(&["WARN", "the registry is away"]);
    let counts = count_answers(balancer.address, 20);
    assert_eq!(counts.values().collect::<Vec<_>>(), [&10, &10], "{counts:?}");
    servers[0].stop(Signal::TERM);
    balancer.process.wait_for_line(&["instance left", "deregistered"]);
    balancer.wait_for_endpoints(1);
}
