use std::collections::BTreeSet;

use std::time::Duration;

use berth_client::Update;
use berth_model::{Change, ChangeKind, Ended, Instance, Reason, Revision, Run, Scheme, Snapshot, Ttl};

use super::{Gone, Members};

const START: Duration = Duration::from_secs(1000);

fn after(seconds: u64) -> Duration {
    START + Duration::from_secs(seconds)
}

/// A run of `web`; its number is its run and its port.
fn instance(id: &str, run: u64) -> Instance {
    Instance {
        service: "web".parse().unwrap(),
        id: id.parse().unwrap(),
        run: run.to_string().parse::<Run>().unwrap(),
        version: None,
        host: "127.0.0.1".parse().unwrap(),
        port: u16::try_from(run).unwrap(),
        scheme: Scheme::Http,
        weight: 1,
        zone: None,
        routes: Vec::new(),
        meta: berth_model::Meta::default(),
        ttl_s: Ttl::DEFAULT,
        draining: false,
    }
}

fn draining(id: &str, run: u64) -> Instance {
    Instance { draining: true, ..instance(id, run) }
}

fn ended(instance: &Instance, reason: Reason) -> Ended {
    Ended { service: instance.service.clone(), id: instance.id.clone(), run: instance.run, reason }
}

fn snapshot(epoch: u64, instances: &[Instance], ended: Vec<Ended>) -> Update {
    let revision = Revision { epoch, sequence: 1 };
    Update::Snapshot(Snapshot { revision, instances: instances.to_vec(), ended })
}

fn change(kind: ChangeKind, instance: Instance, reason: Option<Reason>) -> Update {
    Update::Change(Change { revision: Revision { epoch: 1, sequence: 2 }, kind, instance, reason })
}

fn joined(instance: Instance) -> Update {
    change(ChangeKind::Joined, instance, None)
}

fn left(instance: Instance, reason: Reason) -> Update {
    change(ChangeKind::Left, instance, Some(reason))
}

/// The members as `id`, with a `-` behind those that drain.
fn names(members: &Members) -> String {
    let name =
        |member: &super::Member| format!("{}{}", member.instance.id, if member.draining { "-" } else { "" });
    members.list().values().map(name).collect::<Vec<_>>().join(" ")
}

/// Two registries in their first epoch, with these.
fn two(first: &[Instance], second: &[Instance]) -> Members {
    let mut members = Members::new([0, 1]);
    assert!(members.apply(START, 0, snapshot(1, first, vec![])));
    assert!(members.apply(START, 1, snapshot(1, second, vec![])));
    members
}

#[test]
fn listed_by_any_is_a_member() {
    let members = two(&[instance("a", 1), instance("b", 2)], &[instance("b", 2), instance("c", 3)]);
    assert_eq!(names(&members), "a b c");
}

#[test]
fn a_source_that_was_dropped_says_nothing_any_more() {
    let mut members = two(&[instance("a", 1)], &[instance("b", 1)]);
    // A newer one may speak before it is wanted.
    assert!(members.apply(START, 2, snapshot(1, &[instance("c", 1)], vec![])));
    members.keep(&BTreeSet::from([0, 2]));
    assert_eq!(names(&members), "a c");
    assert!(!members.apply(START, 1, snapshot(1, &[instance("b", 1)], vec![])));
    assert_eq!(names(&members), "a c");
}

#[test]
fn the_registries_in_place_of_one_that_is_retired() {
    let mut members = two(&[instance("a", 1), instance("b", 2), instance("c", 3)], &[]);
    members.keep(&BTreeSet::from([0, 2]));
    assert!(!members.has_list(2));
    // Another registry, or the same after a new beginning: who lives may be about to register there.
    members.apply(
        START,
        2,
        snapshot(2, &[instance("a", 1)], vec![ended(&instance("c", 3), Reason::Removed)]),
    );
    assert!(members.has_list(2));
    members.retire(START, 0, [2].iter());
    assert_eq!(names(&members), "a b");
    members.expire(after(15));
    assert_eq!(names(&members), "a");
    // The same one, which has no doubts.
    members.apply(START, 3, snapshot(2, &[instance("d", 4)], vec![]));
    members.retire(START, 2, [3].iter());
    assert_eq!(names(&members), "d");
}

