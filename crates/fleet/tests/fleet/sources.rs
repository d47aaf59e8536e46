//! What sources say, united.

use berth_fleet::{Said, Why};
use berth_model::{ChangeKind, Instance, Reason, Ttl};

use super::site::{
    Site, There, after, change, changed, draining, ended, fixed, instance, joined, left, snapshot,
};

const INTENTS: [Reason; 3] = [Reason::Deregistered, Reason::Removed, Reason::Replaced];

#[test]
fn listed_by_any_is_a_member() {
    let site = Site::two(&[instance("a", 1), instance("b", 2)], &[instance("b", 2), instance("c", 3)]);
    assert_eq!(site.names(), "a b c");
}

#[test]
fn a_source_that_was_dropped_says_nothing_any_more() {
    let mut site = Site::two(&[instance("a", 1)], &[instance("b", 2)]);
    // A newer one may speak before it is wanted.
    site.say(2, snapshot(1, &[instance("c", 3)], vec![]));
    site.keep(&[0, 2]);
    assert_eq!(site.names(), "a c");
    assert_eq!(site.why_gone("b"), Some(Why::Withdrawn));
    site.say(1, snapshot(1, &[instance("b", 2)], vec![]));
    assert_eq!(site.names(), "a c");
}

#[test]
fn the_registries_in_place_of_one_that_is_retired() {
    let mut site = Site::two(&[instance("a", 1), instance("b", 2), instance("c", 3)], &[]);
    site.keep(&[0, 2]);
    assert!(!site.fleet.has_list(2));
    // Another registry, or the same after a new beginning: who lives may be about to register there.
    site.say(2, snapshot(2, &[instance("a", 1)], vec![ended(&instance("c", 3), Reason::Removed)]));
    assert!(site.fleet.has_list(2));
    site.retire(0, &[2]);
    assert_eq!(site.names(), "a b");
    site.wait_until(after(14));
    assert_eq!(site.names(), "a b");
    site.wait_until(after(15));
    assert_eq!(site.names(), "a b?");
    // The same one, which has no doubts.
    site.keep(&[2, 3]);
    site.say(3, snapshot(2, &[instance("d", 4)], vec![]));
    site.retire(2, &[3]);
    assert!(site.has("d") && !site.has("a"), "{}", site.names());
}

#[test]
fn whoever_was_remembered_for_a_registry_that_is_retired_has_time_to_register() {
    let mut site = Site::new(&[0]);
    site.remember(0, Some(1), &[instance("a", 1)]);
    site.wait(1.0);
    site.keep(&[0, 1]);
    site.say(1, snapshot(2, &[instance("b", 2)], vec![]));
    site.retire(0, &[1]);
    assert_eq!(site.names(), "a? b");
}

#[test]
fn an_intended_end_told_by_any_is_an_end() {
    for reason in INTENTS {
        let both = [instance("a", 1), instance("b", 2)];
        let mut site = Site::two(&both, &both);
        site.say(1, left(instance("a", 1), reason));
        assert_eq!((site.names().as_str(), site.why_gone("a")), ("b", Some(Why::Ended(reason))));
        // Also where it is told by a snapshot.
        site.say(0, snapshot(1, &both[..1], vec![ended(&both[1], reason)]));
        assert_eq!((site.names().as_str(), site.why_gone("b")), ("", Some(Why::Ended(reason))));
    }
}

#[test]
fn an_opinion_of_one_does_not_outweigh_the_list_of_another() {
    for reason in [Reason::Crashed, Reason::Expired] {
        let mut site = Site::two(&[instance("a", 1)], &[instance("a", 1)]);
        site.say(0, left(instance("a", 1), reason));
        assert_eq!(site.names(), "a");
        site.say(1, left(instance("a", 1), reason));
        assert_ne!(site.names(), "a");
    }
}

#[test]
fn an_end_without_a_reason_is_no_end_elsewhere() {
    let mut site = Site::two(&[instance("a", 1)], &[instance("a", 1)]);
    site.say(0, change(ChangeKind::Left, instance("a", 1), None));
    assert_eq!(site.names(), "a");
    site.say(1, change(ChangeKind::Left, instance("a", 1), None));
    assert_eq!((site.names().as_str(), site.why_gone("a")), ("", Some(Why::Withdrawn)));
}

#[test]
fn an_end_concerns_one_run() {
    let mut site = Site::two(&[instance("a", 1), instance("a", 2)], &[]);
    site.say(1, snapshot(1, &[], vec![ended(&instance("a", 1), Reason::Replaced)]));
    assert_eq!(site.fleet.identities().map(|it| it.port).collect::<Vec<_>>(), [2]);
}

