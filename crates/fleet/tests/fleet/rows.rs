//! The rows of the evidence table.

use berth_fleet::{Class, Said, State, Why};
use berth_model::{Instance, Reason};
use berth_pick::Signal;

use super::site::{
    START, Site, There, after, changed, draining, ended, fixed, instance, joined, left, snapshot,
};

/// Every way in which a registry can think that `a` is gone.
fn opinions() -> [(Said, Why); 3] {
    [
        (left(instance("a", 1), Reason::Crashed), Why::Crashed),
        (left(instance("a", 1), Reason::Expired), Why::Expired),
        (snapshot(1, &[instance("b", 2)], vec![]), Why::Absent),
    ]
}

fn two_instances() -> Site {
    Site::of(&[instance("a", 1), instance("b", 2)])
}

#[test]
fn row_1_intent_ends_it_at_once_whatever_is_believed_of_it() {
    let removed = || snapshot(1, &[], vec![ended(&instance("a", 1), Reason::Removed)]);
    let doubts: [fn(&mut Site); 5] = [
        |site| site.meet("a", Signal::Refused),
        |site| site.say(0, left(instance("a", 1), Reason::Crashed)),
        |site| site.say(0, left(instance("a", 1), Reason::Expired)),
        |site| site.say(0, changed(draining("a", 1))),
        |site| site.say(0, snapshot(2, &[], vec![])),
    ];
    for doubt in doubts {
        let mut site = Site::two(&[instance("a", 1)], &[]);
        doubt(&mut site);
        site.say(1, removed());
        assert_eq!((site.names().as_str(), site.why_gone("a")), ("", Some(Why::Ended(Reason::Removed))));
        assert_eq!(site.takers("web"), "");
    }
}

#[test]
fn row_2_draining_takes_no_new_requests_even_if_it_is_the_last() {
    let mut site = Site::of(&[instance("a", 1)]);
    site.say(0, changed(draining("a", 1)));
    assert_eq!((site.class("a"), site.takers("web").as_str()), (Class::Barred, ""));
    assert!(!site.fleet.tier("web").spares(Class::Barred));
    site.say(0, changed(instance("a", 1)));
    assert_eq!((site.state("a"), site.takers("web").as_str()), ((State::Confirmed, Why::Listed), "a"));
}

#[test]
fn row_2_draining_goes_on_for_whoever_is_gone() {
    for (gone, _) in opinions() {
        let mut site = Site::of(&[draining("a", 1), instance("b", 2)]);
        site.say(0, gone);
        site.wait(5.0);
        assert_eq!(site.class("a"), Class::Barred);
    }
}

#[test]
fn row_3_who_is_not_confirmed_makes_way_for_a_later_run_at_its_address() {
    for (gone, _) in opinions() {
        let mut site = two_instances();
        site.say(0, gone);
        site.say(0, joined(Instance { port: 1, ..instance("c", 3) }));
        assert_eq!((site.names().as_str(), site.why_gone("a")), ("b c", Some(Why::LaterRun)));
    }
    // In the other order, and of another service.
    for (gone, _) in opinions() {
        let mut site = two_instances();
        let later = Instance { service: "other".parse().unwrap(), port: 1, ..instance("c", 3) };
        let gone = match gone {
            Said::Snapshot(_) => snapshot(1, &[instance("b", 2), later.clone()], vec![]),
            gone => gone,
        };
        site.say(0, joined(later));
        assert_eq!(site.names(), "c a b", "both are listed");
        site.say(0, gone);
        assert_eq!((site.names().as_str(), site.why_gone("a")), ("c b", Some(Why::LaterRun)));
    }
}

#[test]
fn row_3_an_earlier_run_or_another_port_is_no_reason_to_go() {
    let mut site = Site::of(&[instance("a", 5), instance("b", 2)]);
    site.say(0, left(instance("a", 5), Reason::Expired));
    site.say(0, joined(Instance { port: 5, ..instance("c", 3) }));
    site.say(0, joined(instance("d", 7)));
    assert_eq!(site.names(), "a? b c d");
}

