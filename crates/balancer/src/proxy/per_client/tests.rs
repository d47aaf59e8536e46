use proptest::prelude::*;

use super::*;

fn entries(clients: &Clients) -> usize {
    clients.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn connections_are_counted_by_client() {
    let clients = Arc::<Clients>::default();
    let admit = |text, most| clients.admit(address(text), Some(most));
    let first = admit("10.0.0.1", 2).unwrap();
    let second = admit("::ffff:10.0.0.1", 2).unwrap();
    assert!(admit("10.0.0.1", 2).is_none());
    let other = admit("10.0.0.2", 1).unwrap();
    let network = admit("2001:db8::1", 1).unwrap();
    assert!(admit("2001:db8::ffff:2", 1).is_none());
    assert!(admit("2001:db8:0:1::1", 1).is_some());
    drop(first);
    assert!(admit("10.0.0.1", 2).is_some());
    assert!(admit("10.0.0.1", 1).is_none(), "the limit of now holds");
    assert!(clients.admit(address("10.0.0.1"), None).is_some());
    drop((second, other, network));
    assert_eq!(entries(&clients), 0);
}

#[test]
fn requests_are_counted_over_all_connections() {
    let clients = Arc::<Clients>::default();
    let [first, second] = [(); 2].map(|()| clients.admit(address("10.0.0.1"), None).unwrap());
    let other = clients.admit(address("10.0.0.2"), None).unwrap();
    let one = first.begin(1).unwrap();
    assert!(second.begin(1).is_none() && other.begin(1).is_some());
    drop(first);
    assert!(second.begin(1).is_none(), "a request outlives what is known of its connection");
    drop(one);
    assert!(second.begin(1).is_some());
    let unbounded: Vec<UnderWay> = (0..10).map(|_| second.begin(u32::MAX).unwrap()).collect();
    assert!(second.begin(10).is_none() && second.begin(11).is_some());
    drop(unbounded);
    assert!(second.begin(1).is_some());
}

#[test]
fn a_panic_counts_out() {
    let clients = Arc::<Clients>::default();
    let held = Arc::clone(&clients);
    let panics = std::thread::spawn(move || {
        let counted = held.admit(address("10.0.0.1"), Some(1)).unwrap();
        let _under_way = counted.begin(1).unwrap();
        panic!("as a task may");
    });
    assert!(panics.join().is_err());
    assert_eq!(entries(&clients), 0);
}

#[test]
fn threads_never_have_more_than_they_may() {
    let clients = Arc::<Clients>::default();
    let most_seen = AtomicU32::new(0);
    let now = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    let Some(counted) = clients.admit(address("10.0.0.1"), Some(3)) else { continue };
                    if let Some(under_way) = counted.begin(2) {
                        most_seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        now.fetch_sub(1, Ordering::SeqCst);
                        drop(under_way);
                    }
                }
            });
        }
    });
    assert!((1..=2).contains(&most_seen.load(Ordering::SeqCst)), "{most_seen:?}");
    assert_eq!(entries(&clients), 0);
}

proptest! {
    /// There is an entry for each client that has a connection, and for nobody else.
    #[test]
    fn entries_are_for_connections(
        steps in prop::collection::vec((any::<bool>(), 0..5_u8, 1..4_u32), 0..200)
    ) {
        let clients = Arc::<Clients>::default();
        let mut open: Vec<Vec<Counted>> = (0..5).map(|_| Vec::new()).collect();
        for (comes, client, most) in steps {
            let own = &mut open[usize::from(client)];
            if comes {
                let admitted = clients.admit(IpAddr::from([10, 0, 0, client]), Some(most));
                prop_assert_eq!(admitted.is_some(), own.len() < most as usize);
                own.extend(admitted);
            } else {
                own.pop();
            }
            prop_assert_eq!(entries(&clients), open.iter().filter(|own| !own.is_empty()).count());
        }
    }
}
