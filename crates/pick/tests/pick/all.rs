//! What holds for every strategy.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use berth_pick::{InFlight, Set};
use proptest::prelude::*;

use crate::site::{ALL, Site};

proptest! {
    /// Whatever comes, goes, fails, ramps up and reports, only those who may be chosen are, and a request meets each of
    /// them once before it has to give up.
    #[test]
    fn only_those_who_may_be_chosen_are(
        strategy in proptest::sample::select(ALL.to_vec()),
        entropy in any::<u64>(),
        stretches in proptest::collection::vec(
            (proptest::collection::btree_map(0_u16..50, 1_u16..1000, 0..45), 1_usize..30, 0_u64..20_000), 1..8),
    ) {
        let mut site = Site::ramping(strategy, Duration::from_secs(10), entropy);
        let mut running = Vec::new();
        for (members, requests, pause_ms) in stretches {
            site.now_ms += pause_ms;
            let weighted: Vec<_> = members.iter().map(|(number, weight)| (*number, *weight)).collect();
            site.arrange_weighted(&weighted, Some(site.now_ms));
            prop_assert_eq!(site.set.len(), members.len());
            for request in 0..requests {
                let mut tried = Vec::new();
                while let Some(index) = site.choose(&tried) {
                    let endpoint = Arc::clone(&site.set.endpoints()[index]);
                    prop_assert!(members.contains_key(&site.number_of(index)) && !tried.contains(&index));
                    tried.push(index);
                    match request % 4 {
                        0 => endpoint.trouble().failed(site.now_ms),
                        1 => endpoint.latency().note(site.now_ms, 1 + request as u32 * 1000),
                        2 => endpoint.report().note(site.now_ms, request as f32 / 30.0),
                        _ => {
                            running.push(InFlight::begin(endpoint));
                            break;
                        }
                    }
                }
                prop_assert!(request % 4 == 3 || tried.len() == members.len());
            }
            running.truncate(20);
        }
    }

    /// Nobody starves while all are well.
    #[test]
    fn everybody_gets_something(
        strategy in proptest::sample::select(ALL.to_vec()),
        entropy in any::<u64>(),
        members in proptest::collection::btree_set(0_u16..100, 1..40),
    ) {
        let mut site = Site::new(strategy, entropy);
        site.arrange(&members);
        let mut running = std::collections::VecDeque::new();
        let mut seen = BTreeSet::new();
        for _ in 0..members.len() * 100 {
            let index = site.choose(&[]).unwrap();
            let endpoint = &site.set.endpoints()[index];
            endpoint.latency().note(site.now_ms, 1000);
            running.push_back(InFlight::begin(Arc::clone(endpoint)));
            if running.len() > 2 * members.len() {
                running.pop_front();
            }
            seen.insert(site.number_of(index));
        }
        prop_assert_eq!(seen, members);
    }
}

#[test]
fn an_empty_set_offers_nobody() {
    for strategy in ALL {
        let mut site = Site::new(strategy, 1);
        assert_eq!(site.choose(&[]), None);
        site.arrange(&BTreeSet::from([1]));
        site.arrange(&BTreeSet::new());
        assert_eq!(site.choose(&[]), None);
        assert!(Set::default().is_empty());
    }
}
