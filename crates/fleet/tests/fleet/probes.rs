//! When probes are sent.

use berth_fleet::Said;
use berth_model::Reason;
use berth_pick::Signal;

use super::site::{START, Site, There, instance, left, snapshot};

#[test]
fn who_is_well_and_idle_is_not_asked_and_costs_nothing() {
    let mut site = Site::two(&[instance("a", 1), instance("b", 2)], &[instance("a", 1)]);
    assert_eq!(site.fleet.next_deadline(), None);
    site.wait(7200.0);
    site.requests("a", 1000);
    site.say(1, Said::Away);
    site.say(0, Said::Away);
    site.wait(7200.0);
    assert_eq!((site.sent.len(), site.fleet.next_deadline()), (0, None));
    assert!(site.fleet.due(site.now, usize::MAX).is_empty());
}

#[test]
fn a_doubt_is_settled_at_once_but_not_more_often_than_once_a_second() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    site.meet("a", Signal::Silent);
    site.send();
    assert_eq!(site.sent_since("a", START), [0]);
    for _ in 0..100 {
        site.wait(0.1);
        site.meet("a", Signal::Silent);
    }
    let sent = site.sent_since("a", START);
    assert!((9..=12).contains(&sent.len()), "{sent:?}");
}

#[test]
fn whoever_was_ejected_is_asked_soon_at_first_and_then_less_often() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    site.there(1, There::Refuses);
    site.meet("a", Signal::Refused);
    site.wait(60.0);
    let sent = site.sent_since("a", START);
    assert!(sent[0] <= 300 && sent[1] <= 900, "{sent:?}");
    assert!((25..=40).contains(&sent.len()), "{sent:?}");
    let late = &sent[sent.len() - 10..];
    assert!(late.windows(2).all(|pair| (1800..=2200).contains(&(pair[1] - pair[0]))), "{sent:?}");
}

#[test]
fn whoever_is_said_to_have_crashed_is_asked_at_once() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    site.there(1, There::IsSilent);
    site.say(0, left(instance("a", 1), Reason::Crashed));
    site.send();
    assert_eq!(site.sent_since("a", START), [0]);
    site.wait(29.0);
    let sent = site.sent_since("a", START);
    assert!((12..=25).contains(&sent.len()), "{sent:?}");
}

#[test]
fn who_has_no_group_is_not_asked_and_not_kept_by_opinions() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    site.regroup("a", vec![]);
    site.meet("a", Signal::Reset);
    site.wait(11.0);
    assert_eq!((site.sent.len(), site.fleet.next_deadline()), (0, None));
    site.say(0, snapshot(1, &[instance("b", 2)], vec![]));
    assert_eq!(site.names(), "b");
}

#[test]
fn a_group_that_is_taken_away_ends_what_it_asked_for() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    site.there(1, There::Refuses);
    site.meet("a", Signal::Refused);
    site.regroup("a", vec![]);
    site.wait(60.0);
    assert_eq!((site.sent.len(), site.fleet.next_deadline()), (0, None));
}

#[test]
fn the_result_of_a_probe_that_was_given_up_says_nothing() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    site.meet("a", Signal::Silent);
    let orders = site.fleet.due(site.now, 9);
    site.wait(11.0);
    site.turns.clear();
    site.fleet.probed(site.now, &orders[0], berth_fleet::Probed::Unanswered);
    site.place();
    assert_eq!(site.turns, []);
}

#[test]
fn one_that_could_not_be_sent_says_nothing_and_is_sent_later() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    site.meet("a", Signal::Silent);
    let orders = site.fleet.due(site.now, 9);
    site.turns.clear();
    site.fleet.not_asked(site.now, &orders[0]);
    site.place();
    assert_eq!((site.turns.len(), site.names().as_str()), (0, "a b"));
    site.wait(2.0);
    assert_eq!((site.sent.len(), site.fleet.next_deadline()), (1, None));
}

#[test]
fn no_more_are_sent_at_once_than_is_wanted() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2), instance("c", 3)]);
    for id in ["a", "b", "c"] {
        site.meet(id, Signal::Silent);
    }
    assert_eq!(site.fleet.due(site.now, 2).len(), 2);
    assert_eq!(site.fleet.next_deadline(), Some(site.now));
    assert_eq!(site.fleet.due(site.now, 2).len(), 1);
    assert!(site.fleet.next_deadline() > Some(site.now));
}

/// 400 that are silent and have been found out, and `z`, with 64 slots.
fn silent_ones() -> Site {
    let silent: Vec<_> = (1..=400).map(|run| instance(&format!("s{run}"), run)).collect();
    let mut site = Site::of(&[&silent[..], &[instance("z", 999)]].concat());
    for it in &silent {
        site.there(it.port, There::IsSilent);
        site.meet(it.id.as_str(), Signal::Silent);
    }
    site.wait(3.0);
    site.slots = 64;
    site.wait(10.0);
    site
}

#[test]
fn a_doubt_does_not_wait_behind_those_that_are_out() {
    let mut site = silent_ones();
    let since = site.now;
    for _ in 0..20 {
        site.wait(0.51);
        assert!(site.under_way_to_others("z") <= 32);
    }
    let asked = site.sent.iter().filter(|(at, ..)| *at >= since).count();
    assert!(asked >= 300, "those that are out are asked as well: {asked}");
    site.there(999, There::IsSilent);
    site.meet("z", Signal::Silent);
    let since = site.now;
    site.send();
    assert_eq!(site.sent_since("z", since), [0]);
}

#[test]
fn who_is_back_among_many_that_are_silent_is_asked_in_its_turn_and_then_at_once() {
    let mut site = silent_ones();
    let since = site.now;
    site.there(1, There::Answers);
    while site.sent_since("s1", since).is_empty() {
        site.wait(0.1);
        assert!(site.now < since + std::time::Duration::from_secs(15), "it is not asked");
    }
    site.wait(1.0);
    assert_eq!(site.state("s1").0, berth_fleet::State::Confirmed);
}

#[test]
fn whoever_is_said_to_have_crashed_is_asked_before_those_that_are_out() {
    let mut site = silent_ones();
    let since = site.now;
    site.say(0, left(instance("z", 999), Reason::Crashed));
    site.send();
    assert_eq!(site.sent_since("z", since), [0]);
}

#[test]
fn limits_do_not_wait_for_slots() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    site.slots = 0;
    site.say(0, left(instance("a", 1), Reason::Crashed));
    site.wait(29.0);
    assert!(site.has("a"));
    site.wait(1.0);
    assert_eq!((site.has("a"), site.sent.len()), (false, 0));
}

#[test]
fn a_probe_of_an_endpoint_that_is_made_anew_is_not_waited_for() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    site.there(1, There::LosesProbes);
    site.meet("a", Signal::Silent);
    site.send();
    site.make_anew("a");
    site.wait(2.0);
    assert_eq!(site.sent_since("a", START).len(), 2);
}