#[test]
fn row_3_whoever_refused_with_all_registries_away_makes_way_as_well() {
    let later = Instance { port: 1, ..instance("c", 3) };
    let mut site = Site::of(&[instance("a", 1), later]);
    site.say(0, Said::Away);
    site.meet("a", Signal::Refused);
    assert_eq!((site.names().as_str(), site.why_gone("a")), ("c", Some(Why::LaterRun)));
    site.say(0, snapshot(1, &[instance("a", 1)], vec![]));
    assert!(site.has("a"), "a registry lists it that can be asked");
}

#[test]
fn row_4_refused_and_listed_it_is_out_until_two_probes_are_answered() {
    let mut site = two_instances();
    site.there(1, There::Refuses);
    site.meet("a", Signal::Refused);
    assert_eq!((site.state("a"), site.takers("web").as_str()), ((State::Ejected, Why::Refused), "b"));
    site.wait(60.0);
    assert_eq!(site.state("a"), (State::Ejected, Why::Refused));
    site.there(1, There::Answers);
    let sent = site.sent.len();
    while site.class("a") == Class::Ejected {
        site.wait(0.1);
    }
    assert_eq!((site.sent.len() - sent, site.state("a").0), (2, State::Confirmed));
    assert_eq!(site.fleet.next_deadline(), None);
}

#[test]
fn row_4_a_refusal_between_two_answers_counts_from_the_beginning() {
    let mut site = two_instances();
    site.meet("a", Signal::Refused);
    while site.sent.is_empty() {
        site.wait(0.1);
    }
    site.meet("a", Signal::Refused);
    while site.sent.len() < 2 {
        site.wait(0.1);
    }
    assert_eq!(site.class("a"), Class::Ejected);
    site.wait(2.0);
    assert_eq!((site.class("a"), site.sent.len()), (Class::Confirmed, 3));
}

#[test]
fn row_5_refused_and_gone_in_either_order() {
    for (gone, why) in opinions() {
        let mut site = two_instances();
        site.say(0, gone.clone());
        assert!(site.has("a"));
        site.meet("a", Signal::Refused);
        assert_eq!((site.names().as_str(), site.why_gone("a")), ("b", Some(why)));
        let mut site = two_instances();
        site.meet("a", Signal::Refused);
        site.say(0, gone.clone());
        assert_eq!((site.names().as_str(), site.why_gone("a")), ("b", Some(why)));
        // A probe is as good as traffic, and it does not matter that nobody else is there.
        let mut site = Site::two(&[instance("a", 1)], &[]);
        site.there(1, There::Refuses);
        site.say(0, gone.clone());
        site.say(0, Said::Away);
        site.wait(2.5);
        assert!(!site.has("a"));
    }
}

#[test]
fn row_5_refused_in_the_grace_of_a_new_epoch() {
    let mut site = two_instances();
    site.there(1, There::Refuses);
    site.say(0, snapshot(2, &[instance("b", 2)], vec![]));
    site.meet("a", Signal::Refused);
    site.wait_until(after(14));
    assert_eq!(site.names(), "a! b");
    site.wait_until(after(15));
    assert_eq!(site.names(), "b");
}

#[test]
fn row_6_refused_while_all_registries_are_away_it_comes_back_unconfirmed() {
    let mut site = Site::two(&[instance("a", 1), instance("b", 2)], &[]);
    site.say(0, Said::Away);
    site.say(1, Said::Away);
    site.there(1, There::Refuses);
    site.meet("a", Signal::Refused);
    site.wait(3600.0);
    assert_eq!(site.state("a"), (State::Ejected, Why::Refused));
    site.there(1, There::Answers);
    site.wait(5.0);
    assert_eq!(site.state("a"), (State::Unconfirmed, Why::RefusedUnseen));
    assert_eq!(site.takers("web"), "b");
    // It stays so until a registry lists it; another's list says nothing of it.
    site.wait(3600.0);
    site.say(1, snapshot(1, &[instance("b", 2)], vec![]));
    assert_eq!(site.state("a"), (State::Unconfirmed, Why::RefusedUnseen));
    site.say(0, snapshot(1, &[instance("a", 1), instance("b", 2)], vec![]));
    assert_eq!(site.state("a"), (State::Confirmed, Why::Listed));
}

