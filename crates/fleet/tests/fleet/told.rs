//! Every change of state is told, with its reason.

use berth_fleet::{Said, State, Turn, Why};
use berth_model::Reason;
use berth_pick::Signal;

use super::site::{Site, There, changed, draining, instance, joined, left, snapshot};

/// The turns of `a` since the last time, as `from>to why`.
fn told(site: &mut Site) -> Vec<String> {
    let name = |state: Option<State>| state.map_or("none", State::as_str);
    let one = |turn: Turn| format!("{}>{} {}", name(turn.from), name(turn.to), turn.why.as_str());
    let all = std::mem::take(&mut site.turns);
    all.into_iter().filter(|turn| turn.identity.id.as_str() == "a").map(one).collect()
}

#[test]
fn a_life() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    assert_eq!(told(&mut site), ["none>confirmed listed"]);
    site.meet("a", Signal::Refused);
    assert_eq!(told(&mut site), ["confirmed>ejected refused"]);
    site.wait(3.0);
    assert_eq!(told(&mut site), ["ejected>confirmed listed"]);
    site.say(0, changed(draining("a", 1)));
    assert_eq!(told(&mut site), ["confirmed>draining draining"]);
    site.say(0, changed(instance("a", 1)));
    assert_eq!(told(&mut site), ["draining>confirmed listed"]);
    site.errors("a", 9);
    site.wait(0.5);
    assert_eq!(told(&mut site), ["confirmed>ejected failures"]);
    site.wait(10.0);
    assert_eq!(told(&mut site), ["ejected>confirmed listed"]);
    site.say(0, left(instance("a", 1), Reason::Crashed));
    assert_eq!(told(&mut site), ["confirmed>ejected crashed"]);
    site.wait(0.5);
    assert_eq!(told(&mut site), ["ejected>unconfirmed crashed"]);
    site.say(0, joined(instance("a", 1)));
    assert_eq!(told(&mut site), ["unconfirmed>confirmed listed"]);
    site.say(0, left(instance("a", 1), Reason::Expired));
    assert_eq!(told(&mut site), ["confirmed>unconfirmed expired"]);
    site.there(1, There::IsSilent);
    site.wait(4.0);
    assert_eq!(told(&mut site), ["unconfirmed>ejected unanswered"]);
    site.wait(10.0);
    assert_eq!(told(&mut site), ["ejected>none never_answered"]);
    site.say(0, joined(instance("a", 1)));
    assert_eq!(told(&mut site), ["none>confirmed listed"]);
    site.say(0, left(instance("a", 1), Reason::Replaced));
    assert_eq!(told(&mut site), ["confirmed>none replaced"]);
}

#[test]
fn what_is_said_again_is_not_told_again() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    site.meet("a", Signal::Refused);
    site.there(1, There::Refuses);
    told(&mut site);
    site.wait(600.0);
    site.meet("a", Signal::Refused);
    site.say(0, snapshot(1, &[instance("a", 1), instance("b", 2)], vec![]));
    site.say(0, Said::Away);
    assert_eq!(told(&mut site), Vec::<String>::new());
}

#[test]
fn a_view_shows_since_when_and_the_last_probe() {
    let mut site = Site::of(&[instance("a", 1), instance("b", 2)]);
    site.wait(10.0);
    let refused_at = site.now;
    site.there(1, There::Refuses);
    site.meet("a", Signal::Refused);
    site.wait(60.0);
    let view = site.fleet.view(&site.identity("a")).unwrap();
    assert_eq!((view.state, view.why, view.since), (State::Ejected, Why::Refused, refused_at));
    let (at, probed) = view.last_probe.unwrap();
    assert!(at > refused_at && probed == berth_fleet::Probed::Refused);
    assert_eq!(site.fleet.view(&site.identity("b")).unwrap().last_probe, None);
}
