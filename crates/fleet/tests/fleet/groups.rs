//! Groups, and who changes them.

use berth_fleet::{Class, Tier};
use berth_model::Reason;
use berth_pick::Signal;

use super::site::{Site, There, group, instance, joined, left};

#[test]
fn each_group_has_its_own_tier() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2), instance("c", 3)]);
    site.regroup("a", vec![group("x"), group("y")]);
    site.regroup("b", vec![group("x")]);
    site.regroup("c", vec![group("y")]);
    site.there(2, There::Refuses);
    site.meet("b", Signal::Refused);
    site.say(0, left(instance("c", 3), Reason::Expired));
    site.say(0, left(instance("a", 1), Reason::Expired));
    assert_eq!((site.fleet.tier("x"), site.fleet.tier("y")), (Tier::Alike, Tier::Alike));
    assert_eq!((site.takers("x").as_str(), site.takers("y").as_str()), ("a", "a c"));
    site.say(0, joined(instance("a", 1)));
    assert_eq!((site.takers("x").as_str(), site.takers("y").as_str()), ("a", "a"));
}

#[test]
fn whoever_is_placed_elsewhere_takes_its_state_along() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    site.there(1, There::Refuses);
    site.meet("a", Signal::Refused);
    site.regroup("a", vec![group("other")]);
    assert_eq!((site.class("a"), site.fleet.tier("web")), (Class::Ejected, Tier::Confirmed));
    assert_eq!((site.takers("web").as_str(), site.takers("other").as_str()), ("b", "a"));
}

#[test]
fn who_is_needed_in_one_group_stays() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    site.regroup("a", vec![group("web"), group("other")]);
    site.say(0, left(instance("a", 1), Reason::Expired));
    site.wait(1000.0);
    assert_eq!((site.takers("web").as_str(), site.takers("other").as_str()), ("b", "a"));
}

#[test]
fn whose_class_or_instance_changes_is_told() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    site.changed.clear();
    site.meet("a", Signal::Refused);
    assert_eq!(site.changed.iter().collect::<Vec<_>>(), ["a"]);
    site.changed.clear();
    site.say(0, joined(berth_model::Instance { weight: 9, ..instance("b", 2) }));
    assert_eq!(site.changed.iter().collect::<Vec<_>>(), ["b"]);
    site.changed.clear();
    site.say(0, joined(berth_model::Instance { weight: 9, ..instance("b", 2) }));
    assert!(site.changed.is_empty(), "nothing is new");
}

#[test]
fn another_endpoint_in_the_place_of_the_same_run() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    let identity = site.identity("a");
    let before = site.endpoint("a");
    site.meet("a", Signal::Refused);
    let replacement = {
        let mut roster = berth_pick::Roster::default();
        for run in 50..60 {
            let _ = roster.endpoint(&instance("x", run).identity(), None, None);
        }
        roster.endpoint(&identity, None, None)
    };
    assert_ne!(before.key(), replacement.key());
    site.fleet.place(site.now, &identity, &replacement, vec![group("web")]);
    let orders = {
        site.now += std::time::Duration::from_secs(1);
        site.fleet.due(site.now, usize::MAX)
    };
    assert_eq!(orders.iter().map(|order| order.endpoint.key()).collect::<Vec<_>>(), [replacement.key()]);
    // The one that was is nobody.
    assert!(before.signals().raise(Signal::Refused));
    site.fleet.take_changed();
    site.fleet.signalled(site.now, before.key());
    assert!(site.fleet.take_changed().is_empty());
}
