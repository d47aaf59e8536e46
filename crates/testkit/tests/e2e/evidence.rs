//! What the balancer believes of instances: it looks for itself, says why, and nobody waits for who is stopped.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use berth_testkit::{Http, Listening, Process, Signal, SteadyUpstream, eventually};
use serde_json::Value;

use crate::site::{
    Balancer, File, balancer, count_answers, free_port, port_of, registry, registry_at, server,
};

/// What is told of the endpoint at this address.
fn told(balancer: &Balancer, address: SocketAddr) -> Option<Value> {
    let answer = Http::once(balancer.admin, "/v1/endpoints");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told: Value = serde_json::from_str(answer.text()).unwrap();
    let mut endpoints = told["endpoints"].as_array().unwrap().iter();
    endpoints.find(|endpoint| endpoint["address"] == address.to_string()).cloned()
}

fn wait_for_state(balancer: &Balancer, address: SocketAddr, state: &str, reason: &str) -> Value {
    eventually(&format!("{address} is {state}: {reason}"), || {
        told(balancer, address).filter(|told| told["state"] == state && told["reason"] == reason)
    })
}

#[test]
fn nobody_waits_for_one_that_is_stopped() {
    let registry = registry();
    let registry = registry.address().to_string();
    let balancer = balancer(&registry);
    let (stopped, well) = (server(&registry), server(&registry));
    balancer.wait_for_endpoints(2);
    count_answers(balancer.address, 4);
    stopped.freeze();
    // One of the two goes to it; it was taken, and nobody answers.
    let mut clients: Vec<Http> = (0..2).map(|_| Http::connect(balancer.address)).collect();
    clients.iter_mut().for_each(|client| client.wire.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n"));
    for client in &mut clients {
        let answer = client.read_answer();
        assert_eq!((answer.status, port_of(answer.text())), (200, well.address().port()));
    }
    let told = wait_for_state(&balancer, stopped.address(), "ejected", "unanswered");
    assert_eq!(told["because"], "it did not answer a probe");
    assert_eq!(told["last_probe"]["outcome"], "unanswered");
    assert_eq!(told["backends"], serde_json::json!(["default"]));
    balancer.process.wait_for_line(&["endpoint ejected", "did not answer a probe"]);
    assert_eq!(balancer.metric("balancer_requests_retried_total{why=\"silence\"}"), Some(1.0));
    assert_eq!(
        balancer.metric("balancer_endpoint_turns_total{state=\"ejected\",reason=\"unanswered\"}"),
        Some(1.0)
    );
    let counts = count_answers(balancer.address, 10);
    assert_eq!(counts.keys().collect::<Vec<_>>(), [&well.address().port()]);
    stopped.signal(Signal::CONT);
    wait_for_state(&balancer, stopped.address(), "confirmed", "listed");
    balancer.wait_for_endpoints(2);
    let counts = count_answers(balancer.address, 10);
    assert_eq!(counts.values().collect::<Vec<_>>(), [&5, &5], "{counts:?}");
}

#[test]
fn a_slow_one_that_answers_probes_is_left_alone() {
    let registry = registry();
    let registry = registry.address().to_string();
    let balancer = balancer(&registry);
    let slow = Process::start("server", &["--registry", &registry, "--delay", "1500ms"]);
    balancer.wait_for_endpoints(1);
    let mut client = Http::connect(balancer.address);
    assert_eq!(client.get("/").status, 200);
    // Its probes are as slow, and so are not answered in time: but there is nobody else.
    assert_eq!(client.get("/").status, 200);
    drop(slow);
}

#[test]
fn nobody_is_asked_anything_while_nothing_is_wrong() {
    let upstream = Listening::start();
    let url = upstream.address().to_string();
    let balancer = Balancer::start(&["--upstream", &url]);
    let mut client = Http::connect(balancer.address);
    client.wire.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut server = upstream.accept();
    server.read_head();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(client.read_answer().status, 200);
    let told = told(&balancer, upstream.address()).unwrap();
    assert_eq!((&told["state"], &told["last_probe"]), (&"confirmed".into(), &Value::Null));
    assert_eq!(balancer.metric("balancer_probes_total{outcome=\"answered\"}"), None);
    // An error is a doubt, which a probe settles.
    client.wire.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    server.read_head();
    server.send("HTTP/1.1 500 Oh\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(client.read_answer().status, 500);
    let mut probe = upstream.accept();
    assert!(probe.read_head().starts_with("HEAD / HTTP/1.1\r\n"));
    probe.send("HTTP/1.1 404 No\r\n\r\n");
    eventually("the probe is told", || {
        let answered = balancer.metric("balancer_probes_total{outcome=\"answered\"}");
        (answered == Some(1.0)).then_some(())
    });
    let told = wait_for_state(&balancer, upstream.address(), "confirmed", "listed");
    assert_eq!((&told["last_probe"]["status"], &told["doubted"]), (&404.into(), &false.into()));
}

#[test]
fn one_that_refuses_is_out_and_comes_back() {
    let port = free_port();
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    let well = Process::start("server", &[]);
    let urls = format!("{address},{}", well.address());
    let balancer = Balancer::start(&["--upstream", &urls]);
    let counts = count_answers(balancer.address, 4);
    assert_eq!(counts.keys().collect::<Vec<_>>(), [&well.address().port()]);
    let told = wait_for_state(&balancer, address, "ejected", "refused");
    assert_eq!(told["because"], "it refused a connection");
    let _back = Process::start("server", &["--port", &port.to_string()]);
    wait_for_state(&balancer, address, "confirmed", "listed");
    balancer.wait_for_endpoints(2);
}

/// No endpoint is worse for what the balancer is out of.
#[test]
fn nobody_is_blamed_for_what_we_are_out_of() {
    let upstreams = ["one", "two"].map(SteadyUpstream::saying);
    let urls = upstreams.each_ref().map(|upstream| upstream.address().to_string()).join(",");
    let balancer = Balancer::start(&["--upstream", &urls]);
    let mut client = Http::connect(balancer.address);
    let first = client.get("/").text().to_owned();
    // The other one would have the next turn, for which a connection has to be opened.
    let before = balancer.process.limit_files(0);
    for _ in 0..4 {
        assert_eq!(client.get("/").text(), first);
    }
    balancer.process.limit_files(before);
    for upstream in &upstreams {
        let told = told(&balancer, upstream.address()).unwrap();
        assert_eq!((&told["state"], &told["failures"]), (&"confirmed".into(), &0.into()), "{told}");
        assert_eq!((&told["doubted"], &told["last_probe"]), (&false.into(), &Value::Null), "{told}");
    }
    let counts: BTreeMap<String, usize> = (0..6).fold(BTreeMap::new(), |mut counts, _| {
        *counts.entry(client.get("/").text().to_owned()).or_default() += 1;
        counts
    });
    assert_eq!(counts.values().collect::<Vec<_>>(), [&3, &3], "{counts:?}");
}

#[test]
fn checks_take_out_who_does_not_answer_as_expected() {
    let (well, ill) = (Listening::start(), Listening::start());
    let answer = |listening: Listening, status: &'static str, seen: std::sync::mpsc::Sender<String>| {
        let address = listening.address();
        std::thread::spawn(move || {
            loop {
                let mut wire = listening.accept();
                let head = wire.read_head();
                let status = if head.starts_with("GET /healthz ") { status } else { "200 OK" };
                wire.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
                if seen.send(head).is_err() {
                    return;
                }
            }
        });
        address
    };
    let (sender, heads) = std::sync::mpsc::channel();
    let (well, ill) = (answer(well, "204 No", sender.clone()), answer(ill, "503 No", sender));
    let file = File::with(&format!(
        "backends:\n  web:\n    servers: [\"http://{well}\", \"http://{ill}\"]\n    health: {{path: /healthz, \
         host: check.example, interval: 100ms}}\nroutes:\n  - backend: web\n"
    ));
    let balancer = file.balancer();
    let told = wait_for_state(&balancer, ill, "ejected", "checks");
    assert_eq!(told["because"], "3 checks in a row were not answered as expected");
    assert_eq!(told["last_probe"]["outcome"], "unexpected");
    wait_for_state(&balancer, well, "confirmed", "listed");
    let asked = heads.try_iter().find(|head| head.starts_with("GET /healthz ")).unwrap();
    assert!(asked.contains("Host: check.example\r\n"), "{asked}");
}

#[test]
fn a_server_that_two_backends_name_differently_is_in_both() {
    let server = Process::start("server", &[]);
    let port = server.address().port();
    // The address is known at once; the name has to be looked up and is known later.
    let file = File::with(&format!(
        "routes:\n  - path: /a/*\n    servers: [\"http://localhost:{port}\"]\n  - path: /b/*\n    servers: \
         [\"http://127.0.0.1:{port}\"]\n"
    ));
    let balancer = file.balancer();
    for path in ["/a/x", "/b/x"] {
        eventually(&format!("{path} is served"), || {
            (Http::once(balancer.address, path).status == 200).then_some(())
        });
    }
}

#[test]
fn a_start_while_no_registry_answers() {
    let port = free_port();
    let registry_address = format!("localhost:{port}");
    let mut registry = registry_at(port);
    let servers = [server(&registry_address), server(&registry_address)];
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let arguments = ["--registry", &registry_address, "--state", state.to_str().unwrap()];
    let first = Balancer::start(&arguments);
    first.wait_for_endpoints(2);
    let listed = servers.each_ref().map(|server| format!("\"port\":{}", server.address().port()));
    eventually("the list is kept", || {
        let text = std::fs::read_to_string(&state).unwrap_or_default();
        listed.iter().all(|port| text.contains(port)).then_some(())
    });
    registry.kill();
    drop(first);
    let second = Balancer::start(&arguments);
    let mut seen: Vec<u16> = (0..4).map(|_| port_of(Http::once(second.address, "/").text())).collect();
    seen.sort_unstable();
    seen.dedup();
    assert!(!seen.is_empty());
    let told = wait_for_state(&second, servers[0].address(), "unconfirmed", "remembered");
    assert_eq!(told["last_probe"]["outcome"], "answered");
    second.wait_for_endpoints(2);
    // The registry knows best when it is back; its servers register again.
    let _registry = registry_at(port);
    for server in &servers {
        wait_for_state(&second, server.address(), "confirmed", "listed");
    }
}

#[test]
fn a_hung_registry_takes_nobody_away_and_stops_no_start() {
    let registry = registry();
    let address = registry.address().to_string();
    let servers = [server(&address), server(&address)];
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let arguments = ["--registry", &address, "--state", state.to_str().unwrap()];
    let first = Balancer::start(&arguments);
    first.wait_for_endpoints(2);
    eventually("the list is kept", || {
        let text = std::fs::read_to_string(&state).unwrap_or_default();
        text.contains(&format!("\"port\":{}", servers[1].address().port())).then_some(())
    });
    registry.freeze();
    let counts = count_answers(first.address, 10);
    assert_eq!(counts.values().collect::<Vec<_>>(), [&5, &5], "{counts:?}");
    drop(first);
    // It accepts and says nothing: it is not waited for.
    let second = Balancer::start(&arguments);
    assert_eq!(Http::once(second.address, "/").status, 200);
    registry.signal(Signal::CONT);
    for server in &servers {
        wait_for_state(&second, server.address(), "confirmed", "listed");
    }
}

#[test]
fn the_command_tells_of_each_endpoint() {
    let port = free_port();
    let refused: SocketAddr = ([127, 0, 0, 1], port).into();
    let well = Process::start("server", &[]);
    let urls = format!("{refused},{}", well.address());
    let balancer = Balancer::start(&["--upstream", &urls]);
    count_answers(balancer.address, 4);
    wait_for_state(&balancer, refused, "ejected", "refused");
    let admin = balancer.admin.to_string();
    let (code, table, _) = Process::start("balancer", &["endpoints", "--admin", &admin]).output();
    assert_eq!(code, Some(0));
    let mut lines = table.lines();
    assert!(lines.next().unwrap().starts_with("SERVICE"), "{table}");
    let line = lines.find(|line| line.contains(&refused.to_string())).unwrap();
    assert!(line.contains("ejected") && line.ends_with("it refused a connection"), "{table}");
    let (code, json, _) =
        Process::start("balancer", &["endpoints", "-o", "json", "--admin", &admin]).output();
    assert_eq!(code, Some(0));
    let told: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(told["endpoints"].as_array().unwrap().len(), 2);
    drop(balancer);
    let (code, _, complaint) = Process::start("balancer", &["endpoints", "--admin", &admin]).output();
    assert_eq!(code, Some(1), "{complaint}");
    assert!(complaint.contains(&format!("cannot ask the balancer at {admin}")), "{complaint}");
}
