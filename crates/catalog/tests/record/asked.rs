//! What an operator asked of a run holds until its owner has said the same.

use std::collections::BTreeMap;

use super::*;

const LINK: LinkId = LinkId(7);

/// The owner of run 5 says these.
fn say(record: &mut Record, weight: u16, draining: bool, now: Duration) -> Accepted {
    let mut offer = offer(Some(run(5)), 80);
    offer.registration.weight = weight;
    offer.registration.draining = draining;
    register(record, offer, now).unwrap()
}

fn drained() -> Record {
    let mut record = record_of(5);
    record.patch(&drain(), START).unwrap();
    record
}

fn meta(value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("colour".to_owned(), value.to_owned())])
}

#[test]
fn a_drain_survives_an_owner_that_says_otherwise() {
    let mut record = drained();
    for _ in 0..3 {
        let accepted = say(&mut record, 1, false, START);
        assert!(accepted.instance.draining && accepted.events.is_empty());
    }
}

#[test]
fn a_drain_is_the_owners_own_word_once_it_repeated_it() {
    let mut record = drained();
    assert!(say(&mut record, 1, true, START).events.is_empty(), "it is drained already");
    let undrained = say(&mut record, 1, false, START);
    assert!(!undrained.instance.draining);
    assert_eq!(told(&undrained.events), [(Changed, run(5), None)]);
}

#[test]
fn a_weight_holds_while_the_owners_other_words_count() {
    let mut record = record_of(5);
    record.patch(&Patch { weight: Some(7), ..Patch::default() }, START).unwrap();
    let accepted = say(&mut record, 2, true, START);
    assert_eq!((accepted.instance.weight, accepted.instance.draining), (7, true));
    assert_eq!(say(&mut record, 7, false, START).instance.weight, 7);
    assert_eq!(say(&mut record, 2, false, START).instance.weight, 2);
}

#[test]
fn a_meta_holds_as_a_whole() {
    let mut record = record_of(5);
    record.patch(&Patch { meta: Some(meta("red")), ..Patch::default() }, START).unwrap();
    let mut said = |value| {
        let mut offer = offer(Some(run(5)), 80);
        offer.registration.meta = meta(value);
        BTreeMap::from(&register(&mut record, offer, START).unwrap().instance.meta)
    };
    assert_eq!(said("blue"), meta("red"));
    assert_eq!(said("red"), meta("red"));
    assert_eq!(said("blue"), meta("blue"));
}

#[test]
fn members_are_settled_one_by_one() {
    let mut record = drained();
    record.patch(&Patch { weight: Some(7), ..Patch::default() }, START).unwrap();
    say(&mut record, 7, false, START);
    assert_eq!(record.hold(run(5), LINK, START), Ok(Some(drain())), "the weight is settled");
    let accepted = say(&mut record, 2, false, START);
    assert_eq!((accepted.instance.weight, accepted.instance.draining), (2, true));
}

#[test]
fn a_later_wish_takes_the_place_of_an_earlier_one() {
    let mut record = drained();
    let undrain = Patch { draining: Some(false), ..Patch::default() };
    record.patch(&undrain, START).unwrap();
    assert_eq!(record.hold(run(5), LINK, START), Ok(Some(undrain)));
    assert!(!say(&mut record, 1, true, START).instance.draining);
    say(&mut record, 1, false, START);
    assert!(say(&mut record, 1, true, START).instance.draining);
}

#[test]
fn a_link_hears_at_once_what_is_pending_and_nothing_once_it_is_settled() {
    let mut record = drained();
    assert_eq!(record.hold(run(5), LINK, START), Ok(Some(drain())));
    assert_eq!(record.hold(run(5), LINK, START), Ok(Some(drain())), "hearing it is not saying it");
    say(&mut record, 1, true, START);
    assert_eq!(record.hold(run(5), LINK, START), Ok(None));
}

#[test]
fn a_wish_holds_through_a_dial_that_was_under_way() {
    let mut record = record_of(5);
    let mut moving = offer(Some(run(5)), 81);
    moving.registration.verify = Verify::Tcp;
    let Step::Dial(moving) = record.register(moving, Ticket(1), START).unwrap() else {
        panic!("not dialled")
    };
    record.patch(&drain(), START).unwrap();
    assert!(record.verified(*moving, Ticket(1), START).unwrap().instance.draining);
}

#[test]
fn a_wish_holds_over_an_expiry_of_the_same_run() {
    let mut record = drained();
    record.expire(START + TTL).unwrap();
    let back = START + TOMBSTONE_LIFE;
    assert!(say(&mut record, 1, false, back).instance.draining);
    assert_eq!(record.hold(run(5), LINK, back), Ok(Some(drain())));
}

#[test]
fn a_wish_holds_over_a_crash_of_the_same_run() {
    let mut record = drained();
    record.hold(run(5), LINK, START).unwrap();
    let suspect = record.lose(LINK).unwrap();
    record.outlived(run(6), suspect.address, START).unwrap();
    assert!(say(&mut record, 1, false, START).instance.draining);
}

#[test]
fn a_wish_is_forgotten_with_the_tombstone_of_its_run() {
    let mut record = drained();
    record.expire(START + TTL).unwrap();
    let late = START + TTL + TOMBSTONE_LIFE;
    assert!(!say(&mut record, 1, false, late).instance.draining);
}

#[test]
fn a_new_run_begins_anew() {
    let mut record = drained();
    assert!(!put(&mut record, 6, 80, START).unwrap().instance.draining);
    assert_eq!(record.hold(run(6), LINK, START), Ok(None));
}

#[test]
fn a_wish_that_changes_nothing_holds_all_the_same() {
    let mut record = record_of(5);
    assert!(say(&mut record, 1, true, START).instance.draining);
    assert_eq!(record.patch(&drain(), START).unwrap().1, None);
    assert!(say(&mut record, 1, false, START).instance.draining, "the owner has not heard of it");
    say(&mut record, 1, true, START);
    assert!(!say(&mut record, 1, false, START).instance.draining);
}
