//! One record: what each call does to runs, leases and tombstones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "record/asked.rs"]
mod asked;
#[path = "record/links.rs"]
mod links;
#[path = "record/notices.rs"]
mod notices;
#[path = "record/verifying.rs"]
mod verifying;

use std::net::SocketAddr;
use std::time::Duration;

use ChangeKind::{Changed, Joined, Left};
use berth_catalog::{Accepted, Event, LinkId, Offer, Record, Refusal, Step, TOMBSTONE_LIFE, Ticket};
use berth_model::{ChangeKind, Patch, Reason, Registration, Run, Verify};

const SECOND: Duration = Duration::from_secs(1);
const TTL: Duration = Duration::from_secs(15);
const START: Duration = Duration::from_secs(100);

fn run(number: u64) -> Run {
    number.to_string().parse().unwrap()
}

fn address(port: u16) -> SocketAddr {
    format!("10.0.0.7:{port}").parse().unwrap()
}

/// One that is published as it came.
fn offer(run: Option<Run>, port: u16) -> Offer {
    Offer {
        service: "web".parse().unwrap(),
        id: "a".parse().unwrap(),
        registration: Registration { run, verify: Verify::None, ..Registration::of_port(port) },
        host: address(port).ip(),
        fresh: self::run(1000),
    }
}

fn register(record: &mut Record, offer: Offer, now: Duration) -> Result<Accepted, Refusal> {
    match record.register(offer, Ticket(0), now)? {
        Step::Accepted(accepted) => Ok(accepted),
        Step::Dial(offer) => panic!("{offer:?} is to be dialled"),
    }
}

fn put(record: &mut Record, number: u64, port: u16, now: Duration) -> Result<Accepted, Refusal> {
    register(record, offer(Some(run(number)), port), now)
}

/// A record in which this run lives on port 80.
fn record_of(number: u64) -> Record {
    let mut record = Record::default();
    put(&mut record, number, 80, START).unwrap();
    record
}

fn drain() -> Patch {
    Patch { draining: Some(true), ..Patch::default() }
}

fn told(events: &[Event]) -> Vec<(ChangeKind, Run, Option<Reason>)> {
    events.iter().map(|event| (event.kind, event.instance.run, event.reason)).collect()
}

fn ended(record: &Record, now: Duration) -> Vec<(Run, Reason)> {
    record.ended(now).collect()
}

#[test]
fn a_lease_lives_exactly_its_ttl() {
    let mut record = record_of(5);
    assert_eq!(record.expire(START + TTL - Duration::from_nanos(1)), None);
    let renewed = START + 14 * SECOND;
    record.renew(run(5), renewed).unwrap();
    assert_eq!(record.deadline(), Some(renewed + TTL));
    assert_eq!(record.expire(renewed + TTL - Duration::from_nanos(1)), None);
    let event = record.expire(renewed + TTL).unwrap();
    assert_eq!(told(&[event]), [(Left, run(5), Some(Reason::Expired))]);
    assert_eq!(record.live(), None);
}

#[test]
fn a_lease_that_is_over_is_not_renewed_though_nobody_ended_it_yet() {
    let mut record = record_of(5);
    let over = START + TTL;
    assert_eq!(record.renew(run(5), over), Err(Refusal::Unknown));
    assert_eq!(record.patch(&drain(), over), Err(Refusal::Unknown));
    assert_eq!(record.hold(run(5), LinkId(1), over), Err(Refusal::Unknown));
    let again = put(&mut record, 5, 80, over).unwrap();
    assert_eq!(told(&again.events), [(Left, run(5), Some(Reason::Expired)), (Joined, run(5), None)]);
    assert!(ended(&record, over).is_empty(), "the run lives again");
}

#[test]
fn the_same_run_and_address_renews_without_an_event() {
    let mut record = Record::default();
    let first = put(&mut record, 5, 80, START).unwrap();
    assert!(first.joined);
    assert_eq!(told(&first.events), [(Joined, run(5), None)]);
    let again = put(&mut record, 5, 80, START + SECOND).unwrap();
    assert!(!again.joined && again.events.is_empty());
    assert_eq!(record.deadline(), Some(START + SECOND + TTL));
}

#[test]
fn the_same_run_may_say_something_new() {
    let mut record = record_of(5);
    let mut heavier = offer(Some(run(5)), 80);
    heavier.registration.weight = 7;
    let accepted = register(&mut record, heavier, START).unwrap();
    assert_eq!(told(&accepted.events), [(Changed, run(5), None)]);
    assert_eq!(accepted.events[0].instance.weight, 7);
}

#[test]
fn a_higher_run_replaces_and_the_old_one_is_gone() {
    let mut record = record_of(5);
    let newer = put(&mut record, 6, 81, START).unwrap();
    assert_eq!(told(&newer.events), [(Left, run(5), Some(Reason::Replaced)), (Joined, run(6), None)]);
    let gone = Refusal::Gone(Reason::Replaced);
    assert_eq!(record.renew(run(5), START), Err(gone));
    assert_eq!(record.end(Some(run(5)), START), Err(gone), "a slow stop does not remove the successor");
    assert_eq!(put(&mut record, 5, 80, START), Err(gone));
    assert_eq!(record.live().unwrap().run, run(6));
}

