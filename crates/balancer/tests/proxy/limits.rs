//! Each limit at its value, and one more.

use berth_testkit::{Answer, Http, Listening, Process, SteadyUpstream, Wire};

use crate::harness::{Balancer, expect, expect_nobody, forwarded, forwarded_get, get, ok, settings};

/// A request whose head has so many bytes in all.
fn head_of(bytes: usize) -> String {
    let start = "GET / HTTP/1.1\r\nHost: test\r\nX: ";
    format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4))
}

fn ask(balancer: &Balancer, request: &str) -> Answer {
    let mut client = balancer.http();
    client.wire.send(request);
    client.read_answer()
}

#[test]
fn heads() {
    let upstream = SteadyUpstream::saying("x");
    let balancer = Balancer::over(&[upstream.address()]);
    let target = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "x".repeat(bytes - 1));
    let fields =
        |count: usize| format!("GET / HTTP/1.1\r\nHost: test\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    assert_eq!(ask(&balancer, &head_of(64 * 1024)).status, 200);
    assert_eq!(ask(&balancer, &head_of(64 * 1024 + 1)).status, 431);
    assert_eq!(ask(&balancer, &target(16 * 1024)).status, 200);
    assert_eq!(ask(&balancer, &target(16 * 1024 + 1)).status, 414);
    assert_eq!(ask(&balancer, &fields(128)).status, 200);
    assert_eq!(ask(&balancer, &fields(129)).status, 431);
    assert_eq!(upstream.requests(), 3);
    balancer.wait_for_metric("failures_total{side=\"client\"}", 3.0);
}

#[test]
fn other_limits_for_heads() {
    let upstream = SteadyUpstream::saying("x");
    let mut settings = settings(&[upstream.address()]);
    settings.proxy.limits.head_bytes = 1000;
    settings.proxy.limits.target_bytes = 100;
    settings.proxy.limits.fields = 2;
    let balancer = Balancer::start(settings);
    assert_eq!(ask(&balancer, &head_of(1000)).status, 200);
    assert_eq!(ask(&balancer, &head_of(1001)).status, 431);
    assert_eq!(ask(&balancer, &format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(99))).status, 200);
    assert_eq!(ask(&balancer, &format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100))).status, 414);
    assert_eq!(ask(&balancer, "GET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n").status, 200);
    assert_eq!(ask(&balancer, "GET / HTTP/1.1\r\nHost: a\r\nB: c\r\nD: e\r\n\r\n").status, 431);
}

#[test]
fn a_head_that_never_ends_is_refused_before_it_does() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    for (start, status) in [("GET / HTTP/1.1\r\nHost: test\r\nX: ", 431), ("GET /", 414)] {
        let mut client = balancer.http();
        client.wire.send(start);
        client.wire.send("x".repeat(64 * 1024 + 1));
        assert_eq!(client.read_answer().status, status);
        client.wire.expect_end();
    }
    expect_nobody(&upstream);
}

/// A balancer that takes bodies of ten bytes.
fn ten(upstream: &Listening) -> Balancer {
    let mut settings = settings(&[upstream.address()]);
    settings.proxy.most_body_bytes = Some(10);
    Balancer::start(settings)
}

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n";

#[test]
fn bodies_that_are_as_large_as_allowed() {
    let upstream = Listening::start();
    let balancer = ten(&upstream);
    let (mut client, mut server) = (balancer.connect(), None);
    let by_length = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n";
    let cases = [
        (by_length, "0123456789"),
        (CHUNKED, "a\r\n0123456789\r\n0\r\n\r\n"),
        // What frames the content does not count.
        (CHUNKED, "1;with=an-extension\r\n0\r\n9\r\n123456789\r\n0\r\nAnd: a trailer\r\n\r\n"),
    ];
    for (lines, body) in cases {
        client.send(format!("{lines}\r\n{body}"));
        let server = server.get_or_insert_with(|| upstream.accept());
        expect(server, format!("{lines}{}{body}", forwarded("test")));
        server.send(ok("x"));
        expect(&mut client, ok("x"));
    }
}

#[test]
fn bodies_that_are_announced_too_large() {
    let upstream = Listening::start();
    let balancer = ten(&upstream);
    let cases = [
        "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 11\r\n\r\n0123456789a".to_owned(),
        // Nobody is told to go on with it.
        "PUT / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: test\r\nContent-Length: 9223372036854775807\r\n\r\n".into(),
        format!("{CHUNKED}\r\nb\r\n"),
        format!("{CHUNKED}\r\n5\r\n01234\r\n6\r\n"),
        format!("{CHUNKED}\r\nffffffff\r\n"),
    ];
    for request in cases {
        let mut client = balancer.http();
        client.wire.send(&request);
        let answer = client.read_answer();
        assert_eq!((answer.status, answer.text()), (413, "The request body is too large.\n"), "{request:?}");
        assert_eq!(answer.field("Connection"), Some("close"));
        client.wire.expect_end();
    }
    expect_nobody(&upstream);
    balancer.wait_for_metric("failures_total{side=\"client\"}", 6.0);
}

