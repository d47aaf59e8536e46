//! What a look-up costs, by the number of routes. `cargo bench -p berth-route`.
#![allow(clippy::unwrap_used, reason = "a benchmark ends at the first surprise")]

use std::hint::black_box;
use std::time::Duration;

use berth_route::{Asked, Rule, Shares, Table, normal_path};
use criterion::{BenchmarkId, Criterion};

/// Routes such as an operator of many sites has: a name of its own for every tenth, two wildcards, and for each of them
/// paths of one to three segments.
fn rules(count: usize) -> Vec<Rule> {
    let rule = |number: usize| {
        let host = match number / 10 {
            site if site % 10 == 8 => "*.example.com".to_owned(),
            site if site % 10 == 9 => "*.eu.example.com".to_owned(),
            site => format!("site-{site}.example.com"),
        };
        let path = match number % 3 {
            0 => format!("/service-{number}/*"),
            1 => format!("/api/v{}/service-{number}/*", number % 4),
            _ => format!("/service-{number}/health"),
        };
        Rule { host: Some(host.parse().unwrap()), path: path.parse().unwrap(), ..Rule::any() }
    };
    (0..count).map(rule).collect()
}

fn look_up(table: &Table, host: &str, path: &[u8]) -> Option<usize> {
    let asked = Asked {
        method: b"GET",
        host: Some(black_box(host.as_bytes())),
        path: &normal_path(black_box(path)),
        query: b"",
    };
    table.find(&asked, |_, _| false)
}

fn look_ups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("look-up");
    for count in [1, 100, 10_000] {
        let table = Table::new(&rules(count));
        // A late one with a host of its own and a prefix; of one route, that one.
        let last = if count == 10_000 { 9900 } else { 0 };
        let (host, path) =
            (format!("site-{}.example.com:8080", last / 10), format!("/service-{last}/users/17"));
        let miss = format!("/service-{last}x/users/17");
        let hostile = "/a".repeat(8192);
        assert!(look_up(&table, &host, path.as_bytes()).is_some());
        for (kind, path) in [("hit", &path), ("miss", &miss), ("16 KiB of segments", &hostile)] {
            group.bench_with_input(BenchmarkId::new(kind, count), path, |bencher, path| {
                bencher.iter(|| look_up(&table, &host, path.as_bytes()));
            });
        }
    }
    group.finish();
}

fn rest(criterion: &mut Criterion) {
    let rules = rules(10_000);
    criterion.bench_function("lay out 10,000 routes", |bencher| bencher.iter(|| Table::new(&rules)));
    for (kind, path) in [
        ("plain", "/service-1/users/17"),
        ("escaped", "/service-1/%75sers/../17"),
        ("slashes", &"/".repeat(16_384)),
    ] {
        criterion.bench_function(&format!("normal path/{kind}"), |bencher| {
            bencher.iter(|| normal_path(black_box(path.as_bytes())).len());
        });
    }
    let shares = Shares::new(&[95, 5], 0).unwrap();
    criterion.bench_function("shares/turn", |bencher| bencher.iter(|| shares.next()));
    criterion
        .bench_function("shares/key", |bencher| bencher.iter(|| shares.of(black_box(b"0123456789abcdef"))));
}

fn main() {
    let criterion = Criterion::default().warm_up_time(Duration::from_millis(300));
    let mut criterion = criterion.measurement_time(Duration::from_secs(1)).configure_from_args();
    look_ups(&mut criterion);
    rest(&mut criterion);
    criterion.final_summary();
}
