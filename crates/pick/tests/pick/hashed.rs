//! The same endpoint for the same key.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_pick::{InFlight, Strategy, hash};

use crate::site::Site;

const KEYS: u64 = 50_000;

fn site(bounded_load: Option<f32>, numbers: impl Iterator<Item = u16>, entropy: u64) -> Site {
    let mut site = Site::new(Strategy::Hash { bounded_load }, entropy);
    site.arrange(&numbers.collect());
    site
}

/// Where each key leads.
fn places(site: &mut Site) -> Vec<u16> {
    let mut place = |key: u64| {
        let index = site.choose_for(hash(0, &key.to_le_bytes()), &[]).unwrap();
        site.number_of(index)
    };
    (0..KEYS).map(&mut place).collect()
}

#[test]
fn two_balancers_choose_the_same_endpoint() {
    let mut one = site(None, 0..20, 1);
    let mut other = site(None, 0..3, 2);
    other.arrange(&(0..20).collect());
    assert_eq!(places(&mut one), places(&mut other));
    let tried: Vec<usize> = (0..5).collect();
    for key in 0..1000 {
        let (first, second) = (one.choose_for(key, &tried).unwrap(), other.choose_for(key, &tried).unwrap());
        assert_eq!(one.number_of(first), other.number_of(second));
    }
}

#[test]
fn shares_are_nearly_even() {
    for count in [3_u16, 100, 1000] {
        let mut site = site(None, 0..count, 1);
        let mut counts = BTreeMap::<u16, usize>::new();
        places(&mut site).into_iter().for_each(|number| *counts.entry(number).or_default() += 1);
        let fair = KEYS as f64 / f64::from(count);
        let most = *counts.values().max().unwrap() as f64;
        // Keys that are thrown at random scatter by themselves.
        assert!(most < fair * 1.05 + 5.0 * fair.sqrt(), "{count}: {most} of {fair}");
    }
}

#[test]
fn who_comes_or_goes_moves_hardly_any_key_of_the_others() {
    let mut all = site(None, 0..100, 1);
    let before = places(&mut all);
    all.arrange(&(0..100).filter(|number| *number != 37).collect());
    let after = places(&mut all);
    let moved = before.iter().zip(&after).filter(|(was, is)| **was != 37 && was != is).count();
    assert!(moved as f64 <= 0.01 * KEYS as f64, "{moved} of {KEYS} moved as one left");
    all.arrange(&(0..101).filter(|number| *number != 37).collect());
    let joined = places(&mut all);
    let moved = after.iter().zip(&joined).filter(|(was, is)| **is != 100 && was != is).count();
    assert!(moved as f64 <= 0.01 * KEYS as f64, "{moved} of {KEYS} moved as one came");
    assert!(joined.contains(&100));
}

#[test]
fn a_bounded_load_leads_a_busy_key_on() {
    let mut site = site(Some(1.25), 0..10, 1);
    let mut counts = BTreeMap::<u16, u64>::new();
    let mut running = Vec::new();
    // Everybody has the same key.
    for _ in 0..1000 {
        let index = site.choose_for(42, &[]).unwrap();
        *counts.entry(site.number_of(index)).or_default() += 1;
        running.push(InFlight::begin(Arc::clone(&site.set.endpoints()[index])));
    }
    assert!(*counts.values().max().unwrap() <= 126, "{counts:?}");
    drop(running);
    let first = site.choose_for(42, &[]).unwrap();
    assert_eq!(site.choose_for(42, &[]).unwrap(), first, "without load a key stays");
}
