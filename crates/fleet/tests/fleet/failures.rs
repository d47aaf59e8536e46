//! Who fails more than the others is out for a while.

use berth_fleet::{State, Why};
use berth_model::Reason;
use berth_pick::Signal;

use super::site::{Site, There, changed, draining, group, instance, left};

fn four() -> Site {
    Site::of(&[instance("a", 1), instance("b", 2), instance("c", 3), instance("d", 4)])
}

fn is_out(site: &Site, id: &str) -> bool {
    matches!(site.state(id), (State::Ejected, Why::Failures { .. }))
}

#[test]
fn five_failures_are_enough_and_four_are_not() {
    let mut site = four();
    site.errors("a", 4);
    site.wait(2.0);
    assert_eq!(site.names(), "a b c d");
    site.errors("a", 1);
    site.wait(0.5);
    assert_eq!(site.state("a"), (State::Ejected, Why::Failures { failed: 5, of: 5 }));
    assert_eq!(site.takers("web"), "b c d");
}

#[test]
fn less_than_half_of_its_requests_is_not_enough() {
    let mut site = four();
    site.errors("a", 1);
    site.requests("a", 20);
    site.errors("a", 18);
    site.wait(0.5);
    assert_eq!(site.names(), "a b c d");
    site.errors("a", 10);
    site.wait(0.5);
    assert!(is_out(&site, "a"));
}

#[test]
fn who_fails_as_the_others_do_stays() {
    let mut site = four();
    for id in ["a", "b", "c", "d"] {
        site.errors(id, 20);
    }
    site.wait(5.0);
    assert_eq!(site.names(), "a b c d");
    // Half of the others is too many as well.
    let mut site = four();
    site.errors("a", 10);
    for id in ["b", "c", "d"] {
        site.errors(id, 6);
        site.requests(id, 4);
    }
    site.wait(5.0);
    assert_eq!(site.names(), "a b c d");
}

#[test]
fn what_was_long_ago_does_not_count() {
    let mut site = four();
    for _ in 0..10 {
        site.errors("a", 2);
        site.wait(6.0);
    }
    assert_eq!((site.names().as_str(), site.fleet.next_deadline().is_some()), ("a b c d", true));
    site.wait(11.0);
    assert_eq!(site.fleet.next_deadline(), None, "nobody is watched for ever");
}

#[test]
fn never_more_than_half_of_a_group_is_out() {
    let mut site = four();
    for id in ["a", "b", "c"] {
        site.errors(id, 20);
        site.wait(0.3);
    }
    site.wait(1.0);
    assert_eq!(["a", "b", "c"].iter().filter(|id| is_out(&site, id)).count(), 2);
    let mut alone = Site::of(&[instance("a", 1)]);
    alone.errors("a", 50);
    alone.wait(1.0);
    assert_eq!(alone.names(), "a");
}

#[test]
fn nor_when_others_leave() {
    let mut site = four();
    site.errors("a", 20);
    site.wait(0.3);
    site.errors("b", 20);
    site.wait(0.3);
    assert!(is_out(&site, "a") && is_out(&site, "b"));
    site.say(0, left(instance("d", 4), Reason::Deregistered));
    // The one that has been out for longest is back.
    assert_eq!(site.names(), "a b! c");
    site.say(0, left(instance("c", 3), Reason::Deregistered));
    assert_eq!(site.names(), "a b!");
    site.say(0, left(instance("a", 1), Reason::Deregistered));
    assert_eq!(site.names(), "b");
}

#[test]
fn an_operator_who_places_another_anew_brings_nobody_back() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    site.errors("a", 20);
    site.wait(0.3);
    assert_eq!(site.names(), "a! b");
    site.regroup("b", vec![group("web"), group("other")]);
    assert_eq!(site.names(), "a! b");
    site.regroup("a", vec![group("other"), group("web")]);
    assert_eq!(site.names(), "a! b");
    site.regroup("b", vec![group("other")]);
    assert_eq!(site.names(), "a b", "it is alone in one of its groups");
}

#[test]
fn who_drains_does_not_count_among_those_that_are_out() {
    let mut site = four();
    for id in ["a", "c"] {
        site.errors(id, 20);
        site.wait(0.3);
    }
    assert_eq!(site.names(), "a! b c! d");
    site.say(0, changed(draining("c", 3)));
    assert_eq!(site.names(), "a! b c- d");
}

#[test]
fn refusals_are_not_capped_and_leave_less_room_for_penalties() {
    let mut site = four();
    for id in ["a", "b", "c"] {
        site.there(site.identity(id).port, There::Refuses);
        site.meet(id, Signal::Refused);
    }
    assert_eq!(site.names(), "a! b! c! d");
    site.errors("d", 50);
    site.wait(1.0);
    assert_eq!(site.names(), "a! b! c! d");
}

#[test]
fn penalties_grow_and_end_and_are_forgiven() {
    let mut site = four();
    let penalty = |site: &mut Site| {
        site.errors("a", 20);
        let mut waited = 0;
        while !is_out(site, "a") {
            site.wait(0.25);
            waited += 1;
            assert!(waited < 100, "it is never out");
        }
        let began = site.now;
        while is_out(site, "a") {
            site.wait(0.25);
        }
        (site.now - began).as_secs_f64()
    };
    let penalties = [(); 7].map(|()| penalty(&mut site));
    for (penalty, least) in penalties.into_iter().zip([5.0, 10.0, 20.0, 40.0, 80.0, 120.0, 120.0]) {
        assert!((least - 0.5..least + 3.0).contains(&penalty), "{penalties:?}");
    }
    site.wait(3600.0);
    assert!(penalty(&mut site) < 8.0, "an hour without a failure forgives all");
}

#[test]
fn while_it_is_out_it_is_hardly_asked() {
    let mut site = four();
    for _ in 0..6 {
        site.errors("a", 20);
        site.wait(0.5);
        while is_out(&site, "a") {
            site.wait(0.25);
        }
    }
    let before = site.now;
    site.errors("a", 20);
    site.wait(100.0);
    assert!(is_out(&site, "a"));
    let sent = site.sent_since("a", before).len();
    assert!(sent < 60, "{sent} probes in 100 s");
}

#[test]
fn an_endpoint_that_is_made_anew_is_counted_anew() {
    let mut site = four();
    site.errors("a", 4);
    site.wait(25.0);
    site.errors("a", 4);
    site.make_anew("a");
    site.wait(1.0);
    site.errors("a", 4);
    site.wait(0.5);
    assert_eq!(site.names(), "a b c d");
    site.errors("a", 1);
    site.wait(0.5);
    assert_eq!(site.state("a"), (State::Ejected, Why::Failures { failed: 5, of: 5 }));
}

#[test]
fn a_refusal_or_a_silence_takes_the_place_of_a_penalty() {
    for (there, why) in [(There::Refuses, Why::Refused), (There::IsSilent, Why::Unanswered)] {
        let mut site = four();
        for penalty in 0..3 {
            site.errors("a", 20);
            site.wait(0.5);
            assert!(is_out(&site, "a"));
            site.wait(if penalty < 2 { 13.0 } else { 0.0 });
        }
        // It has 20 s to stay out.
        site.there(1, there);
        site.wait(3.5);
        assert_eq!(site.state("a"), (State::Ejected, why));
        site.there(1, There::Answers);
        site.wait(5.0);
        assert_eq!(site.names(), "a b c d", "{why}");
    }
}