#[test]
fn a_body_that_becomes_too_large_on_its_way() {
    let upstream = Listening::start();
    let balancer = ten(&upstream);
    let mut client = balancer.http();
    client.wire.send(format!("{CHUNKED}\r\n5\r\n01234\r\n"));
    let mut server = upstream.accept();
    expect(&mut server, format!("{CHUNKED}{}5\r\n01234\r\n", forwarded("test")));
    client.wire.send("6\r\n01234");
    let answer = client.read_answer();
    assert_eq!((answer.status, answer.field("Connection")), (413, Some("close")));
    // The upstream does not take the beginning for the whole.
    server.expect_end();
    client.wire.expect_end();
    balancer.wait_for_metric("endpoint_in_flight", 0.0);
    balancer.wait_for_metric("failures_total{side=\"client\"}", 1.0);
}

#[test]
fn what_follows_a_body_that_was_too_large_is_the_next_request_and_whole() {
    let upstream = Listening::start();
    let balancer = ten(&upstream);
    let mut client = balancer.http();
    client.wire.send(format!("{CHUNKED}\r\n5\r\n01234\r\n"));
    let mut server = upstream.accept();
    expect(&mut server, format!("{CHUNKED}{}5\r\n01234\r\n", forwarded("test")));
    // All of the body is there, so it is known where the next one begins.
    client.wire.send("6\r\n012345\r\n0\r\n\r\nGET /next HTTP/1.1\r\nX: ");
    let answer = client.read_answer();
    assert_eq!((answer.status, answer.field("Connection")), (413, None));
    server.expect_end();
    client.wire.send("GET /not-this HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut server = upstream.accept();
    let lines = "GET /next HTTP/1.1\r\nX: GET /not-this HTTP/1.1\r\nHost: test\r\n";
    expect(&mut server, lines.to_owned() + &forwarded("test"));
    server.send(ok("x"));
    assert_eq!(client.read_answer().text(), "x");
}

#[test]
fn a_client_that_sends_all_of_it_still_reads_why() {
    let upstream = Listening::start();
    let balancer = ten(&upstream);
    let mut client = balancer.http();
    client.wire.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n");
    client.wire.send(vec![b'x'; 1_000_000]);
    assert_eq!(client.read_answer().status, 413);
    assert_eq!(client.wire.read_to_reset(), (Vec::new(), false));
}

#[test]
fn without_a_limit_bodies_have_none() {
    let upstream = SteadyUpstream::saying("x");
    let balancer = Balancer::over(&[upstream.address()]);
    let answer = Http::connect(balancer.address).send("POST", "/", "", &vec![0; 3_000_000]);
    assert_eq!((answer.status, answer.text()), (200, "x"));
}

#[test]
fn idle_upstream_connections_make_room_for_clients() {
    let upstream = Listening::start();
    let mut settings = settings(&[upstream.address()]);
    // Ten files for clients and upstreams.
    settings.open_files = berth_balancer::OTHER_FILES + 10;
    let balancer = Balancer::start(settings);
    let mut pairs: Vec<(Wire, Wire)> = Vec::new();
    for _ in 0..3 {
        let mut client = balancer.connect();
        client.send(get("/"));
        let mut server = upstream.accept();
        expect(&mut server, forwarded_get("/"));
        pairs.push((client, server));
    }
    for (client, server) in &mut pairs {
        server.send(ok("x"));
        expect(client, ok("x"));
    }
    // Each client may need an upstream connection: with a fourth there is room for one that is idle, the newest.
    let mut fourth = balancer.connect();
    pairs[0].1.expect_end();
    pairs[1].1.expect_end();
    fourth.send(get("/fourth"));
    expect(&mut pairs[2].1, forwarded_get("/fourth"));
    pairs[2].1.send(ok("y"));
    expect(&mut fourth, ok("y"));
    // With a fifth there is room for none, but it is served.
    let mut fifth = balancer.connect();
    pairs[2].1.expect_end();
    fifth.send(get("/fifth"));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/fifth"));
    server.send(ok("z"));
    expect(&mut fifth, ok("z"));
    server.expect_end();
}

#[test]
fn each_is_a_flag_with_its_default() {
    let (code, help, _) = Process::start("balancer", &["--help"]).output();
    assert_eq!(code, Some(0));
    let defaults = [
        ("--max-head <SIZE>", "64KiB"),
        ("--max-target <SIZE>", "16KiB"),
        ("--max-fields <N>", "128"),
        ("--max-body <SIZE|none>", "none"),
        ("--max-connections <N>", "10000, or what the limit of open files allows"),
        ("--timeout-connect <TIME>", "2s"),
        ("--timeout-head <TIME>", "10s"),
        ("--timeout-answer <TIME>", "60s"),
        ("--timeout-body <TIME>", "60s"),
        ("--timeout-send <TIME>", "30s"),
        ("--timeout-idle <TIME>", "60s"),
        ("--timeout-tunnel <TIME>", "1h"),
        ("--timeout-upstream-idle <TIME>", "30s"),
    ];
    for (flag, default) in defaults {
        let about = help.split(flag).nth(1).unwrap_or_else(|| panic!("{flag} is missing"));
        let about = about.split(" --").next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(about.contains(&format!("[default: {default}]")), "{flag}: {about}");
    }
}
