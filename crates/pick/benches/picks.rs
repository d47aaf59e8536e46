//! What a choice costs, by strategy, endpoints and threads. `cargo bench -p berth-pick`.
#![allow(clippy::unwrap_used, reason = "a benchmark ends at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "a benchmark has a clock")]

use std::hint::black_box;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use berth_model::{Identity, Run, Scheme};
use berth_pick::queue::{Asks, Entry, Gate, Limits};
use berth_pick::{Ask, Chance, Chooser, Eligible, InFlight, Roster, Set, Strategy};
use criterion::{BenchmarkId, Criterion};

const STRATEGIES: [(&str, Strategy); 10] = [
    ("round_robin", Strategy::RoundRobin),
    ("weighted_round_robin", Strategy::WeightedRoundRobin),
    ("least_connections", Strategy::LeastConnections),
    ("weighted_least_connections", Strategy::WeightedLeastConnections),
    ("random", Strategy::Random),
    ("p2c", Strategy::P2c),
    ("peak_ewma", Strategy::PeakEwma),
    ("hash", Strategy::Hash { bounded_load: None }),
    ("hash_bounded", Strategy::Hash { bounded_load: Some(1.25) }),
    ("load", Strategy::Load),
];

fn identity(number: u16) -> Identity {
    Identity {
        service: "web".parse().unwrap(),
        id: number.to_string().parse().unwrap(),
        run: Run::new(1, 1),
        scheme: Scheme::Http,
        host: "127.0.0.1".parse().unwrap(),
        port: 1 + number,
    }
}

fn site(strategy: Strategy, count: u16) -> (Chooser, Set) {
    let (chooser, mut roster) = (Chooser::new(strategy, Duration::ZERO, 1), Roster::default());
    let eligible: Vec<Eligible> = (0..count)
        .map(|number| Eligible {
            endpoint: roster.endpoint(&identity(number), None, None),
            weight: 1 + number % 7,
        })
        .collect();
    let set = chooser.arrange(&Set::default(), &eligible);
    (chooser, set)
}

/// A choice as a request makes it: counted in, and out when it ends.
fn requests(chooser: &Chooser, set: &Set, count: u64, seed: u64) -> Duration {
    let mut chance = Chance::new(seed);
    let begun = Instant::now();
    for request in 0..count {
        let key = black_box(request.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut ask = Ask { now_ms: 1000, chance: &mut chance, key, tried: &[] };
        let index = chooser.choose(set, &mut ask).unwrap();
        drop(InFlight::begin(Arc::as_ref(&set.endpoints()[index])));
    }
    begun.elapsed()
}

/// The same where every endpoint has so many places.
fn placed_requests(chooser: &Chooser, set: &Set, gate: &Arc<Gate>, count: u64, seed: u64) -> Duration {
    let mut chance = Chance::new(seed);
    let begun = Instant::now();
    for _ in 0..count {
        let choose = |_: &_| {
            let mut ask = Ask { now_ms: 1000, chance: &mut chance, key: 0, tried: &[] };
            chooser.choose(set, &mut ask).map(|index| set.endpoints()[index].key())
        };
        let Entry::Place(place) = gate.enter(&mut Asks::default(), choose, Waker::noop()) else {
            panic!("there is room for all threads")
        };
        drop(InFlight::begin(Arc::as_ref(place.endpoint())));
    }
    begun.elapsed()
}

/// Times `work`, which is told how often and with which seed, in so many threads at once.
fn in_threads(threads: u64, count: u64, work: impl Fn(u64, u64) -> Duration + Sync) -> Duration {
    std::thread::scope(|scope| {
        let work = &work;
        let all: Vec<_> =
            (0..threads).map(|seed| scope.spawn(move || work(count / threads + 1, seed))).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
    })
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for (name, strategy) in STRATEGIES {
        let mut group = criterion.benchmark_group(name);
        for count in [3, 100, 10_000] {
            let (chooser, set) = site(strategy, count);
            for threads in [1_u64, 2, 8] {
                group.bench_function(BenchmarkId::new(format!("{count} endpoints"), threads), |bencher| {
                    let work = |count, seed| requests(&chooser, &set, count, seed);
                    bencher.iter_custom(|count| in_threads(threads, count, work));
                });
            }
        }
        group.finish();
    }
    let mut group = criterion.benchmark_group("round_robin_with_places");
    for count in [3, 100, 10_000] {
        let (chooser, set) = site(Strategy::RoundRobin, count);
        let limits = Limits { in_flight: Some(8), connections: None, length: 0, holds_when_empty: false };
        let gate = Arc::new(Gate::new(limits));
        gate.arrange(limits, set.endpoints());
        for threads in [1_u64, 2, 8] {
            group.bench_function(BenchmarkId::new(format!("{count} endpoints"), threads), |bencher| {
                let work = |count, seed| placed_requests(&chooser, &set, &gate, count, seed);
                bencher.iter_custom(|count| in_threads(threads, count, work));
            });
        }
    }
    group.finish();
    criterion.final_summary();
}
