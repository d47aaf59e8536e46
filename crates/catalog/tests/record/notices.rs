//! The owner of a run hears through its link what others did to it, and only that.

use berth_catalog::{Notice, Word};

use super::*;

const LINK: LinkId = LinkId(7);

fn held() -> Record {
    let mut record = record_of(5);
    record.hold(run(5), LINK, START).unwrap();
    record
}

fn notice(word: Word) -> Option<Notice> {
    Some(Notice { links: vec![LINK], word })
}

#[test]
fn the_owner_hears_what_was_asked() {
    let patch = Patch { weight: Some(7), ..Patch::default() };
    let event = held().patch(&patch, START).unwrap().1.unwrap();
    assert_eq!(event.notice, notice(Word::Asked(patch)));
}

#[test]
fn the_owner_hears_of_a_removal() {
    let event = held().end(None, START).unwrap().unwrap();
    assert_eq!(event.notice, notice(Word::Ended(Reason::Removed)));
}

#[test]
fn the_owner_hears_that_a_higher_run_took_its_place() {
    let accepted = put(&mut held(), 6, 80, START).unwrap();
    assert_eq!(accepted.events[0].notice, notice(Word::Ended(Reason::Replaced)));
    assert_eq!(accepted.events[1].notice, None, "the new run has no link yet");
}

#[test]
fn the_owner_hears_that_its_lease_is_over() {
    let ended = notice(Word::Ended(Reason::Expired));
    assert_eq!(held().expire(START + TTL).unwrap().notice, ended);
    let again = put(&mut held(), 5, 80, START + TTL).unwrap();
    assert_eq!(again.events[0].notice, ended, "also when nobody ended it before it came back");
}

#[test]
fn the_owner_hears_through_every_link_that_is_open() {
    let mut record = record_of(5);
    record.hold(run(5), LinkId(6), START).unwrap();
    record.hold(run(5), LINK, START).unwrap();
    let event = record.patch(&drain(), START).unwrap().1.unwrap();
    assert_eq!(event.notice.unwrap().links, [LinkId(6), LINK]);
    record.lose(LinkId(6));
    let event = record.end(None, START).unwrap().unwrap();
    assert_eq!(event.notice, notice(Word::Ended(Reason::Removed)));
}

#[test]
fn the_owner_need_not_be_told_what_it_says_itself() {
    let mut record = held();
    let mut heavier = offer(Some(run(5)), 80);
    heavier.registration.weight = 7;
    let changed = register(&mut record, heavier, START).unwrap();
    let moved = put(&mut record, 5, 81, START).unwrap();
    let events: Vec<_> = changed.events.into_iter().chain(moved.events).collect();
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|event| event.notice.is_none()), "{events:?}");
}

#[test]
fn nobody_hears_a_crash_because_the_link_is_lost() {
    let mut record = held();
    let suspect = record.lose(LINK).unwrap();
    assert_eq!(record.patch(&drain(), START).unwrap().1.unwrap().notice, None);
    assert_eq!(record.outlived(run(6), suspect.address, START).unwrap().notice, None);
}

#[test]
fn nobody_hears_where_no_link_was_opened() {
    let mut record = record_of(5);
    assert_eq!(record.patch(&drain(), START).unwrap().1.unwrap().notice, None);
    assert_eq!(record.end(None, START).unwrap().unwrap().notice, None);
}

#[test]
fn the_owner_hears_what_was_asked_also_when_it_changes_nothing() {
    let mut record = held();
    let patch = Patch { weight: Some(1), ..Patch::default() };
    let (_, event, told) = record.patch(&patch, START).unwrap();
    assert_eq!((event, told), (None, notice(Word::Asked(patch))));
}
