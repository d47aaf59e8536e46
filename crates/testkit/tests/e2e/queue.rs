//! Backends with limits: who waits, who is served next, and who is turned away, seen from outside.

use berth_testkit::{Http, Listening, Wire, eventually};

use crate::site::{Balancer, File, linked_server, port_of, registry};

pub(crate) const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

fn balancer_of(upstream: &Listening, keys: &str) -> (File, Balancer) {
    let file = File::with(&text(upstream, keys));
    let balancer = file.balancer();
    (file, balancer)
}

fn text(upstream: &Listening, keys: &str) -> String {
    format!(
        "access_log_format: json\nroutes: [{{path: /*, servers: ['http://{}'], {keys}}}]\n",
        upstream.address()
    )
}

pub(crate) fn ask(balancer: &Balancer, path: &str) -> Http {
    let mut client = Http::connect(balancer.address);
    send(&mut client, path);
    client
}

pub(crate) fn send(client: &mut Http, path: &str) {
    client.wire.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
}

pub(crate) fn wait_for_waiting(balancer: &Balancer, count: usize) {
    eventually(&format!("{count} wait"), || {
        (balancer.metric("balancer_queue_waiting{backend=\"/*\"}") == Some(count as f64)).then_some(())
    });
}

fn turned_away(balancer: &Balancer, reason: &str) -> Option<f64> {
    balancer.metric(&format!("balancer_turned_away_total{{backend=\"/*\",reason=\"{reason}\"}}"))
}

/// The next request that reaches the upstream, and its path.
pub(crate) fn next(upstream: &Listening) -> (Wire, String) {
    let mut wire = upstream.accept();
    let head = wire.read_head();
    (wire, head.split(' ').nth(1).unwrap().to_owned())
}

#[test]
fn those_who_wait_are_served_in_their_order_over_all_workers() {
    let upstream = Listening::start();
    let (_file, balancer) = balancer_of(&upstream, "max_in_flight: 1");
    let first = ask(&balancer, "/0");
    let (mut wire, path) = next(&upstream);
    assert_eq!(path, "/0");
    let mut clients = vec![first];
    for number in 1..10 {
        clients.push(ask(&balancer, &format!("/{number}")));
        wait_for_waiting(&balancer, number);
    }
    assert!(upstream.try_accept().is_none(), "one at a time");
    let rates = Http::once(balancer.admin, "/v1/rates");
    assert!(rates.text().contains("\"name\":\"/*\",\"waiting\":9,"), "{}", rates.text());
    for number in 1..10 {
        wire.send(ANSWER);
        let path;
        (wire, path) = next(&upstream);
        assert_eq!(path, format!("/{number}"));
    }
    wire.send(ANSWER);
    assert!(clients.iter_mut().all(|client| client.read_answer().status == 200));
    wait_for_waiting(&balancer, 0);
    assert_eq!(balancer.metric("balancer_queue_seconds_count{backend=\"/*\"}"), Some(9.0));
}

#[test]
fn a_full_queue_turns_away_and_so_does_patience_that_ends() {
    let upstream = Listening::start();
    let (_file, balancer) = balancer_of(&upstream, "max_in_flight: 1, queue: {length: 1, timeout: 100ms}");
    let mut first = ask(&balancer, "/first");
    let (mut wire, _) = next(&upstream);
    let mut second = ask(&balancer, "/second");
    // Whoever comes while it waits is turned away; whether it still does, time decides.
    let mut waited = second.read_answer();
    assert_eq!((waited.status, waited.field("Retry-After")), (503, Some("1")));
    assert_eq!(waited.text(), "No instance of route /* became free in time.\n");
    assert_eq!(turned_away(&balancer, "queue_timeout"), Some(1.0));
    // The connection goes on.
    waited = second.get("/again");
    assert_eq!(waited.status, 503);
    wire.send(ANSWER);
    assert_eq!(first.read_answer().status, 200);

    let (_file, balancer) = balancer_of(&upstream, "max_in_flight: 1, queue: {length: 1, timeout: 1h}");
    let mut first = ask(&balancer, "/first");
    let (mut wire, _) = next(&upstream);
    let mut second = ask(&balancer, "/second");
    wait_for_waiting(&balancer, 1);
    let mut third = ask(&balancer, "/third");
    let answer = third.read_answer();
    assert_eq!((answer.status, answer.field("Retry-After")), (503, Some("1")));
    assert_eq!(answer.text(), "Too many requests wait for route /*.\n");
    assert_eq!(turned_away(&balancer, "queue_full"), Some(1.0));
    wire.send(ANSWER);
    next(&upstream).0.send(ANSWER);
    assert_eq!((first.read_answer().status, second.read_answer().status), (200, 200));
}

