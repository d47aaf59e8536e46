//! What files that are right mean.

use std::num::NonZeroU32;
use std::time::Duration;

use berth_balancer::config::{
    Action, Instances, LimitBy, PerClient, Placeholder, RateLimit, SplitKey, StrategyName, Target,
};

use super::{read, settings};

/// The example of the documentation.
const EXAMPLE: &str = include_str!("../../../../examples/configs/balancer.yaml");

#[test]
fn the_example_is_what_it_looks_like() {
    let routing = settings(EXAMPLE).routing;
    let names: Vec<&str> = routing.backends.iter().map(|backend| backend.name.as_str()).collect();
    assert_eq!(names, ["api_servers", "web", "web@^1", "web@^2", "/static/*"]);
    assert_eq!(routing.routes[0].action, Action::Forward(Target::Backend(0)));
    let split = Target::Split { shares: vec![(2, 95), (3, 5)], by: None };
    assert_eq!(routing.routes[1].action, Action::Forward(split));
    assert_eq!(routing.backends[0].subject, "backend api_servers");
    assert_eq!(routing.backends[2].subject, "service web@^1");
    let own = &routing.backends[4];
    assert_eq!((own.servers[0].weight, own.servers[1].weight), (1, 3));
    assert_eq!((own.choosing.strategy, own.subject.as_str()), (StrategyName::IpHash, "route /static/*"));
}

#[test]
fn a_strategy_beside_a_backend_makes_one_for_the_route() {
    let text = "routes:\n  - {path: /a, backend: web}\n  - {path: /b, backend: web, strategy: random}\n\
                backends: {web: {servers: [localhost:1], service: web}}";
    let routing = settings(text).routing;
    assert_eq!(routing.backends.len(), 2);
    assert_eq!(routing.backends[1].name, "/b");
    assert_eq!(routing.backends[1].choosing.strategy, StrategyName::Random);
    assert_eq!(routing.backends[1].servers, routing.backends[0].servers);
    assert_eq!(routing.backends[0].instances, Instances::Query("web".parse().unwrap()));
}

#[test]
fn queries_of_splits_are_shared() {
    let text = "routes:\n  - {path: /a, split: {\"web@1\": 1, \"web@2\": 2}}\n  \
                - {path: /b, split: {\"web@2\": 1}, split_by: {cookie: user}}";
    let routing = settings(text).routing;
    assert_eq!(routing.backends.len(), 2);
    let split = Target::Split { shares: vec![(1, 1)], by: Some(SplitKey::Cookie("user".to_owned())) };
    assert_eq!(routing.routes[1].action, Action::Forward(split));
}

#[test]
fn answers_and_redirects() {
    let text = "routes:\n  - {path: /a, respond: {status: 503, body: closed}}\n  \
                - {redirect_to: \"https://{host}{path}\", permanent: true}";
    let routing = settings(text).routing;
    let Action::Respond(fixed) = &routing.routes[0].action else { panic!("{routing:?}") };
    assert_eq!((fixed.status, fixed.body.as_str()), (503, "closed"));
    assert_eq!(fixed.headers, [("Content-Type".to_owned(), "text/plain; charset=utf-8".to_owned())]);
    let Action::RedirectTo { location, permanent: true } = &routing.routes[1].action else {
        panic!("{routing:?}")
    };
    let parts = [("https://".to_owned(), Placeholder::Host), (String::new(), Placeholder::Path)];
    assert_eq!((location.parts.as_slice(), location.rest.as_str()), (&parts[..], ""));
}

