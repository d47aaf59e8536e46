//! An address is dialled before its run is published.

use berth_model::Verify;

use super::*;

/// One that is to be dialled first.
fn careful(number: u64, port: u16) -> Offer {
    let mut offer = offer(Some(run(number)), port);
    offer.registration.verify = Verify::Tcp;
    offer
}

fn dial(record: &mut Record, offer: Offer, ticket: u64, now: Duration) -> Offer {
    match record.register(offer, Ticket(ticket), now).unwrap() {
        Step::Dial(offer) => *offer,
        Step::Accepted(accepted) => panic!("{accepted:?} was not dialled"),
    }
}

#[test]
fn what_is_being_verified_is_not_published() {
    let mut record = Record::default();
    let offer = dial(&mut record, careful(5, 80), 1, START);
    assert_eq!((offer.address(), record.live()), (address(80), None));
    assert_eq!((record.deadline(), record.recheck()), (None, None), "no lease runs yet");
    assert_eq!(record.renew(run(5), START), Err(Refusal::Unknown));
    assert_eq!(record.hold(run(5), LinkId(1), START), Err(Refusal::Unknown));
    assert_eq!(record.patch(&drain(), START), Err(Refusal::Unknown));
    assert!(!record.is_empty(), "the dial is not forgotten");
}

#[test]
fn the_lease_runs_from_when_the_dial_was_accepted() {
    let mut record = Record::default();
    let offer = dial(&mut record, careful(5, 80), 1, START);
    let accepted = record.verified(offer, Ticket(1), START + SECOND).unwrap();
    assert!(accepted.joined);
    assert_eq!(told(&accepted.events), [(Joined, run(5), None)]);
    assert_eq!(record.live(), Some(&accepted.instance));
    assert_eq!(record.deadline(), Some(START + SECOND + TTL));
}

#[test]
fn an_older_run_ends_as_replaced_only_once_the_dial_was_accepted() {
    let mut record = record_of(5);
    let offer = dial(&mut record, careful(6, 81), 1, START);
    assert_eq!(record.live().unwrap().run, run(5));
    record.renew(run(5), START).unwrap();
    let accepted = record.verified(offer, Ticket(1), START).unwrap();
    assert_eq!(told(&accepted.events), [(Left, run(5), Some(Reason::Replaced)), (Joined, run(6), None)]);
}

#[test]
fn a_dial_that_fails_leaves_the_older_run_alone() {
    let mut record = record_of(5);
    let offer = dial(&mut record, careful(6, 81), 1, START);
    assert!(record.abandon(Ticket(1)));
    assert!(!record.abandon(Ticket(1)), "it is forgotten already");
    assert_eq!(record.verified(offer, Ticket(1), START), Err(Refusal::Unknown));
    assert_eq!(record.live().unwrap().run, run(5));
    assert!(ended(&record, START).is_empty());
}

#[test]
fn an_id_of_which_only_a_failed_dial_was_known_is_forgotten() {
    let mut record = Record::default();
    dial(&mut record, careful(5, 80), 1, START);
    record.abandon(Ticket(1));
    assert!(record.is_empty());
}

#[test]
fn the_same_run_and_address_is_not_dialled_again_while_it_lives() {
    let mut record = record_of(5);
    let last = START + TTL - Duration::from_nanos(1);
    let again = register(&mut record, careful(5, 80), last).unwrap();
    assert!(!again.joined && again.events.is_empty());
    let over = last + TTL;
    let offer = dial(&mut record, careful(5, 80), 1, over);
    let accepted = record.verified(offer, Ticket(1), over).unwrap();
    assert_eq!(told(&accepted.events), [(Left, run(5), Some(Reason::Expired)), (Joined, run(5), None)]);
}

#[test]
fn without_a_run_the_same_address_is_not_dialled_again_while_it_lives() {
    let mut record = Record::default();
    let curl = || Offer {
        registration: Registration { run: None, ..careful(5, 80).registration },
        ..careful(5, 80)
    };
    let offer = dial(&mut record, curl(), 1, START);
    let first = record.verified(offer, Ticket(1), START).unwrap();
    let again = register(&mut record, curl(), START).unwrap();
    assert_eq!(again.instance.run, first.instance.run);
    dial(&mut record, curl(), 2, START + TTL);
}

#[test]
fn a_live_run_that_moves_is_dialled_at_its_new_address() {
    let mut record = record_of(5);
    let offer = dial(&mut record, careful(5, 81), 1, START);
    assert_eq!(record.live().unwrap().port, 80);
    let accepted = record.verified(offer, Ticket(1), START).unwrap();
    assert_eq!(told(&accepted.events), [(Left, run(5), Some(Reason::Replaced)), (Joined, run(5), None)]);
    assert_eq!(record.live().unwrap().port, 81);
}

#[test]
fn a_run_that_was_deregistered_while_it_was_dialled_is_not_published() {
    let mut record = Record::default();
    let offer = dial(&mut record, careful(5, 80), 1, START);
    assert_eq!(record.end(Some(run(4)), START), Err(Refusal::Unknown), "another run withdraws nothing");
    assert_eq!(record.end(Some(run(5)), START), Ok(None));
    assert!(record.is_empty());
    assert_eq!(record.verified(offer, Ticket(1), START), Err(Refusal::Unknown));
    assert_eq!(record.live(), None);
}

#[test]
fn deregistering_withdraws_the_move_of_a_live_run_with_it() {
    let mut record = record_of(5);
    let offer = dial(&mut record, careful(5, 81), 1, START);
    let event = record.end(Some(run(5)), START).unwrap().unwrap();
    assert_eq!(told(&[event]), [(Left, run(5), Some(Reason::Deregistered))]);
    assert_eq!(record.verified(offer, Ticket(1), START), Err(Refusal::Unknown));
}

#[test]
fn removing_the_live_run_refuses_its_move_but_not_its_successor() {
    let mut record = record_of(5);
    let moved = dial(&mut record, careful(5, 81), 1, START);
    let successor = dial(&mut record, careful(6, 82), 2, START);
    record.end(None, START).unwrap();
    assert_eq!(record.verified(moved, Ticket(1), START), Err(Refusal::Gone(Reason::Removed)));
    assert!(record.verified(successor, Ticket(2), START).unwrap().joined);
}

#[test]
fn a_higher_run_that_was_registered_meanwhile_wins() {
    let mut record = Record::default();
    let lower = dial(&mut record, careful(5, 80), 1, START);
    let higher = dial(&mut record, careful(6, 80), 2, START);
    record.verified(higher, Ticket(2), START).unwrap();
    assert_eq!(record.verified(lower, Ticket(1), START), Err(Refusal::Superseded { live: run(6) }));
    assert_eq!(record.live().unwrap().run, run(6));
}

#[test]
fn two_dials_of_the_same_run_publish_it_once() {
    let mut record = Record::default();
    let first = dial(&mut record, careful(5, 80), 1, START);
    let second = dial(&mut record, careful(5, 80), 2, START);
    assert!(record.verified(second, Ticket(2), START).unwrap().joined);
    let late = record.verified(first, Ticket(1), START).unwrap();
    assert!(!late.joined && late.events.is_empty());
}

#[test]
fn a_refused_offer_is_not_dialled() {
    let mut record = record_of(6);
    let superseded = record.register(careful(5, 81), Ticket(1), START).unwrap_err();
    assert_eq!(superseded, Refusal::Superseded { live: run(6) });
    assert!(!record.abandon(Ticket(1)));
}
