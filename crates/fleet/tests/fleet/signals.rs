//! What traffic tells, and what it is told.

use berth_fleet::State;
use berth_model::Reason;
use berth_pick::{InFlight, Signal};

use super::site::{Site, There, instance, joined, left};

#[test]
fn whoever_leaves_a_probe_unanswered_is_given_up_until_it_answers() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    site.there(1, There::IsSilent);
    site.meet("a", Signal::Silent);
    site.wait(0.9);
    assert!(!site.endpoint("a").signals().is_given_up() && !site.fleet.take_given_up());
    site.wait(0.2);
    assert!(site.endpoint("a").signals().is_given_up());
    assert!(site.fleet.take_given_up() && !site.fleet.take_given_up(), "it is told once");
    site.there(1, There::Answers);
    site.wait(3.0);
    assert!(!site.endpoint("a").signals().is_given_up() && !site.fleet.take_given_up());
}

#[test]
fn a_slow_endpoint_that_answers_probes_is_left_alone() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    for _ in 0..100 {
        site.meet("a", Signal::Silent);
        site.wait(1.0);
    }
    assert_eq!((site.names().as_str(), site.fleet.take_given_up()), ("a b", false));
}

#[test]
fn whoever_goes_while_it_is_silent_is_given_up_as_well() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    let endpoint = site.endpoint("a");
    site.there(1, There::IsSilent);
    site.say(0, left(instance("a", 1), Reason::Expired));
    site.wait(20.0);
    assert!(!site.has("a") && endpoint.signals().is_given_up() && site.fleet.take_given_up());
}

#[test]
fn whoever_comes_back_is_not_given_up_and_is_heard() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    let endpoint = site.endpoint("a");
    // A request is under way all the time: the endpoint stays the same.
    let _request = InFlight::begin(&*endpoint);
    site.there(1, There::IsSilent);
    site.say(0, left(instance("a", 1), Reason::Expired));
    site.wait(20.0);
    assert!(!site.has("a"));
    // Somebody who has not heard yet that it is gone meets this.
    assert!(endpoint.signals().raise(Signal::Reset));
    site.fleet.signalled(site.now, endpoint.key());
    site.there(1, There::Answers);
    site.say(0, joined(instance("a", 1)));
    assert!(!endpoint.signals().is_given_up());
    site.meet("a", Signal::Refused);
    assert_eq!(site.state("a").0, State::Ejected);
}

#[test]
fn several_at_once_are_all_taken() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    let endpoint = site.endpoint("a");
    assert!(endpoint.signals().raise(Signal::Error));
    assert!(endpoint.signals().raise(Signal::Refused));
    assert!(!endpoint.signals().raise(Signal::Refused));
    site.fleet.signalled(site.now, endpoint.key());
    site.place();
    assert_eq!(site.names(), "a! b");
    site.fleet.signalled(site.now, 4711);
}

#[test]
fn nor_do_its_silences_count_once_something_has_failed() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2), instance("c", 3)]);
    for _ in 0..30 {
        site.errors("a", 1);
        site.requests("a", 9);
        for _ in 0..9 {
            site.meet("a", Signal::Silent);
        }
        site.wait(1.0);
        assert_eq!(site.names(), "a b c");
    }
    assert_eq!(site.endpoint("a").signals().failures(), 30);
}
