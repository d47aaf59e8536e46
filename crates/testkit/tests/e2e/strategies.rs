//! How endpoints are chosen, seen from outside.

use std::collections::BTreeMap;

use berth_testkit::{Http, Listening, Process, SteadyUpstream};

use crate::site::{Balancer, File, linked_server, patch, port_of, registry};

fn balancer_of(upstreams: &[&SteadyUpstream], keys: &str) -> Balancer {
    let servers: Vec<String> = upstreams.iter().map(|it| format!("http://{}", it.address())).collect();
    File::with(&format!("routes:\n  - {{path: /*, servers: [{}], {keys}}}\n", servers.join(", "))).balancer()
}

fn counts(balancer: &Balancer, requests: usize) -> BTreeMap<String, usize> {
    let mut client = Http::connect(balancer.address);
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        *counts.entry(client.get("/").text().to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn weights_of_the_file_and_of_the_registry_hold_and_change() {
    let registry = registry();
    let address = registry.address().to_string();
    let servers = ["a", "b"].map(|id| linked_server(&address, &["--id", id]));
    for (server, weight) in ["server/a", "server/b"].into_iter().zip([5, 1]) {
        patch(registry.address(), server, &format!("{{\"weight\": {weight}}}"));
    }
    let fixed = SteadyUpstream::saying("fixed");
    let file = File::with(&format!(
        "registry: {address}
routes:
  - path: /*
    strategy: weighted_round_robin
    service: server
    servers: [{{url: 'http://{}', weight: 3}}]
",
        fixed.address()
    ));
    let balancer = file.balancer();
    balancer.wait_for_endpoints(3);
    let shares = |balancer: &Balancer, requests: usize| {
        let counts = counts(balancer, requests);
        let of = |server: &Process| {
            let its =
                counts.iter().find(|(text, _)| *text != "fixed" && port_of(text) == server.address().port());
            its.map_or(0, |(_, count)| *count)
        };
        (of(&servers[0]), counts["fixed"], of(&servers[1]))
    };
    assert_eq!(shares(&balancer, 900), (500, 300, 100));
    // The balancer hears of a change of weight with the next event; that is when the shares change.
    patch(registry.address(), "server/b", "{\"weight\": 8}");
    berth_testkit::eventually("the new weights hold", || {
        (shares(&balancer, 160) == (50, 30, 80)).then_some(())
    });
}

#[test]
fn a_slow_endpoint_gets_few_requests_by_load() {
    let (slow, quick) = (Listening::start(), SteadyUpstream::saying("quick"));
    let text = format!(
        "routes: [{{path: /*, strategy: least_connections, servers: ['http://{}', 'http://{}']}}]\n",
        slow.address(),
        quick.address()
    );
    let balancer = File::with(&text).balancer();
    // One request is with the slow one and stays there: nobody else is sent to it.
    let mut clients: Vec<Http> = (0..2).map(|_| Http::connect(balancer.address)).collect();
    for client in &mut clients {
        client.wire.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    let _stays = slow.accept();
    assert_eq!(counts(&balancer, 50), BTreeMap::from([("quick".to_owned(), 50)]));
}

#[test]
fn one_that_fails_at_once_attracts_next_to_nothing() {
    let bad = SteadyUpstream::answering("HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nbad");
    let good = SteadyUpstream::saying("good");
    for strategy in ["least_connections", "p2c", "peak_ewma"] {
        let balancer = balancer_of(&[&bad, &good], &format!("strategy: {strategy}"));
        let counts = counts(&balancer, 500);
        assert!(counts.get("bad").copied().unwrap_or(0) <= 10, "{strategy}: {counts:?}");
    }
}

#[test]
fn two_balancers_send_a_client_to_the_same_endpoint() {
    let upstreams = ["a", "b", "c", "d"].map(SteadyUpstream::saying);
    let all: Vec<&SteadyUpstream> = upstreams.iter().collect();
    let keys = "strategy: consistent_hash, hash_by: {header: X-User}";
    let balancers = [balancer_of(&all, keys), balancer_of(&all, keys)];
    let mut seen = std::collections::BTreeSet::new();
    for user in 0..30 {
        let [first, second] = balancers.each_ref().map(|balancer| {
            let fields = format!("X-User: {user}\r\n");
            Http::connect(balancer.address).send("GET", "/", &fields, b"").text().to_owned()
        });
        assert_eq!(first, second, "user {user}");
        seen.insert(first);
    }
    assert_eq!(seen.len(), 4, "users are spread");
    // By address everybody here is one client.
    let balancers = [balancer_of(&all, "strategy: ip_hash"), balancer_of(&all, "strategy: ip_hash")];
    let [first, second] = balancers.each_ref().map(|balancer| counts(balancer, 20));
    assert!(first.len() == 1 && first == second, "{first:?} {second:?}");
}

#[test]
fn a_load_report_decides_and_goes_no_further() {
    let answer = |load: &str, text: &str| {
        SteadyUpstream::answering(format!(
            "HTTP/1.1 200 OK\r\nX-Berth-Load: {load}\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        ))
    };
    let (idle, busy) = (answer("0", "idle"), answer("0.9", "busy"));
    let balancer = balancer_of(&[&idle, &busy], "strategy: load");
    let head = Http::once(balancer.address, "/").head;
    assert!(!head.to_ascii_lowercase().contains("x-berth-load"), "{head}");
    let counts = counts(&balancer, 1000);
    assert!(counts["idle"] > 4 * counts["busy"], "{counts:?}");
}

#[test]
fn a_strategy_changes_while_requests_run() {
    let upstreams = ["a", "b", "c"].map(SteadyUpstream::saying);
    let text = |keys: &str| {
        let servers: Vec<String> = upstreams.iter().map(|it| format!("http://{}", it.address())).collect();
        format!("routes:\n  - {{path: /*, servers: [{}]{keys}}}\n", servers.join(", "))
    };
    let file = File::with(&text(""));
    let balancer = file.balancer();
    assert_eq!(counts(&balancer, 30), ["a", "b", "c"].map(|name| (name.to_owned(), 10)).into());
    for (keys, endpoints) in [
        (", strategy: ip_hash", 1),
        (", strategy: least_connections, slow_start: 1h", 3),
        (", strategy: weighted_round_robin", 3),
        ("", 3),
    ] {
        file.set(&text(keys));
        let answer = Http::connect(balancer.admin).send("POST", "/reload", "Host: localhost\r\n", b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.text().contains("backend /* changed"), "{}", answer.text());
        assert_eq!(counts(&balancer, 30).len(), endpoints, "{keys}");
    }
}
