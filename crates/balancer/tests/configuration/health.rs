//! Checks, retries, and where the registries' lists are kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_balancer::config::{Health, Options, ProbeKind, Retry, RetryOn, StatePlace, settle};
use berth_fleet::Check;

use super::{read, settings};

const EXAMPLE: &str = include_str!("../../../../examples/configs/health.yaml");

/// How the endpoints of a route's own backend are looked at.
fn health(text: &str) -> Health {
    settings(&format!("routes: [{{service: web, {text}}}]")).routing.backends.remove(0).health
}

fn retry(text: &str) -> Retry {
    settings(&format!("routes: [{{service: web, {text}}}]")).routing.routes.remove(0).policy.retry
}

fn get(path: &str) -> ProbeKind {
    ProbeKind::Get { path: path.to_owned(), host: None, expect: vec![200..=399] }
}

#[test]
fn nobody_is_asked_without_the_key() {
    assert_eq!(health("strategy: random"), Health { probe: ProbeKind::Head, check: None });
    assert_eq!(settings("upstream: localhost:1").routing.backends[0].health, Health::default());
}

#[test]
fn a_check_that_says_nothing_is_head() {
    let usual = Check { interval: Duration::from_secs(2), timeout: Duration::from_secs(1), rise: 2, fall: 3 };
    assert_eq!(health("health: {}"), Health { probe: ProbeKind::Head, check: Some(usual) });
    let check = Check { interval: Duration::from_secs(5), rise: 1, ..usual };
    assert_eq!(
        health("health: {interval: 5s, rise: 1, tcp: false}"),
        Health { probe: ProbeKind::Head, check: Some(check) }
    );
}

#[test]
fn a_check_says_what_is_asked() {
    let whole = health(
        "health: {path: '/healthz?deep=1', host: a.example, status: [200, 2xx, 300-399], interval: 1h, timeout: 250ms, \
         rise: 100, fall: 1}",
    );
    let probe = ProbeKind::Get {
        path: "/healthz?deep=1".to_owned(),
        host: Some("a.example".to_owned()),
        expect: vec![200..=200, 200..=299, 300..=399],
    };
    let check = Check {
        interval: Duration::from_secs(3600),
        timeout: Duration::from_millis(250),
        rise: 100,
        fall: 1,
    };
    assert_eq!(whole, Health { probe, check: Some(check) });
    let usual = Some(Check::default());
    assert_eq!(health("health: /healthz"), Health { probe: get("/healthz"), check: usual });
    assert_eq!(health("health: {path: /healthz}"), Health { probe: get("/healthz"), check: usual });
    assert_eq!(health("health: {tcp: true}"), Health { probe: ProbeKind::Connect, check: usual });
    let expecting = |status| ProbeKind::Get { path: "/".to_owned(), host: None, expect: vec![status] };
    assert_eq!(health("health: {status: 204}").probe, expecting(204..=204));
    assert_eq!(health("health: {status: 5xx}").probe, expecting(500..=599));
}

#[test]
fn an_answer_may_not_take_longer_than_the_interval() {
    let check = health("health: {interval: 100ms}").check.unwrap();
    assert_eq!((check.interval, check.timeout), (Duration::from_millis(100), Duration::from_millis(100)));
    let check = health("health: {interval: 3s, timeout: 3s}").check.unwrap();
    assert_eq!(check.timeout, Duration::from_secs(3));
}

#[test]
fn a_check_holds_for_all_routes_of_a_backend() {
    let text = "routes:\n  - {path: /a, backend: web}\n  - {path: /b, backend: web, strategy: random}\n\
                backends: {web: {service: web, health: /up}}";
    let routing = settings(text).routing;
    assert_eq!(routing.backends.len(), 2);
    assert!(routing.backends.iter().all(|backend| backend.health.probe == get("/up")), "{routing:?}");
}

