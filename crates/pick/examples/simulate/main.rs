//! Sets the strategies beside one another in a simulated world and draws the result.
//!
//!     cargo run --release -p berth-pick --example simulate [OUTPUT.svg]
//!
//! The same seeds, the same figures: docs/strategies.md has them.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "an experiment, run by hand")]

mod draw;
mod world;

use std::time::Duration;

use berth_pick::Strategy;
use world::{Node, Plan, Served, run};

/// The strategies, as they are called.
const STRATEGIES: [(&str, Strategy); 9] = [
    ("round_robin", Strategy::RoundRobin),
    ("weighted_round_robin", Strategy::WeightedRoundRobin),
    ("random", Strategy::Random),
    ("least_connections", Strategy::LeastConnections),
    ("weighted_least_connections", Strategy::WeightedLeastConnections),
    ("p2c", Strategy::P2c),
    ("peak_ewma", Strategy::PeakEwma),
    ("consistent_hash, bounded", Strategy::Hash { bounded_load: Some(1.25) }),
    ("load", Strategy::Load),
];

/// One question to all strategies.
struct Scene {
    title: &'static str,
    what: &'static str,
    plan: fn(Strategy) -> Plan,
    answer: fn(&Plan, &[Served]) -> f64,
}

fn plan(strategy: Strategy, nodes: Vec<Node>, balancers: usize, busy: f64) -> Plan {
    let capacity: f64 = nodes.iter().map(|node| node.workers as f64 / node.service.as_secs_f64()).sum();
    let (ramp, length) = (Duration::from_secs(10), Duration::from_secs(20));
    Plan { nodes, balancers, strategy, ramp, rate: capacity * busy, length, seed: 1 }
}

fn even(count: usize) -> Vec<Node> {
    vec![Node::usual(); count]
}

/// Of ten, three with twice and two with half the speed, which their weights say.
fn uneven() -> Vec<Node> {
    let mut nodes = even(10);
    for (node, (workers, weight)) in nodes.iter_mut().zip([(8, 4), (8, 4), (8, 4), (2, 1), (2, 1)]) {
        (node.workers, node.weight) = (workers, weight);
    }
    for node in &mut nodes[5..] {
        node.weight = 2;
    }
    nodes
}

fn one_slow() -> Vec<Node> {
    let mut nodes = even(10);
    nodes[3].service *= 10;
    nodes
}

fn one_joining(count: usize) -> Vec<Node> {
    let mut nodes = even(count);
    nodes[count - 1].joins = Duration::from_secs(5);
    nodes
}

fn one_failing() -> Vec<Node> {
    let mut nodes = even(10);
    nodes[3].fails = Some(Duration::from_secs(2));
    nodes
}

/// A percentile of how long requests took that did not fail, in milliseconds.
fn percentile(served: &[Served], percent: f64) -> f64 {
    let mut times: Vec<Duration> = served.iter().filter(|one| !one.failed).map(|one| one.took).collect();
    times.sort_unstable();
    let place = ((times.len() as f64 * percent / 100.0) as usize).min(times.len().saturating_sub(1));
    times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}

/// A node's share of requests that were chosen for within a second, as a multiple of its fair share.
fn share_within(served: &[Served], nodes: usize, node: usize, from: u64) -> f64 {
    let second = Duration::from_secs(from)..Duration::from_secs(from + 1);
    let chosen: Vec<&Served> = served.iter().filter(|one| second.contains(&one.at)).collect();
    let its = chosen.iter().filter(|one| one.node == node).count();
    its as f64 / chosen.len() as f64 * nodes as f64
}

fn p99(_: &Plan, served: &[Served]) -> f64 {
    percentile(served, 99.0)
}

const SCENES: [Scene; 8] = [
    Scene {
        title: "10 alike, 70 % busy",
        what: "p99, ms",
        plan: |strategy| plan(strategy, even(10), 1, 0.7),
        answer: p99,
    },
    Scene {
        title: "10 uneven with weights, 70 % busy",
        what: "p99, ms",
        plan: |strategy| plan(strategy, uneven(), 1, 0.7),
        answer: p99,
    },
    Scene {
        title: "one of 10 is ten times slower, 60 % busy",
        what: "p99, ms",
        plan: |strategy| plan(strategy, one_slow(), 1, 0.6),
        answer: p99,
    },
    Scene {
        title: "one of 10 is ten times slower, 10 balancers",
        what: "p99, ms",
        plan: |strategy| plan(strategy, one_slow(), 10, 0.6),
        answer: p99,
    },
    Scene {
        title: "100 alike, 100 balancers, 80 % busy",
        what: "p99, ms",
        plan: |strategy| plan(strategy, even(100), 100, 0.8),
        answer: p99,
    },
    Scene {
        title: "1,000 alike, 10 balancers, 80 % busy",
        what: "p99, ms",
        plan: |strategy| Plan { length: Duration::from_secs(3), ..plan(strategy, even(1000), 10, 0.8) },
        answer: p99,
    },
    Scene {
        title: "a new one joins 20: its first second",
        what: "times its fair share",
        plan: |strategy| plan(strategy, one_joining(21), 1, 0.5),
        answer: |plan, served| share_within(served, plan.nodes.len(), 20, 5),
    },
    Scene {
        title: "one of 10 fails within a millisecond",
        what: "% of requests that fail",
        plan: |strategy| plan(strategy, one_failing(), 1, 0.5),
        answer: |_, served| {
            let since: Vec<&Served> = served.iter().filter(|one| one.at >= Duration::from_secs(2)).collect();
            since.iter().filter(|one| one.failed).count() as f64 / since.len() as f64 * 100.0
        },
    },
];

fn main() {
    let mut charts = Vec::new();
    for scene in &SCENES {
        println!("\n{} ({})", scene.title, scene.what);
        let mut bars = Vec::new();
        for (name, strategy) in STRATEGIES {
            let plan = (scene.plan)(strategy);
            let served = run(&plan);
            let value = (scene.answer)(&plan, &served);
            let (p50, p99) = (percentile(&served, 50.0), percentile(&served, 99.0));
            println!("  {name:28} {value:9.2}   p50 {p50:8.2} ms  p99 {p99:8.2} ms");
            bars.push((name, value));
        }
        charts.push((scene.title, scene.what, bars));
    }
    if let Some(path) = std::env::args().nth(1) {
        std::fs::write(&path, draw::draw(&charts)).expect("the picture can be written");
    }
}