#[test]
fn an_intended_end_told_by_any_is_an_end() {
    for reason in [Reason::Deregistered, Reason::Removed, Reason::Replaced] {
        let both = [instance("a", 1), instance("b", 2)];
        let mut members = two(&both, &both);
        assert!(members.apply(START, 1, left(instance("a", 1), reason)));
        assert_eq!(names(&members), "b");
        assert_eq!(members.why_gone(&instance("a", 1).identity()), Gone::Ended(reason));
        // Also where it is told by a snapshot.
        assert!(members.apply(START, 0, snapshot(1, &both[..1], vec![ended(&both[1], reason)])));
        assert_eq!(names(&members), "");
    }
}

#[test]
fn an_opinion_of_one_does_not_outweigh_the_list_of_another() {
    for reason in [Reason::Crashed, Reason::Expired] {
        let mut members = two(&[instance("a", 1)], &[instance("a", 1)]);
        members.apply(START, 0, left(instance("a", 1), reason));
        assert_eq!(names(&members), "a");
        members.apply(START, 1, left(instance("a", 1), reason));
        assert_eq!(names(&members), "");
        assert_eq!(members.why_gone(&instance("a", 1).identity()), Gone::Ended(reason));
    }
}

#[test]
fn an_end_without_a_reason_is_an_opinion() {
    let mut members = two(&[instance("a", 1)], &[instance("a", 1)]);
    members.apply(START, 0, change(ChangeKind::Left, instance("a", 1), None));
    assert_eq!(names(&members), "a");
}

#[test]
fn an_end_concerns_one_run() {
    let mut members = two(&[instance("a", 1), instance("a", 2)], &[]);
    members.apply(START, 1, snapshot(1, &[], vec![ended(&instance("a", 1), Reason::Replaced)]));
    assert_eq!(members.list().keys().map(|identity| identity.port).collect::<Vec<_>>(), [2]);
}

#[test]
fn draining_in_any_wins() {
    let mut members = two(&[instance("a", 1), draining("b", 2)], &[draining("a", 1), instance("b", 2)]);
    assert_eq!(names(&members), "a- b-");
    members.apply(START, 1, change(ChangeKind::Changed, instance("a", 1), None));
    assert_eq!(names(&members), "a b-");
    members.apply(START, 0, change(ChangeKind::Changed, draining("a", 1), None));
    assert_eq!(names(&members), "a- b-");
}

#[test]
fn listed_again_by_the_registry_that_told_of_its_end() {
    let mut members = two(&[instance("a", 1)], &[instance("a", 1)]);
    members.apply(START, 0, left(instance("a", 1), Reason::Removed));
    // The other one's list is older news, however often it comes.
    members.apply(START, 1, snapshot(1, &[instance("a", 1)], vec![]));
    members.apply(START, 1, change(ChangeKind::Changed, instance("a", 1), None));
    assert_eq!(names(&members), "");
    members.apply(START, 0, joined(instance("a", 1)));
    assert_eq!(names(&members), "a");
    // The same by a snapshot that still has its tombstone.
    members.apply(START, 0, left(instance("a", 1), Reason::Removed));
    assert_eq!(names(&members), "");
    let tombstone = vec![ended(&instance("a", 1), Reason::Removed)];
    members.apply(START, 0, snapshot(1, &[instance("a", 1)], tombstone));
    assert_eq!(names(&members), "a");
}

#[test]
fn a_new_address_of_the_same_run() {
    let moved = Instance { port: 9, ..instance("a", 1) };
    let mut members = two(&[instance("a", 1)], &[]);
    members.apply(START, 0, left(instance("a", 1), Reason::Replaced));
    members.apply(START, 0, joined(moved.clone()));
    assert_eq!(members.list().keys().map(|identity| identity.port).collect::<Vec<_>>(), [9]);
    let mut members = two(&[instance("a", 1)], &[]);
    members.apply(START, 0, snapshot(1, &[moved], vec![ended(&instance("a", 1), Reason::Replaced)]));
    assert_eq!(members.list().keys().map(|identity| identity.port).collect::<Vec<_>>(), [9]);
}

