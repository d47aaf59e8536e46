//! A link shows a crash at once, and carries what operators say to the owners.

use berth_testkit::{Process, Signal, eventually};

use crate::site::{balancer, count_answers, free_port, linked_server, listed, patch, registry, registry_at};

#[test]
fn a_killed_process_is_gone_from_every_watcher_long_before_its_lease_ends() {
    let registry = registry();
    let address = registry.address().to_string();
    let balancers = [balancer(&address), balancer(&address)];
    // Its lease would outlast this test.
    let mut killed = linked_server(&address, &["--ttl", "3600"]);
    let well = linked_server(&address, &["--ttl", "3600"]);
    balancers.iter().for_each(|balancer| balancer.wait_for_endpoints(2));
    let port = format!(":{} ", killed.address().port());
    killed.kill();
    registry.wait_for_line(&["instance left", &port, "reason=\"crashed\""]);
    for balancer in &balancers {
        balancer.process.wait_for_line(&["instance left", &port, "reason=\"crashed\""]);
        balancer.wait_for_endpoints(1);
        assert_eq!(
            count_answers(balancer.address, 8).into_keys().collect::<Vec<_>>(),
            [well.address().port()]
        );
    }
}

#[test]
fn a_process_that_hangs_keeps_its_link_and_expires() {
    let registry = registry();
    let address = registry.address().to_string();
    // It never renews once: the first renewal would come after two thirds of a second.
    let hung = linked_server(&address, &["--ttl", "2"]);
    hung.freeze();
    registry.wait_for_line(&["instance left", "reason=\"expired\""]);
    let joins = || registry.lines().iter().filter(|line| line.contains("instance joined")).count();
    assert_eq!(joins(), 1);
    hung.signal(Signal::CONT);
    eventually("it comes back", || (joins() == 2).then_some(()));
}

#[test]
fn a_drain_holds_over_a_restart_and_reaches_every_registry() {
    let port = free_port();
    let mut first = registry_at(port);
    let second = registry();
    let (first_address, second_address) = (first.address(), second.address());
    let both = format!("{first_address},{second_address}");
    let drained = linked_server(&both, &["--id", "a"]);
    let well = linked_server(&both, &["--id", "b"]);
    let balancer = balancer(&second_address.to_string());
    balancer.wait_for_endpoints(2);

    patch(first_address, "server/a", r#"{"draining": true, "weight": 7}"#);
    // The owner tells the other registry, whose balancer sends it nothing more.
    second.wait_for_line(&["instance changed", "id=a", "weight=7 draining=true"]);
    balancer.wait_for_endpoints(1);
    assert_eq!(count_answers(balancer.address, 8).into_keys().collect::<Vec<_>>(), [well.address().port()]);

    first.kill();
    let first = registry_at(port);
    first.wait_for_line(&["instance joined", "id=a"]);
    assert!(listed(first.address(), "server")["a"].1, "still draining");

    patch(second_address, "server/a", r#"{"draining": false}"#);
    first.wait_for_line(&["instance changed", "id=a", "draining=false"]);
    balancer.wait_for_endpoints(2);
    drop(drained);
}

#[test]
fn one_that_died_while_the_registry_was_away_does_not_come_back() {
    let port = free_port();
    let address = format!("localhost:{port}");
    let mut registry = registry_at(port);
    let balancer = balancer(&address);
    let mut dying = linked_server(&address, &["--id", "dying"]);
    let _well = linked_server(&address, &["--id", "well"]);
    balancer.wait_for_endpoints(2);
    registry.kill();
    dying.kill();
    let registry = registry_at(port);
    registry.wait_for_line(&["instance joined", "id=well"]);
    // A whole life of a lease later it is still not there.
    let _clock = linked_server(&address, &["--id", "clock", "--ttl", "2"]);
    _clock.freeze();
    registry.wait_for_line(&["instance left", "id=clock", "expired"]);
    assert_eq!(listed(registry.address(), "server").into_keys().collect::<Vec<_>>(), ["well"]);
    assert!(!registry.lines().iter().any(|line| line.contains("id=dying")));
}

#[test]
fn twenty_deaths_at_once_are_all_seen() {
    let registry = registry();
    let address = registry.address();
    let servers: Vec<Process> = (0..20)
        .map(|_| Process::start("server", &["--registry", &address.to_string(), "--ttl", "3600"]))
        .collect();
    for server in &servers {
        server.wait_for_line(&["linked"]);
    }
    drop(servers);
    eventually("nobody is left", || listed(address, "server").is_empty().then_some(()));
    let crashed = registry.lines().iter().filter(|line| line.contains("reason=\"crashed\"")).count();
    assert_eq!(crashed, 20);
}
