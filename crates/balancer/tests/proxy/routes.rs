//! Where requests go by their routes, and what a route changes on the way.

use std::net::SocketAddr;

use berth_balancer::config::{
    Action, Backend, Choosing, Fixed, Instances, Placeholder, Policy, Route, Routing, Server, Settings,
    SplitKey, Target, Template, Upstream,
};
use berth_model::Scheme;
use berth_route::Rule;
use berth_testkit::{Http, Listening, Refusing, SteadyUpstream};

use crate::harness::{Balancer, expect, forwarded, get, ok, settings};

fn rule(host: Option<&str>, path: &str) -> Rule {
    let host = host.map(|host| host.parse().unwrap());
    Rule { host, path: path.parse().unwrap(), ..Rule::any() }
}

pub(crate) fn route(path: &str, backend: usize) -> Route {
    let action = Action::Forward(Target::Backend(backend));
    Route { rule: rule(None, path), action, policy: Policy::default() }
}

pub(crate) fn server(address: SocketAddr, public_url: Option<&str>) -> Server {
    let (host, port) = (address.ip().to_string(), address.port());
    let public_url = public_url.map(|url| url.parse().unwrap());
    Server { upstream: Upstream { host, port, scheme: Scheme::Http }, weight: 1, public_url }
}

pub(crate) fn backend(name: &str, servers: Vec<Server>) -> Backend {
    Backend {
        capacity: berth_balancer::config::Capacity::default(),
        health: berth_balancer::config::Health::default(),
        shares_with: None,
        name: name.into(),
        subject: format!("backend {name}"),
        choosing: Choosing::default(),
        servers,
        instances: Instances::None,
    }
}

pub(crate) fn with(routes: Vec<Route>, backends: Vec<Backend>) -> Settings {
    let mut settings = settings(&[]);
    settings.routing = Routing { routes, backends, advertised_routes: false };
    settings
}

/// One backend for one route.
fn one(upstream: SocketAddr, route: Route) -> Settings {
    with(vec![route], vec![backend("only", vec![server(upstream, None)])])
}

#[test]
fn host_and_path_decide() {
    let upstreams = ["a", "b", "c"].map(SteadyUpstream::saying);
    let backends = upstreams.iter().map(|it| backend("x", vec![server(it.address(), None)])).collect();
    let by_host = Route { rule: rule(Some("*.example.com"), "/*"), ..route("/*", 2) };
    let balancer = Balancer::start(with(vec![route("/api/*", 0), route("/static/*", 1), by_host], backends));
    let mut client = balancer.http();
    for (path, text) in
        [("/api", "a"), ("/api/x?y", "a"), ("/static/", "b"), ("/%61pi/x", "a"), ("/x/../api", "a")]
    {
        assert_eq!(client.get(path).text(), text, "{path}");
    }
    let answer = client.get("/apix");
    assert_eq!((answer.status, answer.text()), (404, "No route leads to this host and path.\n"));
    let mut wire = balancer.connect();
    wire.send("GET /api HTTP/1.1\r\nHost: Www.Example.COM:8080\r\n\r\n");
    wire.read_until(b"\r\n\r\nc");
    balancer.wait_for_metric("answers_total{status=\"4xx\"}", 1.0);
}

#[test]
fn methods_fields_and_query_decide() {
    let upstreams = ["get", "field", "query", "rest"].map(SteadyUpstream::saying);
    let backends = upstreams.iter().map(|it| backend("x", vec![server(it.address(), None)])).collect();
    let mut routes: Vec<Route> = (0..4).map(|place| route("/*", place)).collect();
    routes[0].rule.methods = vec!["DELETE".into()];
    routes[1].rule.fields = vec![("x-canary".into(), "yes".into())];
    routes[2].rule.query = vec![("v".into(), "2 0".into())];
    let balancer = Balancer::start(with(routes, backends));
    let mut client = balancer.http();
    assert_eq!(client.send("DELETE", "/", "", b"").text(), "get");
    assert_eq!(client.send("GET", "/", "X-Canary: yes\r\n", b"").text(), "field");
    assert_eq!(client.send("GET", "/", "X-Canary: no\r\n", b"").text(), "rest");
    assert_eq!(client.get("/?a=b&v=2+0").text(), "query");
    assert_eq!(client.get("/?v=20").text(), "rest");
}

