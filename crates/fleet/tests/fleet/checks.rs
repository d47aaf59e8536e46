//! Checks that the operator has asked for.

use std::time::Duration;

use berth_fleet::{Check, CheckId, Class, Membership, State, Why};
use berth_model::Reason;
use berth_pick::Signal;

use super::site::{START, Site, There, group, instance, left};

fn checked(name: &str, id: CheckId, check: Check) -> Membership {
    Membership { check: Some((id, check)), ..group(name) }
}

/// `a` and `b`, both with the usual check.
fn site() -> Site {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    site.regroup("a", vec![checked("web", 1, Check::default())]);
    site.regroup("b", vec![checked("web", 1, Check::default())]);
    site
}

#[test]
fn they_are_sent_at_their_interval_scattered() {
    let mut site = site();
    site.wait(60.0);
    for id in ["a", "b"] {
        let sent = site.sent_since(id, START);
        assert!((27..=34).contains(&sent.len()) && sent[0] <= 2000, "{sent:?}");
        assert!(sent.windows(2).all(|pair| (1800..=2200).contains(&(pair[1] - pair[0]))), "{sent:?}");
    }
    assert_ne!(site.sent_since("a", START), site.sent_since("b", START));
}

#[test]
fn three_in_a_row_take_it_out_and_two_bring_it_back() {
    for there in [There::IsSilent, There::AnswersBadly] {
        let mut site = site();
        site.wait(10.0);
        let since = site.now;
        site.there(1, there);
        while site.class("a") == Class::Confirmed {
            site.wait(0.05);
        }
        assert_eq!(site.sent_since("a", since).len(), 3, "{there:?}");
        assert_eq!((site.state("a"), site.takers("web").as_str()), ((State::Ejected, Why::Checks(3)), "b"));
        let since = site.now;
        site.there(1, There::Answers);
        while site.class("a") == Class::Ejected {
            site.wait(0.05);
        }
        assert_eq!(site.sent_since("a", since).len(), 2, "{there:?}");
    }
}

#[test]
fn two_bad_ones_and_a_good_one_are_nothing() {
    let mut site = site();
    site.wait(10.0);
    site.turns.clear();
    for _ in 0..5 {
        for there in [There::AnswersBadly, There::AnswersBadly, There::Answers] {
            let sent = site.sent_since("a", START).len();
            site.there(1, there);
            while site.sent_since("a", START).len() == sent {
                site.wait(0.1);
            }
        }
    }
    assert_eq!(site.turns, []);
}

#[test]
fn refused_by_a_check_it_is_out_at_once() {
    let mut site = site();
    site.there(1, There::Refuses);
    site.wait(2.0);
    assert_eq!(site.state("a"), (State::Ejected, Why::Refused));
}

#[test]
fn an_endpoint_in_several_groups_has_several_checks() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    let often = Check { interval: Duration::from_secs(1), fall: 2, ..Check::default() };
    site.regroup("a", vec![checked("x", 1, Check::default()), checked("y", 2, often), group("z")]);
    site.wait(5.0);
    site.there(1, There::AnswersBadly);
    let down = |site: &Site| site.fleet.classes(&site.identity("a")).to_vec();
    while down(&site)[1] == Class::Confirmed {
        site.wait(0.05);
    }
    assert_eq!(down(&site), [Class::Confirmed, Class::Ejected, Class::Confirmed]);
    assert_eq!(site.state("a"), (State::Confirmed, Why::Listed), "it is in some of them");
    site.wait(10.0);
    assert_eq!(down(&site), [Class::Ejected, Class::Ejected, Class::Confirmed]);
    assert_eq!(site.state("a"), (State::Confirmed, Why::Listed));
    site.regroup("a", vec![checked("x", 1, Check::default()), checked("y", 2, often)]);
    assert!(matches!(site.state("a"), (State::Ejected, Why::Checks(2 | 3))), "{:?}", site.state("a"));
    // What a check has come to lasts where the group does.
    site.regroup("a", vec![group("z"), checked("x", 1, Check::default())]);
    assert_eq!(down(&site), [Class::Confirmed, Class::Ejected]);
    site.regroup("a", vec![group("z")]);
    assert_eq!((down(&site), site.state("a")), (vec![Class::Confirmed], (State::Confirmed, Why::Listed)));
    assert_eq!(site.fleet.next_deadline(), None);
}

#[test]
fn two_groups_with_one_check_share_it() {
    let mut site = Site::of(&[instance("a", 1)]);
    site.regroup("a", vec![checked("x", 1, Check::default()), checked("y", 1, Check::default())]);
    site.wait(60.0);
    assert!((27..=34).contains(&site.sent.len()), "{}", site.sent.len());
}

#[test]
fn a_check_that_is_answered_settles_a_doubt_of_life_but_a_silent_one_does_not() {
    let mut site = site();
    site.there(1, There::IsSilent);
    site.meet("a", Signal::Silent);
    site.wait(1.5);
    assert_eq!(site.state("a"), (State::Ejected, Why::Unanswered));
}

#[test]
fn one_of_which_nothing_is_heard_is_not_the_last() {
    let mut site = site();
    site.there(1, There::LosesProbes);
    site.wait(60.0);
    let sent = site.sent_since("a", START).len();
    assert!((2..=4).contains(&sent), "{sent}");
}

#[test]
fn who_is_not_confirmed_and_out_for_its_checks_is_shown_so() {
    let mut site = site();
    site.there(1, There::AnswersBadly);
    site.wait(10.0);
    site.say(0, left(instance("a", 1), Reason::Expired));
    site.wait(5.0);
    assert_eq!((site.state("a"), site.class("a")), ((State::Ejected, Why::Checks(3)), Class::Ejected));
    site.there(1, There::Answers);
    site.wait(5.0);
    assert_eq!((site.state("a"), site.class("a")), ((State::Unconfirmed, Why::Expired), Class::Unconfirmed));
}