#[test]
fn a_client_that_leaves_gives_up_its_place() {
    let upstream = Listening::start();
    let (_file, balancer) = balancer_of(&upstream, "max_in_flight: 1, queue: {timeout: 1h}");
    let _first = ask(&balancer, "/first");
    let (mut wire, _) = next(&upstream);
    let closes = ask(&balancer, "/closes");
    wait_for_waiting(&balancer, 1);
    let mut resets = Http::connect(balancer.address);
    // What was not read hides that nobody is there any more.
    resets.wire.send(format!("POST /resets HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", 1 << 20));
    resets.wire.fill(1 << 20);
    wait_for_waiting(&balancer, 2);
    let mut stays = ask(&balancer, "/stays");
    wait_for_waiting(&balancer, 3);
    // Nor does an orderly end have to be waited for behind what was not read.
    let mut ends = Http::connect(balancer.address);
    ends.wire.send("POST /ends HTTP/1.1\r\nHost: test\r\nContent-Length: 30000\r\n\r\n");
    ends.wire.send([b'x'; 20_000]);
    let mut asks_on = ask(&balancer, "/asks");
    send(&mut asks_on, "/on");
    wait_for_waiting(&balancer, 5);
    drop((closes, ends, asks_on));
    resets.wire.reset();
    wait_for_waiting(&balancer, 1);
    wire.send(ANSWER);
    let (mut wire, path) = next(&upstream);
    assert_eq!(path, "/stays");
    wire.send(ANSWER);
    assert_eq!(stays.read_answer().status, 200);
}

