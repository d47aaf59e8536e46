//! What was listed before the start.

use berth_fleet::{Class, Said, State, Why};
use berth_model::Reason;
use berth_pick::Signal;

use super::site::{Site, There, after, ended, instance, joined, left, snapshot};

/// A start while the one registry is away, which listed these in its epoch 1.
fn started(runs: &[(&str, u64)]) -> Site {
    let mut site = Site::new(&[0]);
    site.say(0, Said::Away);
    let listed: Vec<_> = runs.iter().map(|(id, run)| instance(id, *run)).collect();
    site.remember(0, Some(1), &listed);
    site
}

#[test]
fn they_take_requests_only_after_a_probe_was_answered() {
    let mut site = started(&[("a", 1), ("b", 2)]);
    assert_eq!(site.state("a"), (State::Unconfirmed, Why::Remembered));
    assert_eq!((site.class("a"), site.takers("web").as_str()), (Class::Barred, ""));
    site.there(2, There::IsSilent);
    site.wait(0.1);
    assert_eq!(site.state("a"), (State::Unconfirmed, Why::RememberedAnswers));
    assert_eq!(site.takers("web"), "a");
    site.wait(3600.0);
    assert_eq!((site.takers("web").as_str(), site.has("b")), ("a", true));
    // Asked as soon as it was read, and not any more once it has answered.
    assert_eq!(site.sent_since("a", after(0)), [0]);
}

#[test]
fn whoever_refuses_or_is_silent_takes_none_before_it_has_answered() {
    for there in [There::Refuses, There::IsSilent, There::LosesProbes] {
        let mut site = started(&[("a", 1)]);
        site.there(1, there);
        site.wait(60.0);
        assert_eq!(site.takers("web"), "", "{there:?}");
        site.there(1, There::Answers);
        site.wait(12.0);
        assert_eq!((site.takers("web").as_str(), site.state("a").0), ("a", State::Unconfirmed), "{there:?}");
    }
}

#[test]
fn whoever_refuses_after_it_has_answered_is_out() {
    let mut site = started(&[("a", 1), ("b", 2)]);
    site.wait(0.1);
    site.there(1, There::Refuses);
    site.meet("a", Signal::Refused);
    assert_eq!((site.state("a"), site.takers("web").as_str()), ((State::Ejected, Why::Refused), "b"));
    site.there(1, There::Answers);
    site.wait(5.0);
    assert_eq!((site.state("a").0, site.takers("web").as_str()), (State::Unconfirmed, "a b"));
}

#[test]
fn a_registry_that_lists_them_confirms_them() {
    let mut site = started(&[("a", 1), ("b", 2)]);
    site.say(0, snapshot(1, &[instance("a", 1)], vec![]));
    assert_eq!(site.state("a"), (State::Confirmed, Why::Listed));
    // The same registry has listed it and does not now: and it has never answered.
    assert_eq!((site.state("b"), site.class("b")), ((State::Ejected, Why::Remembered), Class::Barred));
    site.wait(1.0);
    assert_eq!(site.state("b"), (State::Unconfirmed, Why::Absent));
}

#[test]
fn not_listed_and_silent_they_go() {
    let mut site = started(&[("a", 1)]);
    site.there(1, There::IsSilent);
    site.say(0, snapshot(1, &[], vec![]));
    site.wait(29.0);
    assert_eq!((site.has("a"), site.takers("web").as_str()), (true, ""));
    site.wait(1.0);
    assert!(!site.has("a"));
}

#[test]
fn a_registry_with_a_new_epoch_has_time_to_list_them() {
    let mut site = started(&[("a", 1), ("b", 2)]);
    site.there(2, There::IsSilent);
    site.wait(1.0);
    site.say(0, snapshot(2, &[], vec![]));
    assert_eq!((site.takers("web").as_str(), site.names().as_str()), ("a", "a? b!"));
    site.wait(14.0);
    assert_eq!((site.takers("web").as_str(), site.names().as_str()), ("a", "a? b!"));
    site.wait(600.0);
    assert_eq!((site.takers("web").as_str(), site.names().as_str()), ("a", "a?"));
    site.say(0, joined(instance("a", 1)));
    assert_eq!(site.names(), "a");
}