#[test]
fn a_route_changes_the_request_and_the_answer() {
    let upstream = Listening::start();
    let mut changed = route("/api/*", 0);
    changed.policy.strip_prefix = Some("/api".into());
    changed.policy.add_prefix = Some("/v1".into());
    changed.policy.rewrite_host = Some("inside".into());
    changed.policy.request_headers.set("X-Team", "blue").unwrap();
    changed.policy.request_headers.remove("Cookie").unwrap();
    changed.policy.response_headers.set("X-Served", "here").unwrap();
    changed.policy.response_headers.remove("Server").unwrap();
    let balancer = Balancer::start(one(upstream.address(), changed));
    let mut client = balancer.connect();
    let mut server: Option<berth_testkit::Wire> = None;
    for (asked, goes) in [
        ("/api/x?y", "/v1/x?y"),
        ("/api", "/v1/"),
        ("/api?q", "/v1/?q"),
        ("/%61pi/a%2fb", "/v1/a%2Fb"),
        ("/api/x/../../api/y", "/v1/y"),
    ] {
        client.send(format!("GET {asked} HTTP/1.1\r\nHost: test\r\nCookie: a=b\r\nA: b\r\n\r\n"));
        let server = server.get_or_insert_with(|| upstream.accept());
        let end = forwarded("test");
        let end = end.strip_suffix("\r\n").unwrap();
        expect(server, format!("GET {goes} HTTP/1.1\r\nA: b\r\nHost: inside\r\n{end}X-Team: blue\r\n\r\n"));
        server.send("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 2\r\n\r\nhi");
        expect(&mut client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Served: here\r\n\r\nhi");
    }
}

#[test]
fn no_trailer_brings_a_field_that_its_route_edits() {
    let upstream = Listening::start();
    let mut edited = route("/*", 0);
    edited.policy.request_headers.remove("X-User").unwrap();
    let balancer = Balancer::start(one(upstream.address(), edited));
    let head = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
    // With the head, and behind what is upstream already.
    for pieces in
        [&["2\r\nhi\r\n0\r\nX_user: admin\r\n\r\n"][..], &["2\r\nhi\r\n", "0\r\nx-user: admin\r\n\r\n"]]
    {
        let mut client = balancer.connect();
        client.send(format!("{head}{}", pieces[0]));
        if let [first, rest] = pieces {
            let mut server = upstream.accept();
            server.read_until(first.as_bytes());
            client.send(rest);
            let seen = server.read_to_end();
            assert!(!seen.to_ascii_lowercase().windows(6).any(|part| part == b"x-user"), "it went on");
        }
        assert!(client.read_head().starts_with("HTTP/1.1 400 "));
        client.read_until(b"a trailer has a name that only a head may have");
    }
    let mut client = balancer.connect();
    client.send(format!("{head}2\r\nhi\r\n0\r\nDigest: x\r\n\r\n"));
    let mut server = upstream.accept();
    server.read_until(b"0\r\nDigest: x\r\n\r\n");
    server.send(ok("fine"));
    client.read_until(b"fine");
}

/// The status for a path, as it stands here: `Http` could write it otherwise.
fn status_of(balancer: &Balancer, path: &str) -> String {
    let mut client = balancer.connect();
    client.send(get(path));
    client.read_head().split(' ').nth(1).unwrap().to_owned()
}

const AMBIGUOUS: [&str; 6] = [
    "/raw/..%2fadmin",
    "/raw/..;/admin",
    "/raw\\..\\admin",
    "/raw/%2e%2e%5Cadmin?x",
    "/raw/x%2fy/../admin",
    "http://test/raw/..%2F",
];

#[test]
fn no_path_that_some_read_otherwise_passes_a_route_by() {
    let upstream = SteadyUpstream::saying("open");
    let mut guard = route("/admin/*", 0);
    guard.action = Action::Respond(Fixed { status: 403, headers: Vec::new(), body: String::new() });
    let routes = vec![guard, route("/raw/*", 0), route("/*", 0)];
    let balancer = Balancer::start(with(routes, vec![backend("x", vec![server(upstream.address(), None)])]));
    for path in AMBIGUOUS {
        assert_eq!(status_of(&balancer, path), "400", "{path}");
    }
    assert_eq!(upstream.requests(), 0);
    let answer = balancer.http().get("/raw/..%2fadmin");
    assert_eq!(answer.text(), "The path can be read in more than one way.\n");
    assert_eq!(status_of(&balancer, "/raw/../admin"), "403");
    for path in ["/raw/a%2fb", "/raw/../x", "/raw/a;b/c", "/raw/?/..%2f"] {
        assert_eq!(status_of(&balancer, path), "200", "{path}");
    }
    balancer.wait_for_metric("answers_total{status=\"4xx\"}", 8.0);
}

#[test]
fn no_path_leads_out_of_a_new_front() {
    let upstream = SteadyUpstream::echoing();
    let mut changed = route("/*", 0);
    changed.policy.add_prefix = Some("/v1/public".into());
    let balancer = Balancer::start(one(upstream.address(), changed));
    for path in AMBIGUOUS {
        assert_eq!(status_of(&balancer, path), "400", "{path}");
    }
    assert_eq!(upstream.requests(), 0);
    let seen = balancer.http().get("/a%2fb/x/..").text().to_owned();
    assert!(seen.starts_with("GET /v1/public/a%2Fb/ HTTP/1.1\r\n"), "{seen}");
}

#[test]
fn where_no_path_decides_each_goes_on_as_it_came() {
    let upstream = SteadyUpstream::echoing();
    let by_host = Route { rule: rule(Some("*.example.com"), "/*"), ..route("/*", 0) };
    let mut edited = route("/*", 0);
    edited.policy.request_headers.set("X-Team", "blue").unwrap();
    for routes in [vec![route("/*", 0)], vec![route("/*", 0), by_host], vec![edited]] {
        let settings = with(routes, vec![backend("x", vec![server(upstream.address(), None)])]);
        let balancer = Balancer::start(settings);
        for path in &AMBIGUOUS[..5] {
            let mut client = balancer.connect();
            client.send(get(path));
            client.read_until(format!("GET {path} HTTP/1.1\r\n").as_bytes());
        }
    }
}

#[test]
fn a_route_has_limits_of_its_own() {
    let upstream = Listening::start();
    let mut short = route("/short/*", 0);
    short.policy.most_body_bytes = Some(Some(3));
    short.policy.timeouts.answer = Some(std::time::Duration::from_millis(100));
    let mut settings =
        with(vec![short, route("/*", 0)], vec![backend("x", vec![server(upstream.address(), None)])]);
    settings.proxy.most_body_bytes = Some(5);
    let balancer = Balancer::start(settings);
    assert_eq!(balancer.http().send("POST", "/short/", "", b"1234").status, 413);
    assert_eq!(balancer.http().send("POST", "/", "", b"123456").status, 413);
    let mut client = balancer.connect();
    client.send(get("/short/"));
    let _silent = upstream.accept();
    assert!(client.read_head().starts_with("HTTP/1.1 504 "));
    let mut client = balancer.connect();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\n1234");
    let mut server = upstream.accept();
    server.read_until(b"1234");
    server.send(ok("patient"));
    client.read_until(b"patient");
}

#[test]
fn a_split_is_exact_and_goes_round_who_is_gone() {
    let (stable, canary) = (SteadyUpstream::saying("stable"), SteadyUpstream::saying("canary"));
    let gone = Refusing::start();
    let split = |shares: &[(usize, u32)], by: Option<SplitKey>| Target::Split { shares: shares.to_vec(), by };
    let mut routes = vec![route("/*", 0), route("/stay/*", 0), route("/gone/*", 0), route("/nobody/*", 0)];
    routes[0].action = Action::Forward(split(&[(0, 95), (1, 5)], None));
    routes[1].action = Action::Forward(split(&[(0, 50), (1, 50)], Some(SplitKey::Cookie("id".into()))));
    routes[2].action = Action::Forward(split(&[(2, 1), (1, 1)], None));
    routes[3].action = Action::Forward(split(&[(3, 1), (1, 1)], None));
    let backends = vec![
        backend("stable", vec![server(stable.address(), None)]),
        backend("canary", vec![server(canary.address(), None)]),
        backend("gone", vec![server(gone.address, None)]),
        backend("nobody", vec![]),
    ];
    let balancer = Balancer::start(with(routes, backends));
    let mut client = balancer.http();
    for _ in 0..10_000 {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!((stable.requests(), canary.requests()), (9500, 500));
    let mut seen = std::collections::BTreeSet::new();
    for id in 0..20 {
        let cookie = format!("Cookie: other=1; id={id}\r\n");
        let first = client.send("GET", "/stay/", &cookie, b"").text().to_owned();
        for _ in 0..3 {
            assert_eq!(client.send("GET", "/stay/", &cookie, b"").text(), first);
        }
        seen.insert(first);
    }
    assert_eq!(seen.len(), 2, "all clients went to the same");
    for path in ["/gone/", "/nobody/"] {
        for _ in 0..4 {
            assert_eq!(client.get(path).text(), "canary", "{path}");
        }
    }
}

#[test]
fn what_one_share_has_reset_another_answers() {
    let (broken, well) = (Listening::start(), SteadyUpstream::saying("well"));
    let mut split = route("/*", 0);
    split.action = Action::Forward(Target::Split { shares: vec![(0, 1), (1, 1)], by: None });
    let backends = vec![
        backend("broken", vec![server(broken.address(), None)]),
        backend("well", vec![server(well.address(), None)]),
    ];
    let balancer = Balancer::start(with(vec![split], backends));
    let mut clients = [(); 2].map(|()| balancer.connect());
    clients.iter_mut().for_each(|client| client.send(get("/")));
    // One of them comes here.
    let mut wire = broken.accept();
    wire.read_head();
    wire.reset();
    for client in clients {
        assert_eq!(Http { wire: client }.read_answer().text(), "well");
    }
    assert_eq!(well.requests(), 2);
    balancer.wait_for_metric("requests_retried_total{why=\"reset\"}", 1.0);
}

#[test]
fn balancers_do_not_all_begin_with_the_same_share() {
    let upstreams = ["one", "two"].map(SteadyUpstream::saying);
    let mut split = route("/*", 0);
    split.action = Action::Forward(Target::Split { shares: vec![(0, 1), (1, 1)], by: None });
    let backends = upstreams.each_ref().map(|it| backend("x", vec![server(it.address(), None)]));
    let settings = with(vec![split], backends.into());
    // Forty that begin alike by chance are one in 10^11.
    let mut first = (0..40).map(|_| Balancer::start(settings.clone()).http().get("/").text().to_owned());
    let one = first.next();
    assert!(first.any(|other| Some(other) != one), "all began with {one:?}");
}

#[test]
fn answers_without_any_upstream() {
    let headers = [("Content-Type", "text/html"), ("Retry-After", "60")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let fixed = Fixed { status: 503, headers, body: "Back soon.\n".into() };
    let location = Template {
        parts: vec![("https://".into(), Placeholder::Host), (String::new(), Placeholder::Path)],
        rest: String::new(),
    };
    let mut routes = vec![route("/*", 0), route("/old/*", 0), route("/none", 0)];
    routes[0].action = Action::Respond(fixed);
    routes[1].action = Action::RedirectTo { location, permanent: true };
    routes[2].action = Action::Respond(Fixed { status: 204, headers: Vec::new(), body: String::new() });
    let balancer = Balancer::start(with(routes, Vec::new()));
    let mut client = balancer.connect();
    let page = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 11\r\nContent-Type: text/html\r\n\
                Retry-After: 60\r\n\r\n";
    client.send(get("/"));
    expect(&mut client, format!("{page}Back soon.\n"));
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
    expect(&mut client, page);
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi");
    expect(&mut client, format!("{page}Back soon.\n"));
    client.send("GET /old/x?y=z HTTP/1.1\r\nHost: test:8080\r\n\r\n");
    let moved =
        "HTTP/1.1 308 Permanent Redirect\r\nContent-Length: 0\r\nLocation: https://test/old/x?y=z\r\n\r\n";
    expect(&mut client, moved);
    client.send(get("/none"));
    expect(&mut client, "HTTP/1.1 204 No Content\r\n\r\n");
    // With part of the body still under way it is the last answer.
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 20\r\n\r\nhi");
    assert!(client.read_head().contains("Connection: close"));
    balancer.wait_for_metric("answers_total{status=\"5xx\"}", 4.0);
}

#[test]
fn clients_are_sent_to_where_an_endpoint_is_public() {
    let (public, hidden) = (Listening::start(), SteadyUpstream::saying("relayed"));
    let servers =
        vec![server(public.address(), Some("https://one.example.com/base/")), server(hidden.address(), None)];
    let target = Target::Backend(0);
    let mut routes = vec![route("/*", 0), route("/pick", 0), route("/only/*", 1)];
    routes[0].action = Action::Redirect { target: target.clone(), permanent: false };
    routes[1].action = Action::Pick(target);
    routes[2].action = Action::Redirect { target: Target::Backend(1), permanent: true };
    routes[2].policy.strip_prefix = Some("/only".into());
    let only = backend("public", vec![server(public.address(), Some("https://one.example.com"))]);
    let balancer = Balancer::start(with(routes, vec![backend("both", servers), only]));
    let mut client = balancer.http();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let answer = client.send("POST", "/a?b", "", b"");
        seen.push((answer.status, answer.field("Location").unwrap_or_default().to_owned()));
    }
    seen.sort();
    let redirected = (307, "https://one.example.com/base/a?b".to_owned());
    assert_eq!(seen, [(200, String::new()), (200, String::new()), redirected.clone(), redirected]);
    let urls: std::collections::BTreeSet<String> =
        (0..4).map(|_| client.get("/pick").text().to_owned()).collect();
    let expected = [
        "{\"url\":\"https://one.example.com/base\"}\n".to_owned(),
        format!("{{\"url\":\"http://{}\"}}\n", hidden.address()),
    ];
    assert_eq!(urls, expected.into());
    let answer = client.get("/only/x?y");
    assert_eq!((answer.status, answer.field("Location")), (308, Some("https://one.example.com/x?y")));
    // An upgrade cannot be sent elsewhere.
    let mut wire = balancer.connect();
    wire.send("GET /only/ HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    let mut server = public.accept();
    server.read_until(b"\r\n\r\n");
    server.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello");
    wire.read_until(b"hello");
}

#[test]
fn a_pick_goes_by_the_name_that_an_upstream_proves() {
    let mut picked = route("/*", 0);
    picked.action = Action::Pick(Target::Backend(0));
    // Nobody connects to it.
    let upstream = Upstream { host: "localhost".into(), port: 443, scheme: Scheme::Https };
    let named = Server { upstream, weight: 1, public_url: None };
    let balancer = Balancer::start(with(vec![picked], vec![backend("named", vec![named])]));
    assert_eq!(balancer.http().get("/").text(), "{\"url\":\"https://localhost\"}\n");
}

#[test]
fn nobody_who_is_gone_is_asked_twice_for_one_request() {
    let (gone, canary) = (Refusing::start(), SteadyUpstream::saying("canary"));
    let mut redirected = route("/*", 0);
    let shares = vec![(0, 8), (1, 4), (2, 2)];
    redirected.action = Action::Redirect { target: Target::Split { shares, by: None }, permanent: false };
    let backends = vec![
        backend("nobody", vec![]),
        backend("gone", vec![server(gone.address, None)]),
        backend("canary", vec![server(canary.address(), None)]),
    ];
    let balancer = Balancer::start(with(vec![redirected], backends));
    // One round of turns: whoever's turn it is, there is one refusal at most, and none for the canary's own.
    let mut client = balancer.http();
    for _ in 0..7 {
        assert_eq!(client.get("/").text(), "canary");
    }
    balancer.wait_for_metric("connects_failed_total", 6.0);
}

#[test]
fn a_question_to_the_whole_server_is_relayed() {
    let upstream = SteadyUpstream::saying("relayed");
    let mut redirected = route("/*", 0);
    redirected.action = Action::Redirect { target: Target::Backend(0), permanent: false };
    let servers = vec![server(upstream.address(), Some("https://one.example.com"))];
    let balancer = Balancer::start(with(vec![redirected], vec![backend("public", servers)]));
    let mut client = balancer.http();
    let answer = client.send("OPTIONS", "*", "", b"");
    // With the target behind it the URL would name another server.
    assert_eq!((answer.field("Location"), answer.text()), (None, "relayed"), "{}", answer.head);
    let answer = client.send("OPTIONS", "/", "", b"");
    assert_eq!(answer.field("Location"), Some("https://one.example.com/"), "{}", answer.head);
}
