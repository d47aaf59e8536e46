//! Backends with limits when endpoints fail, and when the file changes while requests wait.

use std::collections::BTreeMap;

use berth_testkit::{Http, Listening, SteadyUpstream, eventually};

use crate::queue::{ANSWER, ask, next, wait_for_waiting};
use crate::site::{Balancer, File, free_port, linked_server, port_of, registry};

fn reload(balancer: &Balancer, file: &File, text: &str) {
    file.set(text);
    let answer = Http::connect(balancer.admin).send("POST", "/reload", "Host: localhost\r\n", b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn waiting(balancer: &Balancer, backend: &str) -> Option<f64> {
    balancer.metric(&format!("balancer_queue_waiting{{backend=\"{backend}\"}}"))
}

fn wait_for(balancer: &Balancer, backend: &str, count: usize) {
    eventually("they wait", || (waiting(balancer, backend) == Some(count as f64)).then_some(()));
}

#[test]
fn a_client_whose_endpoint_refuses_moves_on() {
    let (dying, stays) = (SteadyUpstream::saying("dying"), SteadyUpstream::saying("stays"));
    let text = |first: &str| {
        format!(
            "routes: [{{path: /*, sticky: cookie, max_in_flight: 4, servers: ['http://{first}', 'http://{}']}}]\n",
            stays.address()
        )
    };
    let refuses = format!("127.0.0.1:{}", free_port());
    let balancer = File::with(&text(&refuses)).balancer();
    // The cookie of the one that refuses, from a backend that only tells of it.
    let pick = File::with(&text(&refuses).replace("max_in_flight: 4", "pick: true")).balancer();
    let cookie = eventually("the one that refuses", || {
        let answer = Http::once(pick.address, "/");
        let cookie = answer.field("Set-Cookie")?.split(';').next()?.to_owned();
        answer.text().contains(&refuses).then_some(cookie)
    });
    for _ in 0..5 {
        let answer = Http::connect(balancer.address).send("GET", "/", &format!("Cookie: {cookie}\r\n"), b"");
        assert_eq!((answer.status, answer.text()), (200, "stays"));
        assert!(answer.field("Set-Cookie").is_some_and(|set| !set.starts_with(&cookie)));
    }
    // The first has tried it, and since then it is out.
    assert!(balancer.metric("balancer_connects_failed_total") >= Some(1.0));
    assert_eq!(balancer.metric("balancer_endpoint_states{state=\"ejected\"}"), Some(1.0));
    drop(dying);
}

#[test]
fn a_key_has_one_stand_in_also_where_there_are_limits() {
    let upstreams = ["a", "b", "c"].map(SteadyUpstream::saying);
    let mut servers: Vec<String> = upstreams.iter().map(|it| format!("'http://{}'", it.address())).collect();
    servers.push(format!("'http://127.0.0.1:{}'", free_port()));
    let text = format!(
        "routes: [{{path: /*, strategy: consistent_hash, hash_by: {{header: X-Key}}, max_in_flight: 50, servers: [{}]}}]\n",
        servers.join(", ")
    );
    let balancer = File::with(&text).balancer();
    let of = |key: usize| {
        let answer = Http::connect(balancer.address).send("GET", "/", &format!("X-Key: {key}\r\n"), b"");
        answer.text().to_owned()
    };
    // Once all know that one is out.
    eventually("somebody has met the dead one", || {
        (0..40).for_each(|key| drop(of(key)));
        (balancer.metric("balancer_endpoints ") == Some(3.0)).then_some(())
    });
    let first: Vec<String> = (0..40).map(of).collect();
    assert!((0..3).all(|_| (0..40).map(of).eq(first.iter().cloned())));
    assert!(balancer.metric("balancer_connects_failed_total") > Some(0.0), "some keys were the dead one's");
}

#[test]
fn the_limits_of_another_share_hold_for_who_comes_from_the_first() {
    let upstream = Listening::start();
    let balancer = File::with(&format!(
        "routes: [{{path: /*, split: {{plain: 1, limited: 1}}}}]
backends:
  plain: {{servers: ['http://127.0.0.1:{}']}}
  limited: {{servers: ['http://{}'], max_in_flight: 1, queue: {{timeout: 1h}}}}
",
        free_port(),
        upstream.address()
    ))
    .balancer();
    let mut clients: Vec<Http> = (0..4).map(|_| ask(&balancer, "/")).collect();
    wait_for(&balancer, "limited", 3);
    for _ in 0..4 {
        let (mut wire, _) = next(&upstream);
        assert!(upstream.try_accept().is_none(), "one at a time");
        wire.send(ANSWER);
    }
    assert!(clients.iter_mut().all(|client| client.read_answer().status == 200));
}

#[test]
fn who_has_waited_in_vain_is_served_by_whoever_else_has_a_share() {
    let (full, idle) = (Listening::start(), SteadyUpstream::saying("idle"));
    let balancer = File::with(&format!(
        "routes: [{{path: /*, split: {{full: 1, idle: 1}}}}]
backends:
  full: {{servers: ['http://{}'], max_in_flight: 1, queue: {{timeout: 50ms}}}}
  idle: {{servers: ['http://{}'], max_in_flight: 1, queue: {{timeout: 1h}}}}
",
        full.address(),
        idle.address()
    ))
    .balancer();
    let mut clients: Vec<Http> = (0..2).map(|_| ask(&balancer, "/")).collect();
    let (mut wire, _) = next(&full);
    let mut client = Http::connect(balancer.address);
    assert!((0..4).all(|_| client.get("/").text() == "idle"));
    assert!(
        balancer.metric("balancer_turned_away_total{backend=\"full\",reason=\"queue_timeout\"}") >= Some(1.0)
    );
    wire.send(ANSWER);
    assert!(clients.iter_mut().all(|client| client.read_answer().status == 200));
}

#[test]
fn a_new_route_to_their_backend_disturbs_nobody_who_waits() {
    let upstream = Listening::start();
    let text = |more: &str| {
        format!(
            "routes:
  - {{path: /*, backend: shared}}
{more}backends:
  shared: {{servers: ['http://{}'], max_in_flight: 1, queue: {{timeout: 1h}}}}
",
            upstream.address()
        )
    };
    let file = File::with(&text(""));
    let balancer = file.balancer();
    let mut clients: Vec<Http> = (0..3).map(|_| ask(&balancer, "/")).collect();
    wait_for(&balancer, "shared", 2);
    let (mut wire, _) = next(&upstream);
    reload(&balancer, &file, &text("  - {path: /b, backend: shared, strategy: random}\n"));
    assert_eq!(waiting(&balancer, "shared"), Some(2.0));
    wire.send(ANSWER);
    for _ in 0..2 {
        next(&upstream).0.send(ANSWER);
    }
    assert!(clients.iter_mut().all(|client| client.read_answer().status == 200));
}

#[test]
fn who_waits_goes_on_under_a_new_name_and_is_told_when_there_is_none() {
    let upstreams = [Listening::start(), Listening::start()];
    let [one, two] = upstreams.each_ref().map(Listening::address);
    let text = |path: &str, server| {
        let keys = "max_in_flight: 1, queue: {timeout: 1h}";
        format!("routes: [{{path: {path}, servers: ['http://{server}'], {keys}}}]\n")
    };
    let file = File::with(&text("/a/*", one));
    let balancer = file.balancer();
    let mut clients: Vec<Http> = (0..3).map(|_| ask(&balancer, "/a/x")).collect();
    wait_for(&balancer, "/a/*", 2);
    let (mut wire, _) = next(&upstreams[0]);
    // Another path: it is the same backend.
    reload(&balancer, &file, &text("/b/*", one));
    assert_eq!(waiting(&balancer, "/b/*"), Some(2.0));
    wire.send(ANSWER);
    let (mut wire, _) = next(&upstreams[0]);
    // Another server under the same name: nobody is sent to the one that is gone.
    reload(&balancer, &file, &text("/b/*", two));
    let (mut at_two, _) = next(&upstreams[1]);
    at_two.send(ANSWER);
    wire.send(ANSWER);
    assert!(clients.iter_mut().all(|client| client.read_answer().status == 200));
    assert!(upstreams[0].try_accept().is_none());

    let mut first = ask(&balancer, "/b/x");
    let (mut wire, _) = next(&upstreams[1]);
    let mut second = ask(&balancer, "/b/x");
    wait_for(&balancer, "/b/*", 1);
    // Another backend altogether.
    reload(&balancer, &file, &text("/c/*", one));
    assert_eq!(second.read_answer().status, 503);
    wire.send(ANSWER);
    assert_eq!(first.read_answer().status, 200);
}

#[test]
fn a_held_request_is_served_under_a_new_name() {
    let registry = registry();
    let address = registry.address().to_string();
    let text = |path: &str| {
        let queue = "{hold_when_empty: true, timeout: 1h}";
        format!("registry: {address}\nroutes: [{{path: {path}, service: web, queue: {queue}}}]\n")
    };
    let file = File::with(&text("/a/*"));
    let balancer = file.balancer();
    let mut held = ask(&balancer, "/a/x");
    wait_for(&balancer, "/a/*", 1);
    reload(&balancer, &file, &text("/b/*"));
    wait_for(&balancer, "/b/*", 1);
    let server = linked_server(&address, &["--name", "web"]);
    assert_eq!(port_of(held.read_answer().text()), server.address().port());
}

#[test]
fn who_is_only_to_be_told_where_to_go_is_not_held() {
    let registry = registry();
    let address = registry.address().to_string();
    let balancer = File::with(&format!(
        "registry: {address}
routes:
  - {{path: /go/*, mode: redirect, backend: held}}
  - {{path: /ask, pick: true, backend: held}}
  - {{path: /*, backend: held}}
backends:
  held: {{service: web, queue: {{hold_when_empty: true, timeout: 1h}}}}
"
    ))
    .balancer();
    for path in ["/go/x", "/ask"] {
        let answer = Http::once(balancer.address, path);
        assert_eq!((answer.status, answer.field("Retry-After")), (503, Some("1")), "{path}");
        assert_eq!(answer.text(), "No instance of backend held is available.\n");
    }
    // Counted once the client has its answer.
    eventually("both are counted", || {
        (balancer.metric("balancer_failures_total{side=\"none\"}") == Some(2.0)).then_some(())
    });
}

#[test]
fn everybody_is_served_while_servers_come_and_go() {
    let upstreams: BTreeMap<&str, SteadyUpstream> =
        ["a", "b", "c"].map(|name| (name, SteadyUpstream::saying(name))).into();
    let text = |names: &[&str], most: u32| {
        let urls: Vec<String> =
            names.iter().map(|name| format!("'http://{}'", upstreams[name].address())).collect();
        format!(
            "routes: [{{path: /*, servers: [{}], max_in_flight: {most}, queue: {{timeout: 1h}}}}]\n",
            urls.join(", ")
        )
    };
    let file = File::with(&text(&["a"], 1));
    let balancer = file.balancer();
    let load = crate::site::Load::start(balancer.address, 16);
    for (names, most) in
        [(&["a", "b"][..], 1), (&["b"], 2), (&["a", "b", "c"], 1), (&["c"], 1), (&["a", "c"], 3), (&["b"], 1)]
    {
        load.wait_for_answers(200);
        reload(&balancer, &file, &text(names, most));
    }
    load.wait_for_answers(200);
    let (failures, _) = load.stop();
    assert!(failures.is_empty(), "{failures:?}");
    wait_for_waiting(&balancer, 0);
}