#[test]
fn draining_in_any_wins() {
    let mut site = Site::two(&[instance("a", 1), draining("b", 2)], &[draining("a", 1), instance("b", 2)]);
    assert_eq!(site.names(), "a- b-");
    site.say(1, changed(instance("a", 1)));
    assert_eq!(site.names(), "a b-");
    site.say(0, changed(draining("a", 1)));
    assert_eq!(site.names(), "a- b-");
}

#[test]
fn listed_again_by_the_registry_that_told_of_its_end() {
    let mut site = Site::two(&[instance("a", 1)], &[instance("a", 1)]);
    site.say(0, left(instance("a", 1), Reason::Removed));
    // The other one's list is older news, however often it comes.
    site.say(1, snapshot(1, &[instance("a", 1)], vec![]));
    site.say(1, changed(instance("a", 1)));
    assert_eq!(site.names(), "");
    site.say(0, joined(instance("a", 1)));
    assert_eq!(site.names(), "a");
    // The same by a snapshot that still has its tombstone.
    site.say(0, left(instance("a", 1), Reason::Removed));
    assert_eq!(site.names(), "");
    let tombstone = vec![ended(&instance("a", 1), Reason::Removed)];
    site.say(0, snapshot(1, &[instance("a", 1)], tombstone));
    assert_eq!(site.names(), "a");
}

#[test]
fn a_new_address_of_the_same_run() {
    let moved = Instance { port: 9, ..instance("a", 1) };
    let ports = |site: &Site| site.fleet.identities().map(|it| it.port).collect::<Vec<_>>();
    let mut site = Site::of(&[instance("a", 1)]);
    site.say(0, left(instance("a", 1), Reason::Replaced));
    site.say(0, joined(moved.clone()));
    assert_eq!(ports(&site), [9]);
    let mut site = Site::of(&[instance("a", 1)]);
    site.say(0, snapshot(1, std::slice::from_ref(&moved), vec![ended(&instance("a", 1), Reason::Replaced)]));
    assert_eq!((ports(&site), site.why_gone("a")), (vec![9], Some(Why::Ended(Reason::Replaced))));
    // A snapshot may know nothing of the end, and still nobody is in two places.
    let mut site = Site::of(&[instance("a", 1)]);
    site.say(0, snapshot(1, &[moved], vec![]));
    assert_eq!(ports(&site), [9]);
}

#[test]
fn a_place_that_was_left_is_not_taken_up_again_by_older_news() {
    let (old, moved) = (instance("a", 1), Instance { port: 9, ..instance("a", 1) });
    let old_only = std::slice::from_ref(&old);
    let ports = |site: &Site| site.fleet.identities().map(|it| it.port).collect::<Vec<_>>();
    let mut site = Site::two(old_only, old_only);
    site.say(0, left(old.clone(), Reason::Replaced));
    site.say(0, joined(moved.clone()));
    site.say(1, snapshot(1, old_only, vec![]));
    assert_eq!(ports(&site), [9]);
    // The same where it was told by a snapshot.
    let mut site = Site::two(old_only, old_only);
    site.say(0, snapshot(1, &[moved], vec![]));
    site.say(1, changed(old.clone()));
    assert_eq!(ports(&site), [9]);
    // It moves back.
    site.say(0, snapshot(1, old_only, vec![]));
    assert_eq!(ports(&site), [1]);
}

#[test]
fn a_run_that_comes_back_elsewhere_is_nowhere_else() {
    let (old, moved) = (instance("a", 1), Instance { port: 9, ..instance("a", 1) });
    let old_only = std::slice::from_ref(&old);
    let ports = |site: &Site| site.fleet.identities().map(|it| it.port).collect::<Vec<_>>();
    // Its old place was held for it after a new epoch.
    let mut site = Site::of(old_only);
    site.say(0, snapshot(2, &[], vec![]));
    assert_eq!(ports(&site), [1]);
    site.say(0, joined(moved.clone()));
    assert_eq!((ports(&site), site.why_gone("a")), (vec![9], Some(Why::Ended(Reason::Replaced))));
    // Its end was told, and another registry has not heard of it.
    let mut site = Site::two(&[], old_only);
    site.say(0, snapshot(1, &[], vec![ended(&old, Reason::Removed)]));
    site.say(0, joined(moved));
    site.say(1, changed(old.clone()));
    assert_eq!(ports(&site), [9]);
}

#[test]
fn absence_within_an_epoch_is_an_opinion() {
    let mut site = Site::two(&[instance("a", 1), instance("b", 2)], &[instance("b", 2)]);
    site.say(0, snapshot(1, &[], vec![]));
    assert_eq!((site.names().as_str(), site.state("a").1), ("a? b", Why::Absent));
}