#[test]
fn absence_within_an_epoch_is_the_end() {
    let mut members = two(&[instance("a", 1), instance("b", 2)], &[instance("b", 2)]);
    members.apply(START, 0, snapshot(1, &[], vec![]));
    assert_eq!(names(&members), "b");
    assert_eq!(members.why_gone(&instance("a", 1).identity()), Gone::Absent);
    assert_eq!(members.next_deadline(), None);
}

#[test]
fn a_new_epoch_leaves_time_to_register_again() {
    let mut members = two(&[instance("a", 1), instance("b", 2), draining("c", 3)], &[]);
    members.apply(START, 0, snapshot(2, &[instance("a", 1)], vec![]));
    assert_eq!(names(&members), "a b c-");
    assert_eq!(members.next_deadline(), Some(after(15)));
    assert!(!members.expire(after(14)));
    assert_eq!(names(&members), "a b c-");
    // One of them comes back in time.
    members.apply(after(14), 0, joined(instance("b", 2)));
    assert!(members.expire(after(15)));
    assert_eq!(names(&members), "a b");
    assert_eq!((members.next_deadline(), members.expire(after(16))), (None, false));
}

#[test]
fn a_long_lease_has_as_long_to_come_back() {
    let long = Instance { ttl_s: Ttl::try_from(60.0).unwrap(), ..instance("a", 1) };
    let short = Instance { ttl_s: Ttl::try_from(2.0).unwrap(), ..instance("b", 2) };
    let mut members = two(&[long, short], &[]);
    members.apply(START, 0, snapshot(2, &[], vec![]));
    assert_eq!(members.next_deadline(), Some(after(15)));
    members.expire(after(15));
    assert_eq!((names(&members).as_str(), members.next_deadline()), ("a", Some(after(60))));
    members.expire(after(60));
    assert_eq!(names(&members), "");
}

#[test]
fn what_is_held_is_not_held_against_its_owner() {
    let mut members = two(&[instance("a", 1), instance("b", 2), instance("c", 3)], &[]);
    let tombstone = vec![ended(&instance("a", 1), Reason::Deregistered)];
    members.apply(START, 0, snapshot(2, &[], tombstone));
    assert_eq!(names(&members), "b c");
    members.apply(START, 0, left(instance("b", 2), Reason::Expired));
    assert_eq!(names(&members), "c");
    members.apply(START, 1, snapshot(1, &[], vec![ended(&instance("c", 3), Reason::Removed)]));
    assert_eq!(names(&members), "");
}

#[test]
fn another_snapshot_or_epoch_does_not_extend_the_grace() {
    let mut members = two(&[instance("a", 1)], &[]);
    members.apply(START, 0, snapshot(2, &[], vec![]));
    members.apply(after(5), 0, snapshot(2, &[], vec![]));
    assert_eq!(names(&members), "a");
    members.apply(after(10), 0, snapshot(3, &[], vec![]));
    assert_eq!((names(&members).as_str(), members.next_deadline()), ("a", Some(after(15))));
}

#[test]
fn a_source_that_is_away_changes_nothing() {
    let mut members = two(&[instance("a", 1)], &[]);
    assert!(!members.apply(START, 0, Update::Away { why: "refused".into() }));
    assert_eq!(names(&members), "a");
    assert!(!members.expire(after(100_000)));
    assert_eq!(names(&members), "a");
    // It was the same registry all the time, and it has forgotten the instance.
    members.apply(after(100_000), 0, snapshot(1, &[], vec![]));
    assert_eq!(names(&members), "");
}

#[test]
fn ends_are_forgotten_in_time() {
    let mut members = two(&[instance("a", 1)], &[instance("a", 1)]);
    members.apply(START, 0, left(instance("a", 1), Reason::Removed));
    assert_eq!((members.next_deadline(), names(&members).as_str()), (Some(after(600)), ""));
    assert!(!members.expire(after(599)));
    assert!(members.expire(after(600)));
    assert_eq!((members.next_deadline(), names(&members).as_str()), (None, "a"));
}

#[test]
fn reasons_are_told_once() {
    let mut members = two(&[instance("a", 1)], &[]);
    members.apply(START, 0, left(instance("a", 1), Reason::Crashed));
    assert_eq!(members.why_gone(&instance("a", 1).identity()).as_str(), "crashed");
    members.forget_last_words();
    assert_eq!(members.why_gone(&instance("a", 1).identity()).as_str(), "absent");
}
