//! Shares are exact, over threads as well, and whoever stays with a backend stays for good.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::sync::atomic::{AtomicU64, Ordering};

use berth_route::Shares;
use proptest::prelude::*;

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn weights() -> impl Strategy<Value = Vec<u32>> {
    let weight = prop_oneof![2 => 0_u32..=12, 1 => 0_u32..=1000, 1 => Just(0_u32)];
    let some = |weights: &Vec<u32>| weights.iter().any(|weight| *weight > 0);
    proptest::collection::vec(weight, 1..=32).prop_filter("all are 0", some)
}

proptest! {
    /// Over every whole round, wherever it begins, and never far from it within one.
    #[test]
    fn turns_are_exact(
        weights in weights(),
        entropy in prop_oneof![any::<u64>(), u64::MAX - 9..=u64::MAX],
        skip in 0_usize..50,
    ) {
        let shares = Shares::new(&weights, entropy).unwrap();
        let round = weights.iter().sum::<u32>() / weights.iter().copied().fold(0, gcd);
        for _ in 0..skip {
            shares.next();
        }
        for _ in 0..2 {
            let mut counts = vec![0_u32; weights.len()];
            for _ in 0..round {
                counts[shares.next()] += 1;
            }
            let sum = weights.iter().sum::<u32>();
            for (count, weight) in counts.iter().zip(&weights) {
                prop_assert_eq!(count * sum, weight * round);
            }
        }
    }

    /// Nobody is chosen who has no weight, and everybody by about its weight.
    #[test]
    fn keys_are_spread_by_weight(weights in weights(), salt in any::<u32>()) {
        let shares = Shares::new(&weights, 0).unwrap();
        let mut counts = vec![0_u32; weights.len()];
        for number in 0..4000_u32 {
            let key = format!("client-{salt}-{number}");
            let chosen = shares.of(key.as_bytes());
            prop_assert_eq!(shares.of(key.as_bytes()), chosen);
            counts[chosen] += 1;
        }
        let sum: u32 = weights.iter().sum();
        for (count, weight) in counts.iter().zip(&weights) {
            prop_assert!(*weight > 0 || *count == 0);
            let expected = 4000.0 * f64::from(*weight) / f64::from(sum);
            // Eight times the deviation that is usual.
            prop_assert!((f64::from(*count) - expected).abs() <= 8.0 * expected.sqrt() + 8.0, "{counts:?}");
        }
    }

    /// The last share of two grows, in whatever numbers that is written: whoever is in it stays.
    #[test]
    fn nobody_leaves_a_share_that_grows(
        before in (0_u32..=1000, 0_u32..=1000),
        after in (0_u32..=1000, 0_u32..=1000),
        salt in any::<u32>(),
    ) {
        prop_assume!(before != (0, 0) && after != (0, 0));
        let part = |(first, last): (u32, u32)| f64::from(last) / f64::from(first + last);
        let (less, more) = if part(before) <= part(after) { (before, after) } else { (after, before) };
        let less = Shares::new(&[less.0, less.1], 0).unwrap();
        let more = Shares::new(&[more.0, more.1], 0).unwrap();
        for number in 0..500_u32 {
            let key = format!("{salt}/{number}");
            if less.of(key.as_bytes()) == 1 {
                prop_assert_eq!(more.of(key.as_bytes()), 1);
            }
        }
    }
}

#[test]
fn ninety_five_to_five_of_ten_thousand_over_threads() {
    let shares = Shares::new(&[95, 5], 0).unwrap();
    let counts = [AtomicU64::new(0), AtomicU64::new(0)];
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2500 {
                    counts[shares.next()].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(counts.map(AtomicU64::into_inner), [9500, 500]);
}

#[test]
fn turns_are_interleaved() {
    let turns = |weights: &[u32], steps: usize| {
        let shares = Shares::new(weights, 0).unwrap();
        (0..steps).map(|_| shares.next()).collect::<Vec<_>>()
    };
    assert_eq!(turns(&[5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0]);
    assert_eq!(turns(&[500, 500], 4), [0, 1, 0, 1]);
    assert_eq!(turns(&[0, 7], 3), [1, 1, 1]);
    // One in twenty never waits for more than nineteen others.
    let many = turns(&[95, 5], 100);
    let at: Vec<_> = many.iter().enumerate().filter(|(_, chosen)| **chosen == 1).map(|(at, _)| at).collect();
    assert!(at.len() == 5 && at.windows(2).all(|pair| pair[1] - pair[0] == 20), "{at:?}");
}

/// Made by another program from the words at `hash`: no version may place these elsewhere.
#[test]
fn keys_keep_their_place_over_versions() {
    let (coarse, fine) = (Shares::new(&[1; 32], 0).unwrap(), Shares::new(&[1000; 32], 0).unwrap());
    for (key, place) in [
        ("".as_bytes(), 30),
        (b"a", 0),
        (b"foobar", 8),
        (b"session-1", 17),
        (b"session-2", 2),
        ("\u{fc}".as_bytes(), 14),
        (b"\0\xff", 20),
    ] {
        assert_eq!((coarse.of(key), fine.of(key)), (place, place), "{key:?}");
    }
}

#[test]
fn weights_that_are_none() {
    for weights in [&[][..], &[0], &[0, 0], &[1001], &[1, 1001], &[u32::MAX], &[1; 33]] {
        assert!(Shares::new(weights, 0).is_none(), "{weights:?}");
    }
    assert_eq!(Shares::new(&[1000; 32], 0).unwrap().weights(), [1000; 32]);
}
