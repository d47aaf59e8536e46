//! Flags before the file before the defaults, and what the file need not say.

use std::time::Duration;

use berth_balancer::config::{Action, Upstream};
use berth_balancer::config::{Admin, Instances, Listen, Options, Target, Unsettled, settle};
use berth_client::RegistryAddress;

use super::{read, settings};

#[test]
fn an_empty_file_is_all_defaults() {
    for text in ["", "\n# nothing\n", "---\n", "{}\n", "routes:\nlisten:\n", "\u{feff}"] {
        let settings = settings(text);
        let without = settle(&Options::default(), None, 4096).unwrap();
        assert_eq!(settings.routing, without.routing, "{text:?}");
        assert_eq!(settings.registries, [RegistryAddress::default()]);
        assert_eq!(settings.listen, "[::]:8080".parse().unwrap());
        assert!(settings.listen_anyhow && settings.proxy.via && settings.routing.advertised_routes);
        assert_eq!(settings.grace, Duration::from_secs(30));
    }
}

#[test]
fn a_flag_beats_the_file_and_the_file_beats_the_default() {
    let file =
        read("listen: 127.0.0.1:1\ntimeout_head: 5s\nmax_head: 1KiB\nvia: false\nservice: web\n").unwrap();
    let flags = Options {
        listen: Some(Listen::everywhere(9)),
        timeout_head: Some(Duration::from_secs(7)),
        ..Options::default()
    };
    let settings = settle(&flags, Some(&file), 4096).unwrap();
    assert_eq!(settings.listen.port(), 9);
    assert_eq!(settings.proxy.timeouts.head, Duration::from_secs(7));
    assert_eq!(settings.proxy.limits.head_bytes, 1024);
    assert_eq!(settings.proxy.timeouts.answer, Duration::from_secs(60));
    assert!(!settings.proxy.via);
}

#[test]
fn an_open_admin_port_needs_a_token_from_anywhere() {
    let file = read("admin: 0.0.0.0:9099\n").unwrap();
    let address = "0.0.0.0:9099".parse().unwrap();
    let unsettled = settle(&Options::default(), Some(&file), 4096).unwrap_err();
    assert_eq!(unsettled, Unsettled::OpenAdmin(address));
    let flags = Options { token: Some("secret".to_owned()), ..Options::default() };
    assert_eq!(settle(&flags, Some(&file), 4096).unwrap().admin, Admin::Required(address));
}

#[test]
fn the_registry_next_door_is_followed_where_one_is_needed() {
    let next_door = [RegistryAddress::default()];
    for (text, follows) in [
        ("routes: [{path: /a, respond: {body: a}}]", true),
        ("routes: [{servers: [localhost:1]}]", false),
        ("routes: [{path: /a, servers: [localhost:1]}, {path: /b, service: web}]", true),
        ("routes: [{path: /a, servers: [localhost:1]}, {split: {\"web@1\": 1}}]", true),
        ("upstream: localhost:1", false),
        ("upstream: localhost:1\nservice: web", true),
    ] {
        let registries = settings(text).registries;
        assert_eq!(registries, if follows { &next_door[..] } else { &[] }, "{text}");
    }
    assert_eq!(settings("registry: 'a:1, b:2'\nupstream: c:3").registries.len(), 2);
    let flags = Options { upstream: Some(vec!["a:1".parse::<Upstream>().unwrap()]), ..Options::default() };
    assert!(settle(&flags, None, 4096).unwrap().registries.is_empty());
}

#[test]
fn the_route_for_everything_is_added_only_where_it_is_asked_for() {
    let routes = |text: &str| settings(text).routing.routes.len();
    assert_eq!(routes("routes: [{path: /a, service: a}]"), 1);
    assert_eq!(routes("service: web\nroutes: [{path: /a, service: a}]"), 2);
    assert_eq!(routes("upstream: localhost:1\nroutes: [{path: /a, service: a}]"), 2);
    assert_eq!(routes("service: web\nroutes: [{service: a}]"), 1);
    let routing = settings(
        "upstream: localhost:1\nroutes: [{path: /a, backend: default}]\nbackends: {default: {service: a}}",
    )
    .routing;
    let Action::Forward(Target::Backend(last)) = &routing.routes[1].action else { panic!("{routing:?}") };
    assert_eq!(routing.backends[*last].name, "default (2)");
    assert_eq!(routing.backends[*last].servers.len(), 1);
    assert_eq!(routing.backends[*last].instances, Instances::WithoutRoutes);
}

#[test]
fn what_services_advertise_can_be_ignored() {
    assert!(settings("").routing.advertised_routes);
    assert!(!settings("advertised_routes: false").routing.advertised_routes);
    assert!(!settings("service: web").routing.advertised_routes);
    assert!(!settings("upstream: localhost:1").routing.advertised_routes);
}