#[test]
fn row_6_is_over_when_a_registry_lists_it_or_does_not() {
    let refused_unseen = || {
        let mut site = two_instances();
        site.say(0, Said::Away);
        site.there(1, There::Refuses);
        site.meet("a", Signal::Refused);
        site
    };
    let mut site = refused_unseen();
    site.say(0, snapshot(1, &[instance("b", 2)], vec![]));
    assert_eq!(site.names(), "b");
    let mut site = refused_unseen();
    site.say(0, snapshot(1, &[instance("a", 1), instance("b", 2)], vec![]));
    site.there(1, There::Answers);
    site.wait(5.0);
    assert_eq!(site.names(), "a b");
    // A registry without data does not list it yet: that says nothing.
    let mut site = refused_unseen();
    site.there(1, There::Answers);
    site.say(0, snapshot(2, &[instance("b", 2)], vec![]));
    site.wait(5.0);
    assert_eq!(site.names(), "a? b");
    site.say(0, joined(instance("a", 1)));
    assert_eq!(site.names(), "a b");
}

#[test]
fn row_6_is_not_for_servers_that_are_named_nor_while_a_registry_can_be_asked() {
    let mut site = Site::new(&[0, 100]);
    site.say(100, snapshot(0, &[fixed("a", 1)], vec![]));
    site.meet("a", Signal::Refused);
    site.wait(5.0);
    assert_eq!(site.names(), "a");
    let mut site = Site::two(&[instance("a", 1)], &[]);
    site.say(0, Said::Away);
    site.meet("a", Signal::Refused);
    site.wait(5.0);
    assert_eq!(site.names(), "a");
}

#[test]
fn row_7_crashed_it_is_out_until_it_answers() {
    let mut site = two_instances();
    site.say(0, left(instance("a", 1), Reason::Crashed));
    assert_eq!((site.state("a"), site.takers("web").as_str()), ((State::Ejected, Why::Crashed), "b"));
    site.wait(0.5);
    assert_eq!(site.state("a"), (State::Unconfirmed, Why::CrashedAnswers));
    // One that is alone takes requests even before.
    let mut site = Site::of(&[instance("a", 1)]);
    site.say(0, left(instance("a", 1), Reason::Crashed));
    assert_eq!(site.takers("web"), "a");
}

#[test]
fn row_7_only_a_probe_after_the_event_proves_anything() {
    let mut site = two_instances();
    site.meet("a", Signal::Reset);
    site.send();
    assert_eq!(site.sent.len(), 1);
    site.say(0, left(instance("a", 1), Reason::Crashed));
    site.there(1, There::IsSilent);
    site.wait(0.1);
    assert_eq!(site.class("a"), Class::Ejected, "the answer to a probe from before the event");
    site.wait(60.0);
    assert!(!site.has("a"));
}

#[test]
fn row_7_crashed_without_an_answer_it_goes_after_30_s() {
    for there in [There::IsSilent, There::LosesProbes] {
        let mut site = Site::of(&[instance("a", 1)]);
        site.there(1, there);
        site.say(0, left(instance("a", 1), Reason::Crashed));
        site.wait_until(after(29));
        // To be told again does not give it more time.
        site.say(0, snapshot(1, &[], vec![ended(&instance("a", 1), Reason::Crashed)]));
        assert!(site.has("a"));
        site.wait_until(after(30));
        assert_eq!((site.has("a"), site.why_gone("a")), (false, Some(Why::NeverAnswered)));
    }
}

#[test]
fn row_8_expired_or_absent_it_is_unconfirmed_and_probed_every_two_seconds() {
    for (gone, why) in [&opinions()[1], &opinions()[2]] {
        let mut site = two_instances();
        site.say(0, gone.clone());
        assert_eq!((site.state("a"), site.takers("web").as_str()), ((State::Unconfirmed, *why), "b"));
        site.wait(60.0);
        let sent = site.sent_since("a", START);
        assert!((27..=33).contains(&sent.len()) && sent[0] <= 2200, "{sent:?}");
        assert!(sent.windows(2).all(|pair| (1800..=2200).contains(&(pair[1] - pair[0]))), "{sent:?}");
        // What is known of it is not overwritten when something is said of another.
        site.turns.clear();
        site.say(0, snapshot(1, &[instance("b", 2)], vec![ended(&instance("c", 3), Reason::Removed)]));
        assert_eq!((site.state("a").1, site.turns.len()), (*why, 0));
    }
}

