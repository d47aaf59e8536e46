//! Who is chosen: the paragraph below the rows.

use berth_fleet::{Class, Tier};
use berth_model::Reason;
use berth_pick::Signal;

use super::site::{Site, There, changed, draining, instance, left, snapshot};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn five() -> Site {
    Site::of(&[1, 2, 3, 4, 5].map(|run| instance(NAMES[run as usize - 1], run)))
}

fn expire(site: &mut Site, run: u64) {
    site.say(0, left(instance(NAMES[run as usize - 1], run), Reason::Expired));
}

#[test]
fn confirmed_ones_only_unless_they_are_less_than_half() {
    let mut site = five();
    expire(&mut site, 1);
    expire(&mut site, 2);
    assert_eq!((site.fleet.tier("web"), site.takers("web").as_str()), (Tier::Confirmed, "c d e"));
    expire(&mut site, 3);
    assert_eq!((site.fleet.tier("web"), site.takers("web").as_str()), (Tier::Alike, "a b c d e"));
    // Half is enough: 2 of 4.
    let mut site = five();
    site.say(0, left(instance("e", 5), Reason::Removed));
    expire(&mut site, 1);
    expire(&mut site, 2);
    assert_eq!(site.takers("web"), "c d");
    assert!(site.fleet.tier("web").spares(Class::Unconfirmed));
}

#[test]
fn the_ejected_and_the_draining_do_not_count() {
    let mut site = five();
    for port in 1..=5 {
        site.there(port, There::Refuses);
    }
    site.meet("a", Signal::Refused);
    site.meet("b", Signal::Refused);
    site.say(0, changed(draining("c", 3)));
    expire(&mut site, 4);
    assert_eq!((site.fleet.tier("web"), site.takers("web").as_str()), (Tier::Confirmed, "e"));
}

#[test]
fn ejected_ones_are_tried_when_nobody_else_is_left() {
    let mut site = five();
    for name in NAMES {
        site.meet(name, Signal::Refused);
    }
    assert_eq!((site.fleet.tier("web"), site.takers("web").as_str()), (Tier::Ejected, "a b c d e"));
    site.say(0, changed(draining("a", 1)));
    site.say(0, left(instance("b", 2), Reason::Deregistered));
    assert_eq!(site.takers("web"), "c d e");
    site.wait(2.0);
    assert_eq!(site.takers("web"), "c d e");
    assert_eq!(site.fleet.tier("web"), Tier::Confirmed);
}

#[test]
fn nobody_at_all() {
    let mut site = Site::of(&[draining("a", 1)]);
    assert_eq!(site.takers("web"), "");
    site.say(0, snapshot(1, &[], vec![]));
    assert_eq!((site.takers("web").as_str(), site.takers("other").as_str()), ("", ""));
}

#[test]
fn a_registry_that_forgets_all_at_once_takes_nobody_away() {
    for said in [snapshot(1, &[], vec![]), snapshot(2, &[], vec![])] {
        let mut site = five();
        site.say(0, said);
        site.wait(1000.0);
        assert_eq!(site.takers("web"), "a b c d e");
    }
}
