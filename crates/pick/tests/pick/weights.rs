//! Shares by weight.

use std::collections::BTreeMap;

use berth_pick::Strategy;
use proptest::prelude::*;

use crate::site::Site;

fn site(strategy: Strategy, weights: &[(u16, u16)]) -> Site {
    let mut site = Site::new(strategy, 7);
    site.arrange_weighted(weights, None);
    site
}

#[test]
fn five_to_three_to_one() {
    let weights = [(0, 5), (1, 3), (2, 1)];
    let mut site_of = site(Strategy::WeightedRoundRobin, &weights);
    assert_eq!(site_of.counts(9_000), BTreeMap::from([(0, 5_000), (1, 3_000), (2, 1_000)]));
    for strategy in [Strategy::Random, Strategy::Hash { bounded_load: None }] {
        let counts = site(strategy, &weights).counts(90_000);
        for (number, weight) in weights {
            let share = counts[&number] as f64 / 90_000.0;
            assert!((share - f64::from(weight) / 9.0).abs() < 0.01, "{strategy:?}: {counts:?}");
        }
    }
}

#[test]
fn turns_by_weight_are_spread_evenly() {
    let mut site = site(Strategy::WeightedRoundRobin, &[(0, 5), (1, 1), (2, 1)]);
    let order: Vec<u16> = (0..70).map(|_| site.next()).collect();
    // The heavy one is never passed over twice, and never has more than its share in a row.
    for window in order.windows(4) {
        assert!((1..=4).contains(&window.iter().filter(|number| **number == 0).count()), "{order:?}");
    }
}

#[test]
fn a_weight_that_changes_holds_at_once() {
    let mut site = site(Strategy::WeightedRoundRobin, &[(0, 1), (1, 1)]);
    assert_eq!(site.counts(100), BTreeMap::from([(0, 50), (1, 50)]));
    site.arrange_weighted(&[(0, 3), (1, 1)], None);
    assert_eq!(site.counts(100), BTreeMap::from([(0, 75), (1, 25)]));
}

#[test]
fn ten_thousand_with_odd_weights_are_laid_out() {
    let weights: Vec<(u16, u16)> = (0..10_000).map(|number| (number, 1 + number % 997)).collect();
    let mut site = site(Strategy::WeightedRoundRobin, &weights);
    let counts = site.counts(1 << 20);
    let light = counts.values().min().unwrap();
    assert!(counts.len() == 10_000 && *light >= 1, "somebody has no turn");
}

proptest! {
    /// However the set and the weights change, an endpoint that stays gets its share of each stretch within a turn.
    #[test]
    fn shares_by_weight_survive_changes(
        entropy in any::<u64>(),
        stretches in proptest::collection::vec(
            (proptest::collection::btree_map(1_u16..12, 1_u16..10, 0..8), 0_usize..60), 1..12),
    ) {
        let mut site = Site::new(Strategy::WeightedRoundRobin, entropy);
        let (mut served, mut due) = (0.0_f64, 0.0);
        for (mut members, requests) in stretches {
            members.insert(0, 4);
            let weights: Vec<_> = members.iter().map(|(number, weight)| (*number, *weight)).collect();
            site.arrange_weighted(&weights, None);
            let sum: u16 = members.values().sum();
            for _ in 0..requests {
                served += f64::from(u8::from(site.next() == 0));
                due += 4.0 / f64::from(sum);
            }
            prop_assert!((served - due).abs() < 4.0, "{served} of {due} that were due");
        }
    }
}