#[test]
fn a_registry_that_tells_of_their_end_is_obeyed() {
    let mut site = started(&[("a", 1), ("b", 2)]);
    site.wait(1.0);
    let ends = vec![ended(&instance("a", 1), Reason::Replaced), ended(&instance("b", 2), Reason::Removed)];
    site.say(0, snapshot(2, &[], ends));
    assert_eq!(site.names(), "");
}

#[test]
fn a_memory_does_not_speak_against_a_registry() {
    let site = |reason| {
        let mut site = Site::new(&[0, 1]);
        site.say(1, snapshot(5, &[instance("a", 1), instance("b", 2)], vec![]));
        site.remember(0, Some(1), &[instance("a", 1)]);
        assert_eq!(site.names(), "a b");
        site.say(1, left(instance("a", 1), reason));
        site
    };
    assert_eq!(site(Reason::Expired).names(), "a? b");
    assert_eq!(site(Reason::Crashed).names(), "a! b");
    assert_eq!(site(Reason::Removed).names(), "b");
}

#[test]
fn they_make_way_for_a_later_run_at_their_address() {
    let mut site = Site::new(&[0, 1]);
    site.remember(0, Some(1), &[instance("a", 1)]);
    site.wait(1.0);
    let later = berth_model::Instance { port: 1, ..instance("c", 3) };
    site.say(1, snapshot(9, std::slice::from_ref(&later), vec![]));
    assert_eq!((site.names().as_str(), site.why_gone("a")), ("c", Some(Why::LaterRun)));
}

#[test]
fn what_a_source_has_said_since_is_not_overwritten() {
    let mut site = Site::of(&[instance("a", 1)]);
    site.remember(0, Some(1), &[instance("b", 2)]);
    assert_eq!(site.names(), "a");
    site.remember(7, Some(1), &[instance("b", 2)]);
    assert_eq!(site.names(), "a", "a source that nobody listens to");
}

#[test]
fn what_is_to_be_remembered() {
    let ids = |site: &Site, source| {
        let (epoch, listed) = site.fleet.list_of(source)?;
        let mut ids: Vec<_> = listed.iter().map(|it| it.id.to_string()).collect();
        ids.sort();
        Some((epoch, ids.join(" ")))
    };
    let mut site = started(&[("a", 1), ("b", 2)]);
    assert_eq!(ids(&site, 0), None, "it has said nothing");
    site.say(0, snapshot(2, &[instance("c", 3)], vec![]));
    assert_eq!(ids(&site, 0), Some((2, "a b c".to_owned())));
    site.there(1, There::Refuses);
    site.wait(20.0);
    assert_eq!(ids(&site, 0), Some((2, "c".to_owned())));
    assert_eq!(ids(&site, 1), None);
    assert_eq!((site.fleet.is_heard(0), site.fleet.is_heard(1)), (true, false));
    site.say(0, Said::Away);
    assert!(!site.fleet.is_heard(0));
    assert_eq!(ids(&site, 0), Some((2, "c".to_owned())));
}

#[test]
fn who_has_ended_is_not_to_be_remembered() {
    let mut site = started(&[("a", 1), ("b", 2), ("c", 3)]);
    let ends = vec![ended(&instance("a", 1), Reason::Removed), ended(&instance("b", 2), Reason::Crashed)];
    site.say(0, snapshot(2, &[], ends));
    let has_ended = |id, run| site.fleet.has_ended(&instance(id, run).identity());
    assert_eq!((has_ended("a", 1), has_ended("b", 2), has_ended("c", 3)), (true, false, false));
}
