use std::collections::HashMap;
use std::net::Ipv4Addr;

use berth_http1::{Limits, Lines};
use governor::clock::FakeRelativeClock;
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn limit(requests: u32, per: Duration, burst: u32, by: Option<LimitBy>) -> RateLimit {
    let number = |number| NonZeroU32::new(number).unwrap();
    RateLimit { requests: number(requests), per, burst: number(burst), by }
}

fn by_header() -> Option<LimitBy> {
    Some(LimitBy::Header("X-Key".to_owned()))
}

/// A limiter whose clock stands still until it is moved.
fn limiter(limit: &RateLimit) -> (Limiter<FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    (Limiter::new(limit, &Arc::default(), clock.clone()), clock)
}

/// Shows a request with these field lines.
fn with_head<R>(fields: &str, see: impl FnOnce(&RequestHead<'_>) -> R) -> R {
    let bytes = format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n");
    let mut lines = Lines::default();
    let limits = Limits { head_bytes: 10_000, target_bytes: 1000, fields: 100 };
    see(&RequestHead::parse(bytes.as_bytes(), &mut lines, &limits).unwrap().unwrap())
}

fn v4(number: u32) -> IpAddr {
    Ipv4Addr::from(number).into()
}

fn take(limiter: &Limiter<FakeRelativeClock>, fields: &str, address: IpAddr) -> Result<(), Duration> {
    with_head(fields, |head| limiter.take(head, || address))
}

#[test]
fn a_burst_and_then_the_pace() {
    for by in [None, Some(LimitBy::Address)] {
        let (limiter, clock) = limiter(&limit(2, SECOND, 3, by));
        let take = || take(&limiter, "", v4(1));
        for _ in 0..3 {
            assert_eq!(take(), Ok(()));
        }
        assert_eq!(take(), Err(SECOND / 2));
        clock.advance(SECOND / 2 - Duration::from_nanos(1));
        assert_eq!(take(), Err(Duration::from_nanos(1)));
        clock.advance(Duration::from_nanos(1));
        assert_eq!((take(), take()), (Ok(()), Err(SECOND / 2)));
        clock.advance(SECOND * 100);
        assert_eq!([take(), take(), take(), take()], [Ok(()), Ok(()), Ok(()), Err(SECOND / 2)]);
    }
}

#[test]
fn fields_and_addresses_tell_clients_apart() {
    let (limiter, _) = limiter(&limit(1, SECOND, 1, by_header()));
    let passes = |fields, address: &str| take(&limiter, fields, address.parse().unwrap()).is_ok();
    assert!(passes("X-Key: a\r\n", "10.0.0.1"));
    assert!(!passes("x-key: a\r\n", "10.0.0.2"), "it goes by the field, whoever sends it");
    assert!(passes("X-Key: b\r\n", "10.0.0.1"));
    assert!(passes("", "10.0.0.1"), "without the field it goes by the address");
    assert!(!passes("", "::ffff:10.0.0.1"), "the same address in other clothes");
    assert!(passes("X-Key: 10.0.0.1\r\n", "10.0.0.9"), "a field that looks like an address is none");
    assert!(passes("", "2001:db8:1:2::3"));
    assert!(!passes("", "2001:db8:1:2:ffff::4"), "one customer's network");
    assert!(passes("", "2001:db8:1:3::3"));
}

#[test]
fn limits_do_not_share_their_clients() {
    let (table, clock) = (Arc::default(), FakeRelativeClock::default());
    let limit = limit(1, SECOND, 1, Some(LimitBy::Address));
    let [first, second] = [(); 2].map(|()| Limiter::new(&limit, &table, clock.clone()));
    assert!(take(&first, "", v4(1)).is_ok() && take(&second, "", v4(1)).is_ok());
    assert!(take(&first, "", v4(1)).is_err() && take(&second, "", v4(1)).is_err());
}

#[test]
fn the_table_stays_as_it_is_under_a_million_addresses() {
    let limit = limit(10, Duration::from_secs(60), 10, Some(LimitBy::Address));
    let (limiter, clock) = limiter(&limit);
    let Memory::Clients { table, .. } = &limiter.memory else { panic!("it goes by clients") };
    let (greedy, moderate) = (v4(1), v4(2));
    with_head("", |head| {
        while limiter.take(head, || greedy).is_ok() {}
        let size = table.size();
        assert_eq!(size, (1 << 17, 1));
        for number in 0..1_000_000 {
            assert_eq!(limiter.take(head, || v4(1000 + number)), Ok(()));
            if number % 100 == 0 {
                assert!(limiter.take(head, || greedy).is_err(), "after {number} addresses");
            }
            if number % 100_000 == 0 {
                assert_eq!(limiter.take(head, || moderate), Ok(()));
                clock.advance(Duration::from_millis(400));
            }
        }
        let (slots, taken) = table.size();
        assert!(slots == size.0 && taken > slots / 2, "{taken} of {slots}");
    });
}

#[test]
fn a_full_set_lets_go_of_whoever_is_due_next() {
    let table = ClientTable::default();
    let in_one_set = |number: u64| number << 32;
    let remember = |number: u64, at_ns: u64| {
        table.update(in_one_set(number), |before| Ok::<_, ()>((before, at_ns))).unwrap()
    };
    for (number, at_ns) in [50, 20, 60, 30, 80, 10, 70, 40].into_iter().enumerate() {
        assert_eq!(remember(number as u64, at_ns), None);
    }
    assert_eq!(remember(5, 90), Some(10), "all are known");
    assert_eq!(remember(8, 100), None);
    assert_eq!(remember(1, 110), None, "who was due next has gone");
    assert_eq!(remember(3, 120), None, "and then the next one");
    for (number, at_ns) in [(0, 50), (2, 60), (4, 80), (6, 70), (5, 90), (8, 100), (1, 110), (3, 120)] {
        assert_eq!(remember(number, at_ns + 1000), Some(at_ns));
    }
}

#[test]
fn a_refusal_leaves_no_trace() {
    let table = ClientTable::default();
    assert_eq!(table.update(1, |_| Err::<((), u64), _>("no")), Err("no"));
    assert_eq!(table.size().1, 0);
}

#[test]
fn what_is_the_same_is_kept_and_clients_come_first() {
    let limiters = Limiters::default();
    let (whole, by_address) =
        (limit(1, SECOND, 1, None), limit(1, Duration::from_secs(3600), 1, Some(LimitBy::Address)));
    let before = limiters.of(&[whole.clone(), by_address.clone()], &[]);
    assert_eq!(before[0].limit, by_address);
    let wider = RateLimit { burst: whole.burst.saturating_add(1), ..whole };
    let after = limiters.of(&[wider, by_address.clone(), by_address], &before);
    assert!(Arc::ptr_eq(&after[0], &before[0]));
    assert!(!Arc::ptr_eq(&after[1], &before[0]), "one memory serves one limit");
    assert!(!Arc::ptr_eq(&after[2], &before[1]), "it is another limit");
}

/// When the next request of each client is due, in nanoseconds.
#[derive(Debug, Default)]
struct Model(HashMap<u32, u64>);

impl Model {
    fn take(&mut self, limit: &RateLimit, client: u32, now_ns: u64) -> Result<(), Duration> {
        let pace_ns = (limit.per.as_nanos() as u64 / u64::from(limit.requests.get())).max(1);
        let due_ns = self.0.entry(client).or_insert(now_ns);
        let credit_ns = pace_ns * u64::from(limit.burst.get() - 1);
        if *due_ns > now_ns + credit_ns {
            return Err(Duration::from_nanos(*due_ns - now_ns - credit_ns));
        }
        *due_ns = now_ns.max(*due_ns) + pace_ns;
        Ok(())
    }
}

fn any_limit() -> impl Strategy<Value = RateLimit> {
    (1..50_u32, 1..5000_u64, 1..20_u32).prop_map(|(requests, per_ms, burst)| {
        limit(requests, Duration::from_millis(per_ms), burst, by_header())
    })
}

proptest! {
    /// While there is room, limits that share the table are as exact as if each had one without end.
    #[test]
    fn the_table_is_exact_while_there_is_room(
        limits in prop::collection::vec(any_limit(), 1..4),
        steps in prop::collection::vec((0..4_usize, 0..30_u32, 0..500_000_000_u64), 1..300),
    ) {
        let (table, clock) = (Arc::default(), FakeRelativeClock::default());
        let mut now_ns = 0;
        let mut all = Vec::new();
        for limit in &limits {
            // Each begins at another time.
            now_ns += 77_000_001;
            clock.advance(Duration::from_nanos(77_000_001));
            all.push((Limiter::new(limit, &table, clock.clone()), Model::default()));
        }
        for (which, client, pause_ns) in steps {
            let which = which % limits.len();
            let (limiter, model) = &mut all[which];
            prop_assert_eq!(
                take(limiter, &format!("X-Key: {client}\r\n"), v4(0)),
                model.take(&limits[which], client, now_ns)
            );
            now_ns += pause_ns;
            clock.advance(Duration::from_nanos(pause_ns));
        }
    }
}
