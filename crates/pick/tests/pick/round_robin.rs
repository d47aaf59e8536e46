//! Round robin is exact, and its turn survives changes of the set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use berth_pick::{Ask, Chance, InFlight, Strategy};
use proptest::prelude::*;

use crate::site::Site;

fn site(entropy: u64) -> Site {
    Site::new(Strategy::RoundRobin, entropy)
}

proptest! {
    /// Any schedule of changes and requests: within each stretch without a change the counts differ by one at
    /// most, and over the whole schedule no endpoint that was there throughout is passed over twice or served
    /// twice in a turn.
    #[test]
    fn shares_are_exact(
        entropy in any::<u64>(),
        stretches in proptest::collection::vec((proptest::collection::btree_set(0_u16..12, 1..10), 0_usize..40), 1..12),
    ) {
        let mut site = site(entropy);
        for (members, requests) in stretches {
            site.arrange(&members);
            let mut counts: BTreeMap<u16, usize> = members.iter().map(|member| (*member, 0)).collect();
            for _ in 0..requests {
                let chosen = site.next();
                prop_assert!(members.contains(&chosen), "{chosen} is not in the set");
                *counts.get_mut(&chosen).unwrap() += 1;
            }
            let (least, most) = (counts.values().min().unwrap(), counts.values().max().unwrap());
            prop_assert!(most - least <= 1, "{counts:?}");
        }
    }

    /// However the set changes around an endpoint that stays: it is served before all others had two turns, and
    /// never twice running while others wait.
    #[test]
    fn the_turn_goes_on_over_changes(
        entropy in any::<u64>(),
        changes in proptest::collection::vec((proptest::collection::btree_set(2_u16..12, 1..10), 0_usize..9), 1..30),
    ) {
        let mut site = site(entropy);
        let (mut since_one, mut last) = (0, None);
        for (mut members, requests) in changes {
            members.insert(1);
            site.arrange(&members);
            for _ in 0..requests {
                let chosen = site.next();
                prop_assert!(site.set.len() == 1 || chosen != 1 || last != Some(1), "the one that stayed came twice running");
                last = Some(chosen);
                since_one = if chosen == 1 { 0 } else { since_one + 1 };
                prop_assert!(since_one < 12, "the one that stayed was passed over");
            }
        }
    }

    /// A request that fails at one endpoint after the other meets each exactly once.
    #[test]
    fn a_retry_never_meets_the_same_endpoint(entropy in any::<u64>(), count in 1_u16..20) {
        let mut site = site(entropy);
        site.arrange(&(0..count).collect());
        let mut tried = Vec::new();
        while let Some(index) = site.choose(&tried) {
            prop_assert!(!tried.contains(&index));
            tried.push(index);
        }
        prop_assert_eq!(tried.len(), usize::from(count));
    }
}

#[test]
fn one_dead_endpoint_of_three_does_not_double_its_neighbour() {
    let mut site = site(0);
    site.arrange(&(0..3).collect());
    let mut served = [0; 3];
    for _ in 0..300 {
        let mut chosen = site.choose(&[]).unwrap();
        if chosen == 0 {
            chosen = site.choose(&[0]).unwrap();
        }
        served[chosen] += 1;
    }
    assert_eq!(served, [0, 150, 150]);
}

#[test]
fn four_threads_share_one_cursor_exactly() {
    let mut site = site(0);
    site.arrange(&(0..3).collect());
    let (chooser, set) = (&site.chooser, &site.set);
    std::thread::scope(|scope| {
        for seed in 0..4 {
            scope.spawn(move || {
                let mut chance = Chance::new(seed);
                for _ in 0..30_000 {
                    let mut ask = Ask { now_ms: 0, chance: &mut chance, key: 0, tried: &[] };
                    let index = chooser.choose(set, &mut ask).unwrap();
                    drop(InFlight::begin(Arc::clone(&set.endpoints()[index])));
                }
            });
        }
    });
    for endpoint in set.endpoints() {
        assert_eq!((endpoint.requests(), endpoint.in_flight()), (40_000, 0));
    }
}

#[test]
fn load_outlives_the_rebuild_of_the_set() {
    let mut site = site(0);
    site.arrange(&(0..2).collect());
    let under_way = InFlight::begin(Arc::clone(&site.set.endpoints()[0]));
    let kept = site.number_of(0);
    // Gone from every list, but still answering: known until it is done.
    site.roster.retain(|_| false);
    site.arrange(&BTreeSet::from([0, 1]));
    let same = (0..2).find(|index| site.number_of(*index) == kept).unwrap();
    assert_eq!(site.set.endpoints()[same].in_flight(), 1);
    drop(under_way);
    assert_eq!(site.set.endpoints()[same].in_flight(), 0);
}
