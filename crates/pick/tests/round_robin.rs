//! Round robin is exact, its turn survives changes of the set, and nobody outside the set is ever chosen.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use berth_model::{Identity, Run, Scheme};
use berth_pick::{Endpoint, InFlight, Roster, RoundRobin, Set, Strategy};
use proptest::prelude::*;

fn identity(number: u16) -> Identity {
    Identity {
        service: "web".parse().unwrap(),
        id: number.to_string().parse().unwrap(),
        run: Run::new(1, 1),
        scheme: Scheme::Http,
        host: "127.0.0.1".parse().unwrap(),
        port: 1000 + number,
    }
}

fn endpoints(roster: &mut Roster, numbers: &BTreeSet<u16>) -> Vec<Arc<Endpoint>> {
    numbers.iter().map(|number| roster.endpoint(&identity(*number), None)).collect()
}

fn number_of(set: &Set, index: usize) -> u16 {
    set.endpoints()[index].address().port() - 1000
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
        let (strategy, mut roster, mut set) = (RoundRobin::starting_at(entropy), Roster::default(), Set::default());
        for (members, requests) in stretches {
            set = strategy.arrange(&set, &endpoints(&mut roster, &members));
            let mut counts: BTreeMap<u16, usize> = members.iter().map(|member| (*member, 0)).collect();
            for _ in 0..requests {
                let chosen = number_of(&set, strategy.choose(&set, &[]).unwrap());
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
        let (strategy, mut roster, mut set) = (RoundRobin::starting_at(entropy), Roster::default(), Set::default());
        let (mut since_one, mut last) = (0, None);
        for (mut members, requests) in changes {
            members.insert(1);
            set = strategy.arrange(&set, &endpoints(&mut roster, &members));
            for _ in 0..requests {
                let chosen = number_of(&set, strategy.choose(&set, &[]).unwrap());
                prop_assert!(set.len() == 1 || chosen != 1 || last != Some(1), "the one that stayed came twice running");
                last = Some(chosen);
                since_one = if chosen == 1 { 0 } else { since_one + 1 };
                prop_assert!(since_one < 12, "the one that stayed was passed over");
            }
        }
    }

    /// A request that fails at one endpoint after the other meets each exactly once.
    #[test]
    fn a_retry_never_meets_the_same_endpoint(entropy in any::<u64>(), count in 1_u16..20) {
        let (strategy, mut roster) = (RoundRobin::starting_at(entropy), Roster::default());
        let set = strategy.arrange(&Set::default(), &endpoints(&mut roster, &(0..count).collect()));
        let mut tried = Vec::new();
        while let Some(index) = strategy.choose(&set, &tried) {
            prop_assert!(!tried.contains(&index));
            tried.push(index);
        }
        prop_assert_eq!(tried.len(), usize::from(count));
    }
}

#[test]
fn an_empty_set_offers_nobody() {
    assert_eq!(RoundRobin::default().choose(&Set::default(), &[]), None);
}

#[test]
fn one_dead_endpoint_of_three_does_not_double_its_neighbour() {
    let (strategy, mut roster) = (RoundRobin::default(), Roster::default());
    let set = strategy.arrange(&Set::default(), &endpoints(&mut roster, &(0..3).collect()));
    let mut served = [0; 3];
    for _ in 0..300 {
        let mut chosen = strategy.choose(&set, &[]).unwrap();
        if chosen == 0 {
            chosen = strategy.choose(&set, &[0]).unwrap();
        }
        served[chosen] += 1;
    }
    assert_eq!(served, [0, 150, 150]);
}

#[test]
fn four_threads_share_one_cursor_exactly() {
    let (strategy, mut roster) = (RoundRobin::default(), Roster::default());
    let set = strategy.arrange(&Set::default(), &endpoints(&mut roster, &(0..3).collect()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..30_000 {
                    let index = strategy.choose(&set, &[]).unwrap();
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
    let (strategy, mut roster) = (RoundRobin::default(), Roster::default());
    let set = strategy.arrange(&Set::default(), &endpoints(&mut roster, &(0..2).collect()));
    let under_way = InFlight::begin(Arc::clone(&set.endpoints()[0]));
    let kept = number_of(&set, 0);
    // Gone from every list, but still answering: known until it is done.
    roster.retain(|_| false);
    let set = strategy.arrange(&set, &endpoints(&mut roster, &(0..2).collect()));
    let same = set.endpoints().iter().find(|endpoint| endpoint.address().port() == 1000 + kept).unwrap();
    assert_eq!(same.in_flight(), 1);
    drop(under_way);
    assert_eq!(same.in_flight(), 0);
}