#[test]
fn a_new_limit_lets_those_through_who_wait() {
    let upstream = Listening::start();
    let (file, balancer) = balancer_of(&upstream, "max_in_flight: 1, queue: {timeout: 1h}");
    let mut clients: Vec<Http> = (0..4).map(|_| ask(&balancer, "/")).collect();
    wait_for_waiting(&balancer, 3);
    let mut wires = vec![upstream.accept()];
    let reload = |keys: &str| {
        file.set(&text(&upstream, keys));
        let answer = Http::connect(balancer.admin).send("POST", "/reload", "Host: localhost\r\n", b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    reload("max_in_flight: 2, queue: {timeout: 1h}");
    wires.push(upstream.accept());
    wait_for_waiting(&balancer, 2);
    assert!(upstream.try_accept().is_none());
    reload("strategy: random");
    wires.extend([upstream.accept(), upstream.accept()]);
    for wire in &mut wires {
        wire.send(ANSWER);
    }
    assert!(clients.iter_mut().all(|client| client.read_answer().status == 200));
}

#[test]
fn requests_are_held_until_somebody_comes() {
    let registry = registry();
    let address = registry.address().to_string();
    let balancer = File::with(&format!(
        "registry: {address}
routes:
  - {{path: /held/*, service: web, queue: {{hold_when_empty: true, timeout: 1h}}}}
  - {{path: /split, split: {{held: 9, 'web@1.x': 1}}}}
  - {{path: /*, service: web}}
backends:
  held: {{service: nobody, queue: {{hold_when_empty: true, timeout: 1h}}}}
"
    ))
    .balancer();
    let mut held: Vec<Http> = (0..5).map(|_| ask(&balancer, "/held/x")).collect();
    eventually("they wait", || {
        (balancer.metric("balancer_queue_waiting{backend=\"/held/*\"}") == Some(5.0)).then_some(())
    });
    assert_eq!(Http::once(balancer.address, "/").status, 503, "nobody is waited for here");
    let mut server = linked_server(&address, &["--name", "web@1.2.3"]);
    for client in &mut held {
        let answer = client.read_answer();
        assert_eq!((answer.status, port_of(answer.text())), (200, server.address().port()));
    }
    // Of a split, whoever is there serves: nobody is waited for.
    balancer.wait_for_endpoints(1);
    assert!((0..10).all(|_| Http::once(balancer.address, "/split").status == 200));
    // A deploy: the last one goes, a request comes, the next one comes.
    server.stop(berth_testkit::Signal::TERM);
    balancer.wait_for_endpoints(0);
    let mut held = ask(&balancer, "/held/x");
    let next = linked_server(&address, &["--name", "web"]);
    assert_eq!(port_of(held.read_answer().text()), next.address().port());
}

#[test]
fn a_backend_has_so_many_connections_and_no_more() {
    let upstream = Listening::start();
    let (_file, balancer) = balancer_of(&upstream, "max_connections: 1");
    let mut first = ask(&balancer, "/first");
    let (mut wire, _) = next(&upstream);
    let mut second = ask(&balancer, "/second");
    let answer = second.read_answer();
    assert_eq!((answer.status, answer.field("Retry-After")), (503, Some("1")));
    assert_eq!(answer.text(), "All connections to route /* are in use.\n");
    assert_eq!(turned_away(&balancer, "max_connections"), Some(1.0));
    wire.send(ANSWER);
    assert_eq!(first.read_answer().status, 200);
    // On its own connection: there the next request is read when the place of the one before is free.
    send(&mut first, "/third");
    next(&upstream).0.send(ANSWER);
    assert_eq!(first.read_answer().status, 200);
}

#[test]
fn routes_of_one_backend_share_its_places() {
    let upstream = Listening::start();
    let balancer = File::with(&format!(
        "routes:
  - {{path: /a, backend: shared}}
  - {{path: /b, backend: shared, strategy: random}}
backends:
  shared: {{servers: ['http://{}'], max_in_flight: 1, queue: {{length: 0}}}}
",
        upstream.address()
    ))
    .balancer();
    let mut first = ask(&balancer, "/a");
    let (mut wire, _) = next(&upstream);
    assert_eq!(Http::once(balancer.address, "/b").status, 503);
    wire.send(ANSWER);
    assert_eq!(first.read_answer().status, 200);
    send(&mut first, "/b");
    let (mut wire, _) = next(&upstream);
    assert_eq!(Http::once(balancer.address, "/a").status, 503);
    wire.send(ANSWER);
    assert_eq!(first.read_answer().status, 200);
}

#[test]
fn a_tunnel_holds_its_place_until_it_ends() {
    let upstream = Listening::start();
    let (_file, balancer) = balancer_of(&upstream, "max_in_flight: 1, queue: {timeout: 1h}");
    let mut tunnel = Wire::connect(balancer.address);
    tunnel.send("GET /t HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    let (mut wire, _) = next(&upstream);
    wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert!(tunnel.read_head().starts_with("HTTP/1.1 101 "));
    let mut waits = ask(&balancer, "/waits");
    wait_for_waiting(&balancer, 1);
    drop((tunnel, wire));
    next(&upstream).0.send(ANSWER);
    assert_eq!(waits.read_answer().status, 200);
}

#[test]
fn connections_in_use_make_the_queue_wait_where_there_is_one() {
    let upstreams = [Listening::start(), Listening::start()];
    let [one, two] = upstreams.each_ref().map(Listening::address);
    let balancer = File::with(&format!(
        "routes: [{{path: /*, servers: ['http://{one}', 'http://{two}'], max_in_flight: 1, max_connections: 1}}]\n"
    ))
    .balancer();
    let mut clients: Vec<Http> = (0..3).map(|_| ask(&balancer, "/")).collect();
    wait_for_waiting(&balancer, 2);
    for _ in 0..3 {
        // Wherever the turn is.
        let mut wire = eventually("a request", || upstreams.iter().find_map(Listening::try_accept));
        wire.read_head();
        assert!(upstreams.iter().all(|it| it.try_accept().is_none()), "one connection at a time");
        wire.send(ANSWER);
    }
    assert!(clients.iter_mut().all(|client| client.read_answer().status == 200));
}
