use berth_model::{Instance, Reason, Registration, Revision, Run};

use super::*;

fn instance(service: &str, host: &str, change: impl FnOnce(&mut Registration)) -> Instance {
    let mut registration = Registration::of_port(3000);
    change(&mut registration);
    let (service, id) = (service.parse().unwrap(), "a".parse().unwrap());
    registration.into_instance(service, id, Run::new(1, 1), host.parse().unwrap())
}

fn filter(service: Option<&str>, registry_is_here: bool) -> Filter {
    let mut filter =
        Filter::new(service.map(|service| service.parse().unwrap()), &RegistryAddress::default());
    filter.set_registry_is_here(registry_is_here);
    filter
}

#[test]
fn what_can_be_reached_passes() {
    let mut filter = filter(Some("web"), true);
    assert!(filter.admits(&instance("web", "127.0.0.1", |_| {})));
    assert!(filter.admits(&instance("api", "10.0.0.7", |it| it.routes = vec!["/api".into()])));
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
fn an_end_always_passes_and_what_cannot_be_reached_any_more_ends() {
    let mut filter = filter(None, false);
    let revision = Revision { epoch: 1, sequence: 1 };
    let unreachable = instance("web", "127.0.0.1", |_| {});
    let left = Change {
        revision,
        kind: ChangeKind::Left,
        instance: unreachable.clone(),
        reason: Some(Reason::Removed),
    };
    assert_eq!(filter.pass(left.clone()), left);
    let changed = Change { revision, kind: ChangeKind::Changed, instance: unreachable, reason: None };
    assert_eq!(filter.pass(changed.clone()), Change { kind: ChangeKind::Left, ..changed });
}
