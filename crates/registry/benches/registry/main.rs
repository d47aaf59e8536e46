//! What the registry costs and how fast it is, beside its rivals where they are installed.
//!
//! `scripts/bench-registry` builds what this needs and runs it; docs/benchmarks.md holds the figures. Each part can be
//! run alone: `cargo bench -p berth-registry -- store`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program that prints figures"
)]

mod peer;
mod restart;
mod rivals;
mod store;
mod streams;
mod traffic;
mod wire;

use berth_daemon::raise_descriptor_limit;

type Part = (&'static str, fn());

const PARTS: &[Part] = &[
    ("store", store::run),
    ("renewals", traffic::renewals),
    ("routable", traffic::routable),
    ("links", streams::links),
    ("watchers", streams::watchers),
    ("crashes", streams::crashes),
    ("restart", restart::run),
    ("etcd", rivals::etcd),
    ("seaport", rivals::seaport),
];

fn main() {
    raise_descriptor_limit();
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for (name, run) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            run();
        }
    }
}

/// Prints one figure.
fn tell(what: &str, value: impl std::fmt::Display) {
    println!("{what:64} {value}");
}

/// A percentile of durations, in milliseconds.
fn percentile_ms(sorted: &[std::time::Duration], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)].as_secs_f64() * 1000.0
}

/// Prints the median, the 99th percentile and the maximum.
fn tell_times(what: &str, mut times: Vec<std::time::Duration>) {
    times.sort_unstable();
    let [median, high, most] = [50, 99, 100].map(|percent| percentile_ms(&times, percent));
    tell(
        what,
        format_args!("p50 {median:.2} ms, p99 {high:.2} ms, max {most:.2} ms ({} values)", times.len()),
    );
}

/// Runs a part on this thread alone, so that it takes one core.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