#[test]
fn a_server_that_is_not_named_any_more_is_gone() {
    let mut site = Site::new(&[100]);
    site.say(100, snapshot(0, &[fixed("a", 1), fixed("b", 2)], vec![]));
    site.say(100, snapshot(0, &[fixed("b", 2)], vec![]));
    assert_eq!((site.names().as_str(), site.why_gone("a")), ("b", Some(Why::Withdrawn)));
}

#[test]
fn a_server_that_is_named_once_more_has_to_be_placed_again() {
    let mut site = Site::new(&[100, 101]);
    site.say(100, snapshot(0, &[fixed("a", 1)], vec![]));
    site.changed.clear();
    // Which backends it is in depends on who names it.
    site.say(101, snapshot(0, &[fixed("a", 1)], vec![]));
    assert!(site.changed.contains("a"));
    site.changed.clear();
    site.keep(&[101]);
    assert!(site.changed.contains("a"));
    let identity = site.identity("a");
    assert_eq!(site.fleet.listing(&identity).collect::<Vec<_>>(), [101]);
}

#[test]
fn a_new_epoch_leaves_time_to_register_again() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2), draining("c", 3)]);
    site.say(0, snapshot(2, &[instance("a", 1)], vec![]));
    assert_eq!((site.names().as_str(), site.fleet.next_deadline()), ("a b c-", Some(after(15))));
    site.wait_until(after(14));
    assert_eq!(site.names(), "a b c-");
    // One of them comes back in time.
    site.say(0, joined(instance("b", 2)));
    site.there(3, There::Refuses);
    site.wait_until(after(16));
    assert_eq!((site.names().as_str(), site.fleet.next_deadline()), ("a b", None));
}

#[test]
fn a_long_lease_has_as_long_to_come_back() {
    let long = Instance { ttl_s: Ttl::try_from(60.0).unwrap(), ..instance("a", 1) };
    let short = Instance { ttl_s: Ttl::try_from(2.0).unwrap(), ..instance("b", 2) };
    let mut site = Site::of(&[long, short]);
    site.say(0, snapshot(2, &[], vec![]));
    site.wait_until(after(14));
    assert_eq!(site.names(), "a b");
    site.wait_until(after(15));
    assert_eq!(site.names(), "a b?");
    site.wait_until(after(59));
    assert_eq!(site.names(), "a b?");
    site.wait_until(after(60));
    assert_eq!(site.names(), "a? b?");
}

#[test]
fn what_is_held_is_not_held_against_its_owner() {
    let mut site = Site::two(&[instance("a", 1), instance("b", 2), instance("c", 3)], &[]);
    site.say(0, snapshot(2, &[], vec![ended(&instance("a", 1), Reason::Deregistered)]));
    assert_eq!(site.names(), "b c");
    site.say(0, left(instance("b", 2), Reason::Expired));
    assert_eq!(site.names(), "b? c");
    site.say(1, snapshot(1, &[], vec![ended(&instance("c", 3), Reason::Removed)]));
    assert_eq!(site.names(), "b?");
}

#[test]
fn another_snapshot_does_not_extend_the_grace_but_another_epoch_does() {
    let mut site = Site::of(&[instance("a", 1)]);
    site.say(0, snapshot(2, &[], vec![]));
    site.wait_until(after(5));
    site.say(0, snapshot(2, &[], vec![]));
    assert_eq!(site.names(), "a");
    site.wait_until(after(10));
    site.say(0, snapshot(3, &[], vec![]));
    site.wait_until(after(24));
    assert_eq!(site.names(), "a");
    site.say(0, snapshot(3, &[], vec![]));
    site.wait_until(after(25));
    assert_eq!(site.names(), "a?");
}

#[test]
fn a_source_that_is_away_changes_nothing() {
    let mut site = Site::of(&[instance("a", 1)]);
    site.say(0, Said::Away);
    site.wait_until(after(100_000));
    assert_eq!((site.names().as_str(), site.sent.len()), ("a", 0));
    // It was the same registry all the time, and it has forgotten the instance.
    site.say(0, snapshot(1, &[], vec![]));
    assert_eq!(site.names(), "a?");
}

#[test]
fn ends_are_forgotten_in_time() {
    let mut site = Site::two(&[instance("a", 1)], &[instance("a", 1)]);
    site.say(0, left(instance("a", 1), Reason::Removed));
    site.wait_until(after(599));
    assert_eq!(site.names(), "");
    site.wait_until(after(661));
    // The other one lists it.
    assert_eq!((site.names().as_str(), site.fleet.next_deadline()), ("a", None));
}

#[test]
fn whoever_can_be_heard_knows_better_than_whoever_is_away() {
    let mut site = Site::two(&[instance("a", 1)], &[instance("a", 1)]);
    site.say(0, Said::Away);
    site.say(1, changed(Instance { weight: 7, ..instance("a", 1) }));
    let identity = site.identity("a");
    assert_eq!(site.fleet.member(&identity).unwrap().instance.weight, 7);
}
