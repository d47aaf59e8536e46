use berth_model::{Instance, Reason, Registration, Revision, Run};

use super::*;

fn instance(service: &str, host: &str, change: impl FnOnce(&mut Registration)) -> Instance {
    let mut registration = Registration::of_port(3000);
    change(&mut registration);
    let (service, id) = (service.parse().unwrap(), "a".parse().unwrap());
    registration.into_instance(service, id, Run::new(1, 1), host.parse().unwrap())
}

fn filter(query: Option<&str>, registry_is_here: bool) -> Filter {
    let mut filter = Filter::new(query.map(|query| query.parse().unwrap()), &RegistryAddress::default());
    filter.set_registry_is_here(registry_is_here);
    filter
}

#[test]
fn without_a_query_everybody_is_served_but_for_a_few() {
    let mut filter = filter(None, true);
    assert!(filter.admits(&instance("web", "127.0.0.1", |_| {})));
    assert!(filter.admits(&instance("api", "10.0.0.7", |_| {})));
    assert!(!filter.admits(&instance("_balancer", "127.0.0.1", |_| {})), "Berth's own");
    assert!(!filter.admits(&instance("web", "127.0.0.1", |it| it.routes = vec!["/api".into()])), "routes");
}

#[test]
fn with_a_query_only_what_matches() {
    let mut filter = filter(Some("web@1.x"), true);
    let version = |text: &'static str| move |it: &mut Registration| it.version = Some(text.parse().unwrap());
    assert!(filter.admits(&instance("web", "127.0.0.1", version("1.2.3"))));
    assert!(!filter.admits(&instance("web", "127.0.0.1", version("2.0.0"))));
    assert!(!filter.admits(&instance("web", "127.0.0.1", |_| {})), "no version");
    assert!(!filter.admits(&instance("api", "127.0.0.1", version("1.2.3"))));
    assert_eq!(filter.service(), Some("web".parse().unwrap()));
}

#[test]
fn the_loopback_of_another_machine_is_not_ours() {
    let mut filter = filter(None, false);
    assert!(!filter.admits(&instance("web", "127.0.0.1", |_| {})));
    assert!(!filter.admits(&instance("web", "::1", |_| {})));
    assert!(filter.admits(&instance("web", "10.0.0.7", |_| {})));
}

#[test]
fn an_end_always_passes_and_what_is_not_wanted_any_more_ends() {
    let mut filter = filter(Some("web@1.x"), true);
    let revision = Revision { epoch: 1, sequence: 1 };
    let unwanted = instance("web", "127.0.0.1", |it| it.version = Some("2.0.0".parse().unwrap()));
    let left = Change {
        revision,
        kind: ChangeKind::Left,
        instance: unwanted.clone(),
        reason: Some(Reason::Removed),
    };
    assert_eq!(filter.pass(left.clone()), left);
    let changed = Change { revision, kind: ChangeKind::Changed, instance: unwanted, reason: None };
    assert_eq!(filter.pass(changed.clone()), Change { kind: ChangeKind::Left, ..changed });
}
