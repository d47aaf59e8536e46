//! Whatever dies, no request is lost that somebody could have served.

use berth_testkit::{Http, Process, Signal, eventually};

use crate::site::{Load, balancer, count_answers, registry, server, short_lived_server};

#[test]
fn kill_9_under_200_connections_fails_no_get() {
    let registry = registry();
    let address = registry.address().to_string();
    let balancer = balancer(&address);
    let mut servers: Vec<Process> = (0..3).map(|_| server(&address)).collect();
    balancer.wait_for_endpoints(3);
    let load = Load::start(balancer.address, 200);
    load.wait_for_answers(2_000);
    servers[0].kill();
    load.wait_for_answers(5_000);
    let (failures, answered) = load.stop();
    assert!(failures.is_empty(), "{} of {answered} failed: {:?}", failures.len(), failures.first());
}

#[test]
fn a_hung_server_leaves_when_its_lease_ends_and_may_come_back() {
    let registry = registry();
    let address = registry.address().to_string();
    let balancer = balancer(&address);
    let hung = short_lived_server(&address);
    let well = server(&address);
    balancer.wait_for_endpoints(2);
    hung.freeze();
    let id = format!(":{} ", hung.address().port());
    // What the registry thinks is looked at: nobody who is silent is kept.
    balancer.process.wait_for_line(&["endpoint unconfirmed", &id, "its lease ran out"]);
    balancer.process.wait_for_line(&["endpoint ejected", &id, "did not answer a probe"]);
    balancer.process.wait_for_line(&["instance left", &id, "reason=\"never_answered\""]);
    balancer.wait_for_endpoints(1);
    let counts = count_answers(balancer.address, 20);
    assert_eq!(counts.keys().collect::<Vec<_>>(), [&well.address().port()]);
    hung.signal(Signal::CONT);
    balancer.wait_for_endpoints(2);
    let counts = count_answers(balancer.address, 20);
    assert_eq!(counts.values().collect::<Vec<_>>(), [&10, &10], "{counts:?}");
}

#[test]
fn when_all_are_killed_the_client_is_told_at_once() {
    let registry = registry();
    let address = registry.address().to_string();
    let balancer = balancer(&address);
    let mut servers: Vec<Process> = (0..3).map(|_| server(&address)).collect();
    balancer.wait_for_endpoints(3);
    count_answers(balancer.address, 30);
    for server in &mut servers {
        server.kill();
    }
    let mut client = Http::connect(balancer.address);
    let answer = client.get("/");
    assert_eq!((answer.status, answer.field("Retry-After")), (503, Some("1")));
    // The registry has seen some of them crash by now, or all.
    let known =
        ["No instance of any service accepts a connection.\n", "No instance of any service is available.\n"];
    assert!(known.contains(&answer.text()), "{}", answer.text());
    balancer.wait_for_endpoints(0);
    let answer = client.get("/");
    assert_eq!((answer.status, answer.field("Retry-After")), (503, Some("1")));
    assert_eq!(answer.text(), "No instance of any service is available.\n");
    let _back = server(&address);
    eventually("service again", || (client.get("/").status == 200).then_some(()));
}

/// Puts an instance by hand; the version may change within a run.
fn put(registry: std::net::SocketAddr, port: u16, version: &str) {
    let body = format!(r#"{{"port":{port},"run":"77","version":"{version}"}}"#);
    let fields = "Host: localhost\r\nContent-Type: application/json\r\n";
    let answer = Http::connect(registry).send("PUT", "/v1/services/gg/instances/a", fields, body.as_bytes());
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
}

#[test]
fn what_is_not_wanted_any_more_leaves_and_so_does_what_was_removed() {
    let registry = registry();
    let address = registry.address();
    let upstream = berth_testkit::SteadyUpstream::saying("gg");
    let port = upstream.address().port();
    let balancer = crate::site::Balancer::start(&["--registry", &address.to_string(), "--service", "gg@1.x"]);
    put(address, port, "1.2.3");
    balancer.wait_for_endpoints(1);
    put(address, port, "2.0.0");
    balancer.wait_for_endpoints(0);
    put(address, port, "1.2.4");
    balancer.wait_for_endpoints(1);
    let answer =
        Http::connect(address).send("DELETE", "/v1/services/gg/instances/a", "Host: localhost\r\n", b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    balancer.process.wait_for_line(&["instance left", "removed"]);
    balancer.wait_for_endpoints(0);
}

#[test]
fn the_sentence_names_the_service() {
    let registry = registry();
    let address = registry.address().to_string();
    let web = crate::site::Balancer::start(&["--registry", &address, "--service", "web@1.x"]);
    let _old = Process::start("server", &["--registry", &address, "--name", "web@0.9.0"]);
    let _other = Process::start("server", &["--registry", &address, "--name", "api@1.0.0"]);
    let both = balancer(&address);
    both.wait_for_endpoints(2);
    let line = both.process.wait_for_line(&["WARN", "--service"]);
    assert!(line.contains("api, web"), "{line}");
    let answer = Http::once(web.address, "/");
    assert_eq!((answer.status, answer.text()), (503, "No instance of service web@1.x is available.\n"));
    let right = Process::start("server", &["--registry", &address, "--name", "web@1.4.2"]);
    web.wait_for_endpoints(1);
    let counts = count_answers(web.address, 10);
    assert_eq!(counts.keys().collect::<Vec<_>>(), [&right.address().port()]);
}