#[test]
fn retries() {
    let on = |reset, silence, timeout, statuses: &[u16]| RetryOn {
        reset,
        silence,
        timeout,
        statuses: statuses.to_vec(),
    };
    assert_eq!(retry("strategy: random"), Retry { attempts: 2, on: on(true, true, false, &[]) });
    assert_eq!(retry("retry: {}"), Retry::default());
    assert_eq!(retry("retry: {attempts: 0}").attempts, 0);
    assert_eq!(retry("retry: {on: 503}"), Retry { attempts: 2, on: on(false, false, false, &[503]) });
    assert_eq!(
        retry("retry: {attempts: 10, on: [599, timeout, reset, 500, 599]}"),
        Retry { attempts: 10, on: on(true, false, true, &[500, 599]) }
    );
    assert_eq!(retry("retry: {on: [silence]}").on, on(false, true, false, &[]));
}

#[test]
fn the_example_is_what_it_looks_like() {
    let routing = settings(EXAMPLE).routing;
    let backend = |name: &str| {
        let found = routing.backends.iter().find(|backend| backend.name == name);
        &found.unwrap_or_else(|| panic!("{routing:?}")).health
    };
    assert_eq!(backend("api").probe, get("/healthz"));
    assert_eq!(backend("smtp").probe, ProbeKind::Connect);
    assert_eq!(routing.routes.iter().filter(|route| route.policy.retry != Retry::default()).count(), 2);
}

/// Where the state is, of a user whose programs have a folder for it.
fn state(text: &str) -> StatePlace {
    let flags = Options { state_home: Some("/home/a/state".into()), ..Options::default() };
    settle(&flags, Some(&read(text).unwrap()), 4096).unwrap().state
}

#[test]
fn each_balancer_has_a_state_file_of_its_own() {
    let all = [
        "",
        "port: 1",
        "listen: 127.0.0.1:1",
        "registry: a:1",
        "registry: [a:1, b:1]",
        "service: web",
        "service: web@1",
        "advertised_routes: false\nroutes: [{service: web}, {path: /a, service: web@1}]",
    ];
    let mut files: Vec<PathBuf> = all
        .iter()
        .map(|text| {
            let StatePlace::Usual(Some(path)) = state(text) else { panic!("{text}") };
            assert_eq!(path.parent(), Some(Path::new("/home/a/state")));
            assert_eq!(path.extension().unwrap(), "json");
            path
        })
        .collect();
    files.sort();
    files.dedup();
    assert_eq!(files.len(), all.len(), "{files:?}");
}

#[test]
fn the_state_file_stays_when_nothing_else_is_remembered() {
    // The name must not change from one version to the next.
    assert_eq!(state(""), StatePlace::Usual(Some("/home/a/state/576a2ecdeba18aef.json".into())));
    assert_eq!(state("registry: [a:1, b:1]"), state("registry: 'b:1,a:1'\nthreads: 1\nvia: false"));
    let (one, other) = ("routes: [{service: web}]", "routes: [{path: /a, service: api}, {service: web@2}]");
    assert_eq!(state(one), state(other), "advertised routes: all is listed");
}

#[test]
fn a_state_file_can_be_asked_for_or_left_out() {
    assert_eq!(state("state: none"), StatePlace::None);
    assert_eq!(state("state: /var/lib/a.json"), StatePlace::Asked("/var/lib/a.json".into()));
    assert_eq!(state("upstream: localhost:1"), StatePlace::Usual(None), "no registry");
    assert_eq!(settings("").state, StatePlace::Usual(None), "no home");
    assert_eq!(settings("state: a").state.path(), Some(Path::new("a")));
    let flags = Options { state: Some(StatePlace::None), ..Options::default() };
    assert_eq!(settle(&flags, Some(&read("state: a").unwrap()), 4096).unwrap().state, StatePlace::None);
    assert!(matches!(state("state: ${EMPTY}"), StatePlace::Usual(Some(_))));
}
