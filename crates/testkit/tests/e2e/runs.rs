//! Runs: who is the present life of an instance, whatever old processes still do.

use berth_testkit::{Process, Signal, eventually};

use crate::site::{balancer, count_answers, free_port, linked_server, listed, registry};

#[test]
fn of_two_that_fight_for_an_id_the_later_one_wins() {
    let registry = registry();
    let address = registry.address();
    let mut old = linked_server(&address.to_string(), &["--id", "a"]);
    let new = linked_server(&address.to_string(), &["--id", "a"]);
    let new_port = u64::from(new.address().port());
    // The old one hears of it through its link, and fights no more.
    old.wait_for_line(&["ended on purpose", "replaced"]);
    assert_eq!(listed(address, "server")["a"].0, new_port);
    // However slowly it stops, it takes nothing with it.
    old.stop(Signal::TERM);
    assert_eq!(listed(address, "server")["a"].0, new_port);
    let left = registry.lines().into_iter().filter(|line| line.contains("instance left"));
    assert_eq!(left.count(), 1, "only the old run, as replaced");
}

#[test]
fn an_old_process_that_wakes_up_does_not_take_its_id_back() {
    let registry = registry();
    let address = registry.address();
    let old = linked_server(&address.to_string(), &["--id", "a", "--ttl", "2"]);
    old.freeze();
    registry.wait_for_line(&["instance left", "expired"]);
    let new = linked_server(&address.to_string(), &["--id", "a"]);
    old.signal(Signal::CONT);
    // Its run is the lower one: it is told so, and stays out for as long as the later one lives.
    old.wait_for_line(&["refused this instance", "later run"]);
    assert_eq!(listed(address, "server")["a"].0, u64::from(new.address().port()));
}

#[test]
fn a_server_restarted_a_hundred_times_on_one_port_is_one_instance() {
    let registry = registry();
    let address = registry.address();
    let balancer = balancer(&address.to_string());
    let port = free_port();
    let flags = ["--registry", &address.to_string(), "--port", &port.to_string(), "--ttl", "3600"];
    // No id: each start is another instance, and the crash of the one before is seen by its link, whose address
    // refuses or has a later run.
    let mut servers: Vec<Process> = Vec::new();
    for _ in 0..100 {
        if let Some(mut before) = servers.pop() {
            before.kill();
        }
        let server = Process::start("server", &flags);
        server.wait_for_line(&["linked"]);
        servers.push(server);
    }
    eventually("the last one alone", || (listed(address, "server").len() == 1).then_some(()));
    let crashed = registry.lines().iter().filter(|line| line.contains("crashed")).count();
    assert_eq!(crashed, 99);
    balancer.wait_for_endpoints(1);
    let counts = count_answers(balancer.address, 10);
    assert_eq!(counts.into_keys().collect::<Vec<_>>(), [port]);
}
