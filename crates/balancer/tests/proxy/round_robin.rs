//! Each endpoint gets its exact share, however many workers there are.

use berth_testkit::SteadyUpstream;

use crate::harness::{Balancer, settings};

fn shares_are_exact(threads: usize) {
    let upstreams = [SteadyUpstream::saying("a"), SteadyUpstream::saying("b"), SteadyUpstream::saying("c")];
    let mut settings = settings(&upstreams.each_ref().map(SteadyUpstream::address));
    settings.threads = threads;
    let balancer = Balancer::start(settings);
    // More clients than the kernel would ever give to one of the workers alone.
    std::thread::scope(|scope| {
        for _ in 0..30 {
            scope.spawn(|| {
                let mut client = balancer.http();
                for _ in 0..20 {
                    assert_eq!(client.get("/").status, 200);
                }
            });
        }
    });
    assert_eq!(upstreams.each_ref().map(SteadyUpstream::requests), [200; 3]);
    balancer.wait_for_metric("endpoint_requests_total", 600.0);
    balancer.wait_for_metric("answers_total{status=\"2xx\"}", 600.0);
}

#[test]
fn of_one_worker() {
    shares_are_exact(1);
}

#[test]
fn of_two_workers() {
    shares_are_exact(2);
}

#[test]
fn in_turn_for_each_single_request() {
    let upstreams = [SteadyUpstream::saying("a"), SteadyUpstream::saying("b"), SteadyUpstream::saying("c")];
    let mut settings = settings(&upstreams.each_ref().map(SteadyUpstream::address));
    settings.threads = 2;
    let balancer = Balancer::start(settings);
    let answers: String = (0..30).map(|_| balancer.http().get("/").text().to_owned()).collect();
    let turn = answers[..3].repeat(10);
    assert_eq!(answers, turn);
    assert!(turn.contains('a') && turn.contains('b') && turn.contains('c'));
}