#[test]
fn row_8_three_silences_end_it_and_no_fewer() {
    for (gone, _) in &opinions()[1..] {
        let mut site = two_instances();
        site.say(0, gone.clone());
        site.there(1, There::IsSilent);
        while site.has("a") {
            site.wait(0.1);
        }
        assert_eq!((site.sent.len(), site.why_gone("a")), (3, Some(Why::NeverAnswered)));
        let sent = site.sent_since("a", START);
        assert!(sent[2] - sent[0] >= 3600, "it has time to come to itself: {sent:?}");
    }
    let mut site = two_instances();
    site.say(0, left(instance("a", 1), Reason::Expired));
    for _ in 0..5 {
        site.there(1, There::IsSilent);
        while site.fleet.view(&site.identity("a")).unwrap().state == State::Unconfirmed {
            site.wait(0.1);
        }
        site.there(1, There::Answers);
        site.wait(10.0);
        assert_eq!(site.state("a").0, State::Unconfirmed);
    }
}

#[test]
fn row_8_nobody_stays_longer_than_ten_minutes_unless_it_is_needed() {
    for (gone, _) in &opinions()[1..] {
        let mut site = two_instances();
        site.say(0, gone.clone());
        site.wait_until(after(599));
        assert!(site.has("a"));
        site.wait_until(after(603));
        assert_eq!((site.has("a"), site.why_gone("a")), (false, Some(Why::TooLong)));
    }
    // Nobody else is there, and it answers.
    let mut site = Site::of(&[instance("a", 1)]);
    site.say(0, snapshot(1, &[], vec![]));
    site.wait_until(after(3600));
    assert_eq!(site.takers("web"), "a");
    site.say(0, joined(instance("b", 2)));
    site.wait(3.0);
    assert_eq!(site.names(), "b");
}

#[test]
fn row_8_who_drains_is_not_needed() {
    let mut site = Site::of(&[draining("a", 1)]);
    site.say(0, snapshot(1, &[], vec![]));
    site.wait_until(after(603));
    assert!(!site.has("a"));
}

#[test]
fn row_8_whoever_went_is_not_back_by_itself() {
    let mut site = two_instances();
    site.there(1, There::Refuses);
    site.say(0, left(instance("a", 1), Reason::Expired));
    site.wait(5.0);
    site.say(0, snapshot(1, &[instance("b", 2)], vec![ended(&instance("a", 1), Reason::Expired)]));
    site.say(0, left(instance("a", 1), Reason::Expired));
    assert!(!site.has("a"));
}

#[test]
fn row_9_listed_or_with_all_registries_away_it_stays_without_limit() {
    for is_away in [false, true] {
        let mut site = two_instances();
        if is_away {
            site.say(0, Said::Away);
        }
        site.there(1, There::IsSilent);
        site.meet("a", Signal::Silent);
        site.wait(2.0);
        assert_eq!((site.state("a"), site.takers("web").as_str()), ((State::Ejected, Why::Unanswered), "b"));
        site.wait(7200.0);
        assert_eq!(site.names(), "a! b");
        site.there(1, There::Answers);
        site.wait(5.0);
        assert_eq!(site.names(), "a b");
    }
}

#[test]
fn row_9_a_doubt_that_a_probe_settles_changes_nothing() {
    for signal in [Signal::Silent, Signal::Reset, Signal::Error] {
        let mut site = two_instances();
        site.turns.clear();
        site.meet("a", signal);
        assert!(site.fleet.view(&site.identity("a")).unwrap().is_doubted);
        site.wait(0.5);
        assert!(!site.fleet.view(&site.identity("a")).unwrap().is_doubted);
        assert_eq!((site.sent.len(), site.turns.len(), site.names().as_str()), (1, 0, "a b"));
    }
}

#[test]
fn row_10_listed_again_it_is_confirmed_and_the_same() {
    for (gone, _) in opinions() {
        let mut site = two_instances();
        let before = site.endpoint("a").key();
        site.requests("a", 3);
        site.say(0, gone);
        site.say(0, joined(instance("a", 1)));
        assert_eq!(site.state("a"), (State::Confirmed, Why::Listed));
        assert_eq!((site.endpoint("a").key(), site.endpoint("a").requests()), (before, 3));
        site.wait(60.0);
        assert_eq!((site.names().as_str(), site.fleet.next_deadline()), ("a b", None));
    }
}