#[test]
fn policies_and_conditions() {
    let text = "routes:\n  - path: /api/*\n    host: '*.Example.com'\n    methods: GET\n    \
                headers: {X-Version: 1.10, Beta: true}\n    query: {v: 2}\n    service: web\n    \
                strip_prefix: /api\n    add_prefix: /v1\n    timeout_answer: 5s\n    max_body: none\n    \
                request_headers: {set: {X-A: b}, remove: Cookie}";
    let route = settings(text).routing.routes.remove(0);
    assert_eq!(route.rule.to_string(), "*.example.com/api/* [GET beta=true x-version=1.10 ?v=2]");
    let fields =
        [("beta", "true"), ("x-version", "1.10")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(route.rule.fields, fields);
    assert_eq!(route.rule.query, [("v".to_owned(), "2".to_owned())]);
    assert_eq!(route.policy.strip_prefix.as_deref(), Some("/api"));
    assert_eq!(route.policy.timeouts.answer, Some(Duration::from_secs(5)));
    assert_eq!(route.policy.most_body_bytes, Some(None));
    assert!(!route.policy.request_headers.is_empty() && route.policy.response_headers.is_empty());
}

#[test]
fn rate_limits() {
    let limits = |text: &str| {
        let route =
            settings(&format!("routes: [{{service: web, rate_limit: {text}}}]")).routing.routes.remove(0);
        route.policy.rate_limits
    };
    let number = |number| NonZeroU32::new(number).unwrap();
    let second = Duration::from_secs(1);
    let whole = RateLimit { requests: number(100), per: second, burst: number(100), by: None };
    assert_eq!(limits("{requests: 100}")[0], whole);
    let by_address =
        RateLimit { requests: number(10), per: 60 * second, burst: number(50), by: Some(LimitBy::Address) };
    assert_eq!(limits("{requests: 10, per: 1m, burst: 50, by: {address: true}}")[0], by_address);
    let by_header = RateLimit { by: Some(LimitBy::Header("X-Key".into())), ..by_address };
    let list = "[{requests: 10, per: 60s, burst: 50, by: {header: X-Key}}, {requests: 100, per: 1s}]";
    assert_eq!(limits(list), [by_header, whole]);
    let day = "{requests: 1, per: 1d, burst: 365}";
    assert_eq!(limits(day)[0].per, Duration::from_secs(86_400));
    assert_eq!(limits("{requests: 1000000000, per: 1ms}")[0].requests, number(1_000_000_000));
    let closed = settings("routes: [{respond: {status: 503}, rate_limit: {requests: 1}}]");
    assert_eq!(closed.routing.routes[0].policy.rate_limits.len(), 1);
}

#[test]
fn limits_per_client() {
    let limits = |text: &str| settings(text).proxy.per_client;
    let both = PerClient { max_connections: Some(100), max_requests: Some(10) };
    assert_eq!(limits("per_client: {max_connections: 100, max_requests: 10}"), Some(both));
    let requests = PerClient { max_connections: None, max_requests: Some(u32::MAX) };
    assert_eq!(limits("per_client: {max_requests: 4294967295}"), Some(requests));
    assert_eq!(limits("threads: 1"), None);
}

#[test]
fn variables_stand_in_any_value() {
    let port = |text: &str| settings(text).listen.port();
    assert_eq!(port("listen: ${PORT}"), 8000);
    assert_eq!(port("listen: \"127.0.0.1:${PORT}\""), 8000);
    assert_eq!(port("port: ${PORT}"), 8000);
    assert_eq!(port("port: ${NOT_SET:-81}"), 81);
    assert_eq!(port("port: ${EMPTY:-82}"), 82);
    assert_eq!(settings("threads: '${NOT_SET:-3}'").threads, 3);
    assert_eq!(settings("token: ${EMPTY}").token, None);
    let respond = settings("routes: [{respond: {body: \"$${PORT} is ${PORT}\"}}]");
    let Action::Respond(fixed) = &respond.routing.routes[0].action else { panic!() };
    assert_eq!(fixed.body, "${PORT} is 8000");
}

#[test]
fn anchors_repeat_what_was_said() {
    let text = "backends:\n  a: &same {servers: [localhost:1]}\n  b: *same\nroutes:\n  \
                - {path: /a, backend: a}\n  - {path: /b, backend: b}";
    let routing = settings(text).routing;
    assert_eq!(routing.backends[0].servers, routing.backends[1].servers);
}

#[test]
fn ten_thousand_routes_are_no_bomb() {
    let route = |number: usize| format!("  - {{host: h{number}.example.com, path: /a/*, service: web}}\n");
    let text: String = "routes:\n".to_owned() + &(0..10_000).map(route).collect::<String>();
    assert_eq!(read(&text).unwrap().routes.len(), 10_000);
    // Also when each repeats what the first has.
    let route = |number: usize| format!("  - {{path: /r{number}, service: web, request_headers: *edits}}\n");
    let first = "  - {path: /, service: web, request_headers: &edits {set: {X-Edge: one}}}\n";
    let text = "routes:\n".to_owned() + first + &(0..10_000).map(route).collect::<String>();
    assert_eq!(read(&text).unwrap().routes.len(), 10_001);
}
