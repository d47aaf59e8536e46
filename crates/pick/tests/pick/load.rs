//! Strategies that go by load, in a simulated world.

use std::sync::Arc;
use std::time::Duration;

use berth_pick::{InFlight, Strategy};

use crate::world::{Node, Plan, Served, run};

const LEAST_LOADED: [Strategy; 5] = [
    Strategy::LeastConnections,
    Strategy::WeightedLeastConnections,
    Strategy::P2c,
    Strategy::PeakEwma,
    Strategy::Load,
];

fn plan(strategy: Strategy, nodes: Vec<Node>) -> Plan {
    let (ramp, length) = (Duration::from_secs(10), Duration::from_secs(20));
    // Half of what the usual ones can do.
    let rate = 200.0 * nodes.len() as f64;
    Plan { nodes, balancers: 1, strategy, ramp, rate, length, seed: 1 }
}

fn share(served: &[Served], node: usize) -> f64 {
    served.iter().filter(|one| one.node == node).count() as f64 / served.len() as f64
}

#[test]
fn one_that_is_ten_times_slower_gets_a_fifth_of_the_others_share() {
    for strategy in LEAST_LOADED {
        let mut nodes = vec![Node::usual(); 10];
        nodes[3].service *= 10;
        let served = run(&plan(strategy, nodes));
        let (slow, others) = (share(&served, 3), (1.0 - share(&served, 3)) / 9.0);
        assert!(slow <= others / 5.0, "{strategy:?}: {slow:.4} of {others:.4}");
    }
}

#[test]
fn one_that_joins_twenty_is_not_overrun() {
    for strategy in LEAST_LOADED {
        let mut nodes = vec![Node::usual(); 21];
        nodes[20].joins = Duration::from_secs(5);
        let served = run(&plan(strategy, nodes));
        let second = Duration::from_secs(5)..Duration::from_secs(6);
        let first: Vec<Served> = served.into_iter().filter(|one| second.contains(&one.at)).collect();
        let gets = share(&first, 20);
        assert!(gets <= 1.5 / 21.0 && gets > 0.0, "{strategy:?}: {gets:.4}");
    }
}

#[test]
fn one_that_fails_at_once_attracts_nothing() {
    for strategy in LEAST_LOADED {
        let mut nodes = vec![Node::usual(); 10];
        nodes[3].fails = Some(Duration::from_secs(2));
        let served = run(&plan(strategy, nodes));
        let fifth = served.iter().filter(|one| one.failed).nth(4).expect("five failures").at;
        let after: Vec<Served> = served.into_iter().filter(|one| one.at > fifth).collect();
        let gets = share(&after, 3);
        assert!(gets <= 0.01, "{strategy:?}: {gets:.4}");
    }
}

#[test]
fn reports_decide_who_gets_how_much() {
    let mut site = crate::site::Site::new(Strategy::Load, 1);
    site.arrange(&(0..2).collect());
    let report = |site: &crate::site::Site, number: u16, load: f32| {
        let index = (0..2).find(|index| site.number_of(*index) == number).unwrap();
        site.set.endpoints()[index].report().note(site.now_ms, load);
    };
    report(&site, 0, 0.0);
    report(&site, 1, 0.75);
    let counts = site.counts(10_000);
    assert!((7_800..8_200).contains(&counts[&0]), "{counts:?}");
    // Old reports fade.
    site.now_ms += 60_000;
    let counts = site.counts(10_000);
    assert!((4_700..5_300).contains(&counts[&0]), "{counts:?}");
}

#[test]
fn a_slow_one_is_not_what_most_clients_wait_for() {
    let p99 = |strategy| {
        let mut nodes = vec![Node::usual(); 10];
        nodes[3].service *= 10;
        let mut times: Vec<Duration> = run(&plan(strategy, nodes)).iter().map(|one| one.took).collect();
        times.sort_unstable();
        times[times.len() * 99 / 100]
    };
    let in_turn = p99(Strategy::RoundRobin);
    for strategy in [Strategy::LeastConnections, Strategy::P2c, Strategy::PeakEwma] {
        let by_load = p99(strategy);
        assert!(by_load * 3 < in_turn, "{strategy:?}: {by_load:?} of {in_turn:?}");
    }
}

#[test]
fn those_who_come_together_share_at_once() {
    for strategy in [Strategy::LeastConnections, Strategy::P2c] {
        let mut site = crate::site::Site::ramping(strategy, Duration::from_secs(10), 1);
        site.now_ms = 5_000;
        site.arrange_weighted(&[(0, 1), (1, 1)], Some(5_000));
        for later_ms in [0, 1, 3_000, 9_000] {
            site.now_ms = 5_000 + later_ms;
            for _ in 0..20 {
                let first = site.choose(&[]).unwrap();
                let busy = InFlight::begin(Arc::clone(&site.set.endpoints()[first]));
                assert_ne!(site.choose(&[]).unwrap(), first, "{strategy:?} after {later_ms} ms");
                drop(busy);
            }
        }
    }
}
