//! What each key of a route does, seen from outside.

use std::collections::{BTreeMap, BTreeSet};

use berth_testkit::{Http, Listening, Process, SteadyUpstream, Wire};

use crate::site::{Balancer, File, port_of, registry};

/// A balancer whose routes are these, with `{}` for where the upstream listens.
fn balancer_of(upstream: &SteadyUpstream, routes: &str) -> Balancer {
    let text = routes.replace("{}", &upstream.address().to_string());
    File::with(&format!("routes:\n{text}")).balancer()
}

/// A request on a connection of its own; the text of the answer.
fn ask(balancer: &Balancer, method: &str, target: &str, fields: &str) -> String {
    Http::connect(balancer.address).send(method, target, fields, b"").text().to_owned()
}

#[test]
fn the_most_specific_rule_wins() {
    let file = File::with(
        "routes:
  - {path: /*, respond: {body: any}}
  - {path: /api/*, respond: {body: api}}
  - {path: /api/exact, respond: {body: exact}}
  - {path: /api/*, methods: [POST, PUT], respond: {body: write}}
  - {path: /api/*, headers: {X-Beta: 'yes'}, respond: {body: beta}}
  - {path: /api/*, query: {v: '2'}, respond: {body: second}}
  - {host: '*.x.test', respond: {body: below}}
  - {host: x.test, path: /deep/*, respond: {body: deep}}
",
    );
    let balancer = file.balancer();
    for (method, target, fields, expected) in [
        ("GET", "/", "", "any"),
        ("GET", "/api", "", "api"),
        ("GET", "/apis", "", "any"),
        ("GET", "/api/exact", "", "exact"),
        ("GET", "/api/exact/", "", "api"),
        ("GET", "/x/../%61pi/./exact", "", "exact"),
        ("PUT", "/api/a", "", "write"),
        ("GET", "/api/a", "X-Beta: yes\r\n", "beta"),
        ("GET", "/api/a", "X-Beta: no\r\n", "api"),
        ("GET", "/api/a?u=1&v=2", "", "second"),
        ("GET", "/api/a?v=22", "", "api"),
        ("GET", "/api", "Host: A.b.X.test:80\r\n", "below"),
        ("GET", "/deep/er", "Host: x.test\r\n", "deep"),
        ("GET", "/deeper", "Host: x.test\r\n", "any"),
    ] {
        assert_eq!(ask(&balancer, method, target, fields), expected, "{method} {target} {fields}");
    }
}

#[test]
fn a_request_that_no_route_is_for_is_told_so() {
    let file = File::with("routes:\n  - {path: /api/*, respond: {body: api}}\n");
    let balancer = file.balancer();
    assert_eq!(Http::once(balancer.address, "/other").status, 404);
}

#[test]
fn prefixes_and_host_are_rewritten() {
    let upstream = SteadyUpstream::echoing();
    let routes = "
  - {path: /a/*, strip_prefix: /a, servers: ['http://{}']}
  - {path: /b/*, add_prefix: /v1, servers: ['http://{}']}
  - {path: /c/*, strip_prefix: /c, add_prefix: /d, rewrite_host: inside.test, servers: ['http://{}']}
";
    let balancer = balancer_of(&upstream, routes);
    for (target, line, host) in [
        ("/a/x?y=/a", "GET /x?y=/a HTTP/1.1", "test"),
        ("/a", "GET / HTTP/1.1", "test"),
        ("/b/x", "GET /v1/b/x HTTP/1.1", "test"),
        ("/c/x", "GET /d/x HTTP/1.1", "inside.test"),
    ] {
        let seen = Http::once(balancer.address, target).text().to_owned();
        assert_eq!(seen.lines().next(), Some(line));
        let hosts: Vec<&str> = seen.lines().filter_map(|line| line.strip_prefix("Host: ")).collect();
        assert_eq!(hosts, [host], "{seen}");
    }
}

#[test]
fn fields_are_set_and_removed() {
    let content = "hello";
    let answer = format!(
        "HTTP/1.1 200 OK\r\nServer: old\r\nX-Powered-By: steam\r\nContent-Length: {}\r\n\r\n{content}",
        content.len()
    );
    let (echo, plain) = (SteadyUpstream::echoing(), SteadyUpstream::answering(answer));
    let file = File::with(&format!(
        "routes:
  - path: /request
    request_headers: {{set: {{X-Team: blue, X-Zone: one}}, remove: [cookie, x-debug]}}
    servers: [http://{}]
  - path: /answer
    response_headers: {{set: {{Server: new, X-Frame-Options: DENY}}, remove: [x-powered-by]}}
    servers: [http://{}]
",
        echo.address(),
        plain.address()
    ));
    let balancer = file.balancer();
    let fields = "X-Team: red\r\nCookie: a=b\r\nX-Debug: 1\r\nX-Other: kept\r\n";
    let seen = ask(&balancer, "GET", "/request", fields);
    let of = |name: &str| -> Vec<&str> {
        seen.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
    };
    assert_eq!(
        (of("X-Team"), of("X-Zone"), of("X-Other")),
        (vec!["blue"], vec!["one"], vec!["kept"]),
        "{seen}"
    );
    assert!(of("Cookie").is_empty() && of("X-Debug").is_empty(), "{seen}");
    let answer = Http::once(balancer.address, "/answer");
    assert_eq!((answer.field("Server"), answer.field("X-Frame-Options")), (Some("new"), Some("DENY")));
    assert_eq!((answer.field("X-Powered-By"), answer.text()), (None, content), "{}", answer.head);
}

#[test]
fn deadlines_and_body_limits_are_a_routes_own() {
    let silent = Listening::start();
    let upstream = SteadyUpstream::saying("taken");
    let file = File::with(&format!(
        "max_body: 5
routes:
  - {{path: /hasty, timeout_answer: 50ms, servers: [http://{}]}}
  - {{path: /tiny, max_body: 3, servers: [http://{1}]}}
  - {{path: /large, max_body: 1KiB, servers: [http://{1}]}}
  - {{path: /*, servers: [http://{1}]}}
",
        silent.address(),
        upstream.address()
    ));
    let balancer = file.balancer();
    assert_eq!(Http::once(balancer.address, "/hasty").status, 504);
    let status = |target: &str, length: usize| {
        Http::connect(balancer.address).send("POST", target, "", &vec![b'x'; length]).status
    };
    assert_eq!((status("/tiny", 3), status("/tiny", 4)), (200, 413));
    assert_eq!((status("/large", 1024), status("/large", 1025)), (200, 413));
    assert_eq!((status("/", 5), status("/", 6)), (200, 413));
}

/// Two versions of a service, and a balancer that splits between them.
fn versions(split: &str) -> (Process, [Process; 2], Balancer) {
    let registry = registry();
    let address = registry.address().to_string();
    let start = |name: &str| Process::start("server", &["--registry", &address, "--name", name]);
    let servers = [start("web@1.4.0"), start("web@2.0.0")];
    let balancer = File::with(&format!("registry: {address}\nroutes:\n  - {split}\n")).balancer();
    balancer.wait_for_endpoints(2);
    (registry, servers, balancer)
}

#[test]
fn a_canary_gets_its_share_of_ten_thousand() {
    let (_registry, servers, balancer) = versions("split: {'web@^1': 95, 'web@^2': 5}");
    let mut counts = BTreeMap::new();
    let mut client = Http::connect(balancer.address);
    for _ in 0..10_000 {
        *counts.entry(port_of(client.get("/").text())).or_insert(0) += 1;
    }
    let shares = servers.each_ref().map(|server| counts[&server.address().port()]);
    assert!((9_450..=9_550).contains(&shares[0]) && shares[0] + shares[1] == 10_000, "{shares:?}");
}

/// Twenty clients, each told apart by these fields, stay with their version, and not all with the same one.
fn stay(split_by: &str, fields_of: impl Fn(usize) -> String) {
    let split = format!("{{split: {{'web@^1': 1, 'web@^2': 1}}, split_by: {split_by}}}");
    let (_registry, _servers, balancer) = versions(&split);
    let mut seen = BTreeSet::new();
    for client in 0..20 {
        let fields = fields_of(client);
        let ports: BTreeSet<u16> = (0..5).map(|_| port_of(&ask(&balancer, "GET", "/", &fields))).collect();
        assert_eq!(ports.len(), 1, "client {client} moved");
        seen.extend(ports);
    }
    assert_eq!(seen.len(), 2, "all twenty went to one version");
    // Whoever is not told apart takes turns.
    let ports: BTreeSet<u16> =
        (0..2).map(|_| port_of(&ask(&balancer, "GET", "/", "X-Other: s1\r\n"))).collect();
    assert_eq!(ports.len(), 2, "no turns");
}

#[test]
fn a_client_stays_with_its_version() {
    stay("{cookie: session}", |client| format!("Cookie: theme=dark; session=s{client}\r\n"));
}

#[test]
fn a_client_stays_with_its_version_by_a_field() {
    stay("{header: X-Tenant}", |client| format!("X-Other: same\r\nx-tenant: t{client}\r\n"));
}

#[test]
fn answers_that_need_no_upstream() {
    let file = File::with(
        "routes:
  - {path: /closed/*, respond: {status: 503, body: Back soon., headers: {Retry-After: '60'}}}
  - {path: /*, redirect_to: 'https://{host}{path}', permanent: true}
",
    );
    let balancer = file.balancer();
    let answer = Http::once(balancer.address, "/closed/now");
    assert_eq!((answer.status, answer.text(), answer.field("Retry-After")), (503, "Back soon.", Some("60")));
    let mut client = Http::connect(balancer.address);
    let answer = client.send("POST", "/a/b?c=d", "Host: shop.test:8080\r\n", b"");
    assert_eq!((answer.status, answer.field("Location")), (308, Some("https://shop.test/a/b?c=d")));
}

#[test]
fn where_an_instance_is_public_is_in_its_meta() {
    let registry = registry();
    let address = registry.address().to_string();
    let start = |more: &[&str]| Process::start("server", &[&["--registry", &address], more].concat());
    let public = start(&["--meta", "public_url=https://one.test/base"]);
    let file = File::with(&format!(
        "registry: {address}
routes:
  - {{path: /go/*, mode: redirect, service: server}}
  - {{path: /ask, pick: true, service: server}}
"
    ));
    let balancer = file.balancer();
    balancer.wait_for_endpoints(1);
    let answer = Http::once(balancer.address, "/go/there?now");
    assert_eq!((answer.status, answer.field("Location")), (307, Some("https://one.test/base/go/there?now")));
    assert_eq!(Http::once(balancer.address, "/ask").text(), "{\"url\":\"https://one.test/base\"}\n");
    // An upgrade is relayed, and so is everything for an endpoint that is not public.
    let mut wire = Wire::connect(balancer.address);
    wire.send("GET /go/ HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert!(wire.read_head().starts_with("HTTP/1.1 200 "));
    let hidden = start(&[]);
    balancer.wait_for_endpoints(2);
    let answers: Vec<_> = (0..2).map(|_| Http::once(balancer.address, "/go/x")).collect();
    let relayed: Vec<u16> =
        answers.iter().filter(|answer| answer.status == 200).map(|answer| port_of(answer.text())).collect();
    assert_eq!(relayed, [hidden.address().port()]);
    // A pick is the choice that a request would get.
    let urls: BTreeSet<String> =
        (0..2).map(|_| Http::once(balancer.address, "/ask").text().to_owned()).collect();
    let hidden = format!("{{\"url\":\"http://{}\"}}\n", hidden.address());
    assert_eq!(urls, BTreeSet::from(["{\"url\":\"https://one.test/base\"}\n".to_owned(), hidden]));
    drop(public);
}

#[test]
fn servers_of_the_file_and_instances_stand_in_one_backend() {
    let registry = registry();
    let address = registry.address().to_string();
    let fixed = Process::start("server", &["--registry", &address, "--name", "apart"]);
    let found = Process::start("server", &["--registry", &address, "--name", "web"]);
    let file = File::with(&format!(
        "registry: {address}
routes:
  - backend: web
backends:
  web:
    service: web
    servers: [http://{}]
",
        fixed.address()
    ));
    let balancer = file.balancer();
    balancer.wait_for_endpoints(2);
    let mut client = Http::connect(balancer.address);
    let mut counts = BTreeMap::new();
    for _ in 0..10 {
        *counts.entry(port_of(client.get("/").text())).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([(fixed.address().port(), 5), (found.address().port(), 5)]));
}
