use std::time::Duration;

use berth_fleet::Check;

use crate::config::{Options, StatePlace, settle};

use super::*;

fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = settle(&Options::default(), None, 1000).unwrap();
    change(&mut settings);
    settings
}

fn changed(change: impl FnOnce(&mut Settings)) -> Difference {
    Difference::between(&settings(|_| {}), &settings(change))
}

#[test]
fn the_same_is_no_difference() {
    assert_eq!(changed(|_| {}), Difference::default());
}

#[test]
fn what_changes_is_named() {
    let told = |change: fn(&mut Settings)| changed(change).changed.join("; ");
    assert_eq!(told(|it| it.listen = "127.0.0.1:1".parse().unwrap()), "listen: 127.0.0.1:1");
    assert_eq!(told(|it| it.registries.clear()), "registry: none");
    assert_eq!(told(|it| it.proxy.timeouts.answer = Duration::from_secs(1)), "timeout_answer changed");
    let limits = |it: &mut Settings| {
        it.proxy.per_client = Some(crate::config::PerClient { max_connections: Some(1), max_requests: None });
    };
    assert_eq!(told(limits), "per_client changed");
    assert_eq!(told(|it| it.routing.advertised_routes = false), "advertised_routes: false");
    assert_eq!(told(|it| it.routing.routes.clear()), "route /* removed");
    assert_eq!(told(|it| it.routing.routes[0].policy.add_prefix = Some("/x".into())), "route /* changed");
    assert_eq!(told(|it| it.routing.routes[0].policy.retry.attempts = 0), "route /* changed");
    let checked = |it: &mut Settings| it.routing.backends[0].health.check = Some(Check::default());
    assert_eq!(told(checked), "backend default changed");
    assert_eq!(
        told(|it| it.routing.backends[0].name = "other".into()),
        "backend other added; backend default removed; route /* changed"
    );
}

#[test]
fn a_place_in_the_list_is_no_difference() {
    let two = |first: &str, second: &str, leads_to: usize| {
        settings(|it| {
            let backend = it.routing.backends[0].clone();
            let named = |name: &str| crate::config::Backend { name: name.into(), ..backend.clone() };
            it.routing.backends = vec![named(first), named(second)];
            it.routing.routes[0].action =
                crate::config::Action::Forward(crate::config::Target::Backend(leads_to));
        })
    };
    assert_eq!(Difference::between(&two("a", "b", 0), &two("b", "a", 1)), Difference::default());
    let moved = Difference::between(&two("a", "b", 0), &two("a", "b", 1));
    assert_eq!(moved.changed, ["route /* changed"]);
}

#[test]
fn what_needs_a_restart_is_told() {
    let difference = changed(|it| {
        it.threads += 1;
        it.token = Some("t".into());
    });
    assert_eq!(difference.needs_restart, ["token", "threads"]);
    assert!(difference.changed.is_empty());
}

#[test]
fn the_usual_state_file_is_no_difference_whatever_its_name() {
    let of = |place: &StatePlace| settings(|it| it.state = place.clone());
    let (one, other) = (StatePlace::Usual(Some("/a/1.json".into())), StatePlace::Usual(None));
    let asked = StatePlace::Asked("/a/1.json".into());
    assert_eq!(Difference::between(&of(&one), &of(&other)), Difference::default());
    for (old, new) in [(&one, &asked), (&asked, &StatePlace::None), (&StatePlace::None, &one)] {
        let difference = Difference::between(&of(old), &of(new));
        assert_eq!((difference.needs_restart, difference.changed.len()), (vec!["state"], 0));
    }
}

#[test]
fn many_are_counted() {
    let difference = changed(|it| {
        let route = it.routing.routes[0].clone();
        it.routing.routes.extend((0..30).map(|number| {
            let mut route = route.clone();
            route.rule.path = format!("/{number}").parse().unwrap();
            route
        }));
    });
    assert_eq!(difference.changed, ["30 routes added"]);
}