#[test]
fn a_lower_run_is_refused_while_the_higher_lives() {
    let mut record = record_of(6);
    assert_eq!(put(&mut record, 5, 81, START), Err(Refusal::Superseded { live: run(6) }));
    let over = START + TTL;
    let accepted = put(&mut record, 5, 81, over).unwrap();
    assert_eq!(told(&accepted.events), [(Left, run(6), Some(Reason::Expired)), (Joined, run(5), None)]);
}

#[test]
fn a_new_address_is_a_new_life() {
    let mut record = record_of(5);
    let moved = put(&mut record, 5, 81, START).unwrap();
    assert_eq!(told(&moved.events), [(Left, run(5), Some(Reason::Replaced)), (Joined, run(5), None)]);
    assert_eq!((moved.events[0].instance.port, moved.events[1].instance.port), (80, 81));
    assert!(ended(&record, START).is_empty(), "a stone would tell readers that the living run ended");
    record.renew(run(5), START).unwrap();
}

#[test]
fn without_a_run_the_address_decides() {
    let mut record = Record::default();
    let first = register(&mut record, offer(None, 80), START).unwrap();
    assert_eq!(first.instance.run, run(1000));
    let again = register(&mut record, Offer { fresh: run(2000), ..offer(None, 80) }, START).unwrap();
    assert!(again.events.is_empty());
    assert_eq!(again.instance.run, run(1000));
    let moved = register(&mut record, Offer { fresh: run(3000), ..offer(None, 81) }, START).unwrap();
    assert_eq!(told(&moved.events), [(Left, run(1000), Some(Reason::Replaced)), (Joined, run(3000), None)]);
    // The wall clock went back.
    let back = register(&mut record, Offer { fresh: run(7), ..offer(None, 82) }, START).unwrap();
    assert_eq!(back.instance.run, run(3001));
}

#[test]
fn the_last_run_of_all_cannot_be_outrun() {
    let mut record = Record::default();
    put(&mut record, u64::MAX >> 1, 80, START).unwrap();
    let last = run(u64::MAX >> 1);
    assert_eq!(register(&mut record, offer(None, 81), START), Err(Refusal::Superseded { live: last }));
}

#[test]
fn an_owner_deregisters_and_an_operator_removes() {
    let mut record = record_of(5);
    assert_eq!(record.end(Some(run(4)), START), Err(Refusal::Unknown));
    let event = record.end(Some(run(5)), START).unwrap().unwrap();
    assert_eq!(told(&[event]), [(Left, run(5), Some(Reason::Deregistered))]);
    assert_eq!(record.end(Some(run(5)), START), Err(Refusal::Unknown));
    assert_eq!(record.renew(run(5), START), Err(Refusal::Unknown));

    put(&mut record, 6, 80, START).unwrap();
    let event = record.end(None, START).unwrap().unwrap();
    assert_eq!(told(&[event]), [(Left, run(6), Some(Reason::Removed))]);
    assert_eq!(record.end(None, START), Err(Refusal::Unknown));
    let gone = Refusal::Gone(Reason::Removed);
    assert_eq!(record.renew(run(6), START), Err(gone));
    assert_eq!(put(&mut record, 6, 80, START), Err(gone));
    assert_eq!(ended(&record, START), [(run(5), Reason::Deregistered), (run(6), Reason::Removed)]);
}

#[test]
fn tombstones_live_ten_minutes() {
    let mut record = record_of(5);
    record.end(None, START).unwrap();
    let last = START + TOMBSTONE_LIFE - Duration::from_nanos(1);
    assert_eq!(record.renew(run(5), last), Err(Refusal::Gone(Reason::Removed)));
    assert!(!record.is_empty());
    let over = START + TOMBSTONE_LIFE;
    assert_eq!(record.renew(run(5), over), Err(Refusal::Unknown));
    assert!(ended(&record, over).is_empty());
    record.expire(over);
    assert!(record.is_empty());
}

#[test]
fn an_owner_that_restarts_in_a_loop_costs_a_bounded_amount() {
    let mut record = Record::default();
    for number in 1..=1000 {
        put(&mut record, number, 80, START).unwrap();
    }
    let stones = ended(&record, START);
    assert_eq!(stones.len(), 64);
    assert_eq!(stones[63], (run(999), Reason::Replaced));
}

#[test]
fn a_patch_changes_the_live_run_once() {
    let mut record = Record::default();
    assert_eq!(record.patch(&drain(), START), Err(Refusal::Unknown));
    put(&mut record, 5, 80, START).unwrap();
    let (instance, event, _) = record.patch(&drain(), START + SECOND).unwrap();
    assert!(instance.draining);
    assert_eq!(told(&[event.unwrap()]), [(Changed, run(5), None)]);
    assert_eq!(record.patch(&drain(), START + SECOND).unwrap().1, None);
    assert_eq!(record.deadline(), Some(START + TTL), "an operator's change renews nothing");
}
