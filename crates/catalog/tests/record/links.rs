//! The loss of a link makes a live run a suspect; its address tells the rest.

use berth_catalog::Suspect;

use super::*;

const FIRST: LinkId = LinkId(1);
const SECOND_LINK: LinkId = LinkId(2);

/// Registers run 5, whose address answers the dial.
fn put_dialled(record: &mut Record, port: u16, now: Duration) {
    let mut said = offer(Some(run(5)), port);
    said.registration.verify = Verify::Tcp;
    if let Step::Dial(said) = record.register(said, Ticket(1), now).unwrap() {
        record.verified(*said, Ticket(1), now).unwrap();
    }
}

/// Run 5 on port 80, held by the first link.
fn held() -> Record {
    let mut record = Record::default();
    put_dialled(&mut record, 80, START);
    assert_eq!(record.hold(run(5), FIRST, START), Ok(None));
    record
}

fn suspect() -> Suspect {
    Suspect { run: run(5), address: address(80), dialled: true }
}

#[test]
fn a_lost_link_and_a_refused_dial_back_are_a_crash() {
    let mut record = held();
    assert_eq!(record.suspect(), None);
    assert_eq!(record.lose(FIRST), Some(suspect()));
    assert_eq!(record.suspect(), Some(suspect()));
    let event = record.refused(suspect(), START + SECOND).unwrap();
    assert_eq!(told(&[event]), [(Left, run(5), Some(Reason::Crashed))]);
    assert_eq!(ended(&record, START + SECOND), [(run(5), Reason::Crashed)]);
    assert_eq!(record.renew(run(5), START + SECOND), Err(Refusal::Unknown), "it may register again");
}

#[test]
fn a_lost_link_alone_ends_nothing() {
    let mut record = held();
    record.lose(FIRST);
    record.renew(run(5), START + SECOND).unwrap();
    assert_eq!(record.expire(START + TTL), None);
    assert_eq!(record.live().unwrap().run, run(5));
}

#[test]
fn a_refusal_counts_for_nothing_once_a_link_holds_the_run_again() {
    let mut record = held();
    record.lose(FIRST);
    record.hold(run(5), SECOND_LINK, START).unwrap();
    assert_eq!((record.suspect(), record.refused(suspect(), START)), (None, None));
    assert_eq!(record.outlived(run(6), address(80), START), None);
}

#[test]
fn a_refusal_counts_for_nothing_after_the_suspect_was_replaced() {
    let mut record = held();
    record.lose(FIRST);
    put(&mut record, 6, 80, START).unwrap();
    record.hold(run(6), SECOND_LINK, START).unwrap();
    record.lose(SECOND_LINK);
    assert_eq!(record.refused(suspect(), START), None);
    assert_eq!(record.live().unwrap().run, run(6));
}

#[test]
fn a_refusal_of_the_old_address_counts_for_nothing_after_a_move() {
    let mut record = held();
    record.lose(FIRST);
    put(&mut record, 5, 81, START).unwrap();
    assert_eq!(record.refused(suspect(), START), None);
}

#[test]
fn the_loss_of_an_older_link_is_nothing_while_a_newer_one_holds() {
    let mut record = held();
    record.hold(run(5), SECOND_LINK, START).unwrap();
    assert_eq!((record.lose(FIRST), record.suspect()), (None, None));
    assert_eq!(record.lose(SECOND_LINK), Some(suspect()));
    assert_eq!(record.lose(SECOND_LINK), None, "it is lost once");
}

#[test]
fn the_loss_of_a_newer_link_is_nothing_while_an_older_one_holds() {
    let mut record = held();
    record.hold(run(5), SECOND_LINK, START).unwrap();
    assert_eq!((record.lose(SECOND_LINK), record.suspect()), (None, None));
    assert_eq!(record.lose(FIRST), Some(suspect()));
}

#[test]
fn a_refusal_of_an_address_that_was_never_reached_says_nothing() {
    let mut record = record_of(5);
    record.hold(run(5), FIRST, START).unwrap();
    let unreached = Suspect { dialled: false, ..suspect() };
    assert_eq!(record.lose(FIRST), Some(unreached));
    assert_eq!((record.refused(unreached, START), record.refused(suspect(), START)), (None, None));
    assert!(record.outlived(run(6), address(80), START).is_some(), "a later run there still tells");
}

#[test]
fn many_links_to_one_run_cost_a_bounded_amount() {
    let mut record = held();
    for link in 2..=100 {
        record.hold(run(5), LinkId(link), START).unwrap();
    }
    assert_eq!(record.patch(&drain(), START).unwrap().1.unwrap().notice.unwrap().links.len(), 8);
}

#[test]
fn a_link_holds_only_a_live_run() {
    let mut record = record_of(5);
    assert_eq!(record.hold(run(4), FIRST, START), Err(Refusal::Unknown));
    assert_eq!(record.lose(FIRST), None);
    assert_eq!(record.hold(run(5), FIRST, START + TTL), Err(Refusal::Unknown));
    record.end(None, START).unwrap();
    assert_eq!(record.hold(run(5), FIRST, START), Err(Refusal::Unknown));
    assert_eq!(record.reason_of(run(5), START), Some(Reason::Removed));
}

#[test]
fn only_a_later_run_at_its_address_outlives_a_suspect() {
    let mut record = held();
    assert_eq!(record.outlived(run(6), address(80), START), None, "its link is held");
    record.lose(FIRST);
    assert_eq!(record.outlived(run(4), address(80), START), None, "an earlier run");
    assert_eq!(record.outlived(run(5), address(80), START), None, "the very same number");
    assert_eq!(record.outlived(run(6), address(81), START), None, "another port");
    let event = record.outlived(run(6), address(80), START).unwrap();
    assert_eq!(told(&[event]), [(Left, run(5), Some(Reason::Crashed))]);
}

#[test]
fn a_run_that_never_had_a_link_is_not_outlived() {
    let mut record = record_of(5);
    assert_eq!(record.outlived(run(6), address(80), START), None);
}

#[test]
fn a_lease_ends_though_the_link_is_held_and_it_was_never_renewed() {
    let mut record = held();
    let event = record.expire(START + TTL).unwrap();
    assert_eq!(told(&[event]), [(Left, run(5), Some(Reason::Expired))]);
    assert_eq!(record.lose(FIRST), None);
}

#[test]
fn a_run_that_comes_back_has_no_link_until_it_is_named_again() {
    let mut record = held();
    record.expire(START + TTL).unwrap();
    put(&mut record, 5, 80, START + TTL).unwrap();
    assert_eq!(record.lose(FIRST), None);
    assert_eq!(record.suspect(), None);
}

#[test]
fn a_moved_run_keeps_its_link() {
    let mut record = held();
    put_dialled(&mut record, 81, START);
    assert_eq!(record.lose(FIRST), Some(Suspect { address: address(81), ..suspect() }));
}

#[test]
fn a_registration_of_the_same_life_keeps_its_link() {
    let mut record = held();
    put_dialled(&mut record, 80, START + SECOND);
    assert_eq!(record.lose(FIRST), Some(suspect()));
    put_dialled(&mut record, 80, START + SECOND);
    assert_eq!(record.suspect(), Some(suspect()), "a registration is no link");
}
