//! What a backend's requests have of retries.

use berth_testkit::SteadyUpstream;

use super::{Rig, Setup, endpoints};

fn counted(rig: &Rig) -> u64 {
    rig.published.current().requests_of_backends().map(|(_, requests)| requests).sum()
}

#[test]
fn grows_with_the_requests_that_the_workers_serve() {
    let steady = SteadyUpstream::saying("x");
    let rig = Setup::of(&endpoints(&[steady.address()])).start();
    let mut client = rig.http();
    // From the first that it hears of they count.
    assert_eq!(client.get("/").status, 200);
    rig.until("a tick", || (counted(&rig) == 1).then_some(()));
    for _ in 0..400 {
        assert_eq!(client.get("/").status, 200);
    }
    rig.until("a tick", || (counted(&rig) == 401).then_some(()));
    let backend = &rig.published.current().backends[0];
    let now_ms = rig.published.now_ms();
    let granted = (0..1_000).take_while(|_| backend.lasting.places.retries.take(backend, now_ms)).count();
    assert_eq!(granted, 80, "a fifth of 400");
}
