//! Retries within their budget, whatever the requests do.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

use berth_fleet::RetryBudget;
use proptest::prelude::*;

/// What happens next, so many milliseconds after the last.
#[derive(Clone, Debug)]
enum Event {
    Begin(u64),
    End(u64),
    Note,
    Ask(u64),
}

fn event() -> impl Strategy<Value = (u64, Event)> {
    let gap = prop_oneof![3 => 0..50_u64, 2 => 0..1_500_u64, 1 => 0..30_000_u64];
    let kind = prop_oneof![
        (0..2_000_u64).prop_map(Event::Begin),
        (0..2_000_u64).prop_map(Event::End),
        Just(Event::Note),
        (1..200_u64).prop_map(Event::Ask),
    ];
    (gap, kind)
}

/// All that has happened, by the second in which it did.
#[derive(Default)]
struct History {
    /// When requests began: the second and how many.
    begun: Vec<(u64, u64)>,
    ended: Vec<(u64, u64)>,
    granted: Vec<u64>,
}

fn sum(events: &[(u64, u64)], is_meant: impl Fn(u64) -> bool) -> u64 {
    events.iter().filter(|(second, _)| is_meant(*second)).map(|(_, count)| count).sum()
}

impl History {
    /// What ten seconds that end with this one have room for.
    fn most(&self, last: u64) -> u64 {
        let first = last.saturating_sub(9);
        let in_flight = sum(&self.begun, |second| second < first) - sum(&self.ended, |second| second < first);
        let begun = sum(&self.begun, |second| (first..=last).contains(&second));
        (30).max((begun + in_flight) / 5)
    }

    fn granted(&self, last: u64) -> u64 {
        let first = last.saturating_sub(9);
        self.granted.iter().filter(|second| (first..=last).contains(second)).count() as u64
    }
}

proptest! {
    #[test]
    fn no_retry_makes_its_ten_seconds_have_more_than_their_share(events in prop::collection::vec(event(), 1..200)) {
        let mut budget = RetryBudget::default();
        let (mut now_ms, mut begun, mut in_flight) = (0, 0, 0);
        let mut history = History::default();
        for (gap, event) in events {
            now_ms += gap;
            let second = now_ms / 1_000;
            match event {
                Event::Begin(count) => {
                    begun += count;
                    in_flight += count;
                    history.begun.push((second, count));
                }
                Event::End(count) => {
                    let count = count.min(in_flight);
                    in_flight -= count;
                    history.ended.push((second, count));
                }
                Event::Note => budget.note(now_ms, begun, || in_flight),
                Event::Ask(times) => {
                    let granted = (0..times).filter(|_| budget.grant(now_ms, begun, || in_flight)).count();
                    history.granted.extend(std::iter::repeat_n(second, granted));
                    if granted > 0 {
                        let (granted, most) = (history.granted(second), history.most(second));
                        prop_assert!(granted <= most, "{granted} of {most} at {now_ms} ms");
                    }
                }
            }
        }
    }

    /// With hardly a request there are three each second, for as long as anybody asks evenly.
    #[test]
    fn three_a_second_are_always_there(from_ms in 0..100_000_u64, gap_ms in 334..2_000_u64) {
        let mut budget = RetryBudget::default();
        for asked in 0..300 {
            let now_ms = from_ms + asked * gap_ms;
            prop_assert!(budget.grant(now_ms, asked, || 0), "the {asked}th, at {now_ms} ms");
        }
    }

    /// A steady load has a fifth of itself, and not less, once it has been there for the window.
    #[test]
    fn a_fifth_of_a_steady_load_is_granted(per_second in 150..5_000_u64, in_flight in 0..1_000_u64) {
        let mut budget = RetryBudget::default();
        let mut begun = 0;
        for second in 0..20 {
            budget.note(second * 1_000, begun, || in_flight);
            begun += per_second;
        }
        let granted = (0..10_000).take_while(|_| budget.grant(19_999, begun, || in_flight)).count() as u64;
        prop_assert_eq!(granted, ((10 * per_second + in_flight) / 5).min(10_000));
    }
}

#[test]
fn what_was_granted_comes_back_after_ten_seconds() {
    let mut budget = RetryBudget::default();
    let spent = (0..100).filter(|_| budget.grant(500, 0, || 0)).count();
    assert_eq!(spent, 30);
    assert!(!budget.grant(9_999, 0, || 0));
    assert!(budget.grant(10_000, 0, || 0));
}
