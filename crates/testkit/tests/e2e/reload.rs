//! A configuration that changes under a balancer that runs.

use berth_testkit::{Http, Listening, Process, Signal, SteadyUpstream, Wire, eventually};

use crate::site::{Balancer, File, Load, free_port, port_of, registry, registry_at, server};

fn routes(path: &str, servers: &[&SteadyUpstream]) -> String {
    let servers: Vec<String> = servers.iter().map(|server| format!("http://{}", server.address())).collect();
    format!("routes:\n  - path: {path}\n    servers: [{}]\n", servers.join(", "))
}

fn reload(balancer: &Balancer) -> (Option<i32>, String, String) {
    Process::start("balancer", &["reload", "--admin", &balancer.admin.to_string()]).output()
}

#[test]
fn every_way_to_ask_for_it() {
    let upstreams = ["a", "b", "c", "d", "e"].map(SteadyUpstream::saying);
    let file = File::with(&routes("/*", &[&upstreams[0]]));
    let balancer = file.balancer();
    assert_eq!(Http::once(balancer.address, "/").text(), "a");
    // The file is watched.
    file.set(&routes("/*", &[&upstreams[1]]));
    balancer.process.wait_for_line(&["configuration reloaded"]);
    assert_eq!(Http::once(balancer.address, "/").text(), "b");
    // The command, which waits and reports.
    file.set(&routes("/x/*", &[&upstreams[2]]));
    let (code, told, _) = reload(&balancer);
    assert!(code == Some(0) && told.contains("reloaded, generation "), "{code:?}: {told}");
    assert_eq!(Http::once(balancer.address, "/x").text(), "c");
    // The admin port.
    file.set(&routes("/y/*", &[&upstreams[3]]));
    let answer = Http::connect(balancer.admin).send("POST", "/reload", "Host: localhost\r\n", b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(Http::once(balancer.address, "/y").text(), "d");
    // The signal; it is no end.
    file.set(&routes("/z/*", &[&upstreams[4]]));
    balancer.process.signal(Signal::HUP);
    balancer.process.wait_for_line(&["configuration reloaded", "route /z/* added"]);
    assert_eq!(Http::once(balancer.address, "/z").text(), "e");
}

#[test]
fn a_wrong_file_changes_nothing_and_says_why() {
    let upstream = SteadyUpstream::saying("a");
    let file = File::with(&routes("/*", &[&upstream]));
    let balancer = file.balancer();
    file.set("routes:\n  - pth: /x\n");
    let (code, _, problems) = reload(&balancer);
    assert_eq!(code, Some(78));
    assert!(problems.contains("balancer.yaml:2:5: unknown key `pth`, did you mean `path`?"), "{problems}");
    balancer.process.wait_for_line(&["ERROR", "nothing has changed"]);
    assert_eq!(Http::once(balancer.address, "/").text(), "a");
}

#[test]
fn five_hundred_reloads_under_load_fail_nothing() {
    let upstreams = ["a", "b", "c"].map(SteadyUpstream::saying);
    let sockets = Listening::start();
    let text = |round: usize| {
        // One of the three is out in each round, and a route comes and goes.
        let servers: Vec<&SteadyUpstream> =
            (0..3).filter(|place| *place != round % 3).map(|place| &upstreams[place]).collect();
        let more = format!("  - path: /ws\n    servers: [http://{}]\n", sockets.address());
        let coming = format!("  - path: /round/{round}/*\n    respond: {{body: x}}\n");
        routes("/*", &servers) + &more + &coming
    };
    let file = File::with(&text(0));
    let balancer = file.balancer();
    let mut tunnel = Wire::connect(balancer.address);
    tunnel.send("GET /ws HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    let mut socket = sockets.accept();
    socket.read_until(b"\r\n\r\n");
    socket.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    tunnel.read_until(b"\r\n\r\n");
    let load = Load::start(balancer.address, 16);
    load.wait_for_answers(500);
    for round in 1..=500 {
        file.set(&text(round));
        let answer = Http::connect(balancer.admin).send("POST", "/reload", "Host: localhost\r\n", b"");
        assert_eq!(answer.status, 200, "round {round}: {}", answer.text());
        if round % 50 == 0 {
            tunnel.send("ping");
            socket.read_until(b"ping");
            socket.send("pong");
            tunnel.read_until(b"pong");
            assert_eq!(Http::once(balancer.address, &format!("/round/{round}/")).text(), "x");
        }
    }
    load.wait_for_answers(500);
    let (failures, answered) = load.stop();
    assert!(failures.is_empty(), "of {answered}: {failures:?}");
}

#[test]
fn a_registry_that_is_away_takes_nobody_away_when_something_else_changes() {
    let mut registry = registry();
    let address = registry.address().to_string();
    let server = server(&address);
    let text = |registry: &str, more: &str| {
        format!(
            "registry: {registry}\nadvertised_routes: false\nroutes:\n  - {{path: /web/*, service: server}}\n{more}"
        )
    };
    let file = File::with(&text(&address, ""));
    let balancer = file.balancer();
    balancer.wait_for_endpoints(1);
    registry.kill();
    balancer.process.wait_for_line(&["the registry is away"]);
    // A route for another service asks the registry for more than before, and a mistyped one asks nobody.
    let nobody = format!("127.0.0.1:{}", free_port());
    for registry in [&address, &nobody, &address] {
        file.set(&text(registry, "  - {path: /api/*, service: api}\n"));
        let (code, _, silent) = reload(&balancer);
        assert_eq!(code, Some(0), "{silent}");
        let told = format!("the registry {registry} has not been heard of yet");
        assert!(silent.contains(&told), "{silent}");
        assert_eq!(port_of(Http::once(balancer.address, "/web/").text()), server.address().port());
    }
    // When it is back, it decides again.
    let _registry = registry_at(address.rsplit(':').next().unwrap().parse().unwrap());
    let second = Process::start("server", &["--registry", &address, "--name", "api"]);
    eventually("the new service is served", || {
        let answer = Http::once(balancer.address, "/api/");
        (answer.status == 200).then(|| assert_eq!(port_of(answer.text()), second.address().port()))
    });
    assert_eq!(port_of(Http::once(balancer.address, "/web/").text()), server.address().port());
}

#[test]
fn a_file_that_says_nothing_is_no_configuration_for_a_balancer_that_runs() {
    let upstream = SteadyUpstream::saying("a");
    let file = File::with(&routes("/*", &[&upstream]));
    let balancer = file.balancer();
    for nothing in ["", "# soon\n", "routes:\n"] {
        file.set(nothing);
        let (code, _, problem) = reload(&balancer);
        assert!(code == Some(78) && problem.contains("says nothing"), "{code:?}: {problem}");
    }
    assert_eq!(Http::once(balancer.address, "/").text(), "a");
}

#[test]
fn what_came_through_a_pipe_is_not_read_again() {
    let upstream = SteadyUpstream::saying("a");
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let name = pipe.to_str().unwrap();
    assert!(std::process::Command::new("mkfifo").arg(name).status().unwrap().success());
    let (text, writer) = (routes("/*", &[&upstream]), pipe.clone());
    let writing = std::thread::spawn(move || std::fs::write(writer, text).unwrap());
    let balancer = Balancer::start(&["-c", name]);
    writing.join().unwrap();
    let (code, _, problem) = reload(&balancer);
    assert!(code == Some(78) && problem.contains("no regular file"), "{code:?}: {problem}");
    assert_eq!(Http::once(balancer.address, "/").text(), "a");
}
