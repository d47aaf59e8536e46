//! A balancer that gets another configuration while it runs.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use berth_balancer::config::Settings;
use berth_testkit::{Http, Listening, SteadyUpstream, eventually};

use crate::harness::{Balancer, expect, forwarded_get, get, ok};
use crate::routes::{backend, route, server, with};

type Next = Arc<Mutex<Result<Settings, String>>>;

fn one(path: &str, upstream: SocketAddr) -> Settings {
    with(vec![route(path, 0)], vec![backend("only", vec![server(upstream, None)])])
}

fn reload(balancer: &Balancer) -> (u16, String) {
    let answer = balancer.admin().send("POST", "/reload", "Host: localhost\r\n", b"");
    (answer.status, answer.text().to_owned())
}

#[test]
fn a_new_plan_holds_when_the_reload_answers() {
    let (first, second) = (SteadyUpstream::saying("first"), SteadyUpstream::saying("second"));
    let next: Next = Arc::new(Mutex::new(Err("nothing yet".into())));
    let mut settings = one("/a/*", first.address());
    settings.threads = 2;
    let balancer = Balancer::reloading(settings, &next);
    let mut client = balancer.http();
    assert_eq!((client.get("/a").text(), client.get("/b").status), ("first", 404));
    let mut changed = one("/b/*", second.address());
    changed.threads = 3;
    *next.lock().unwrap() = Ok(changed);
    let (status, report) = reload(&balancer);
    assert_eq!(status, 200, "{report}");
    for part in
        ["route /b/* added", "route /a/* removed", "backend only changed", "\"needs_restart\":[\"threads\"]"]
    {
        assert!(report.contains(part), "{part} in {report}");
    }
    // The same connection, and every worker.
    assert_eq!((client.get("/b").text(), client.get("/a").status), ("second", 404));
    for _ in 0..20 {
        assert_eq!(balancer.http().get("/b").text(), "second");
    }
}

#[test]
fn a_wrong_file_changes_nothing_and_says_why() {
    let upstream = SteadyUpstream::saying("still here");
    let next: Next = Arc::new(Mutex::new(Err("balancer.yaml:3:1: unknown key `pth`".into())));
    let balancer = Balancer::reloading(one("/*", upstream.address()), &next);
    let (status, problem) = reload(&balancer);
    assert_eq!(status, 422);
    assert!(problem.contains("balancer.yaml:3:1: unknown key `pth`"), "{problem}");
    assert_eq!(balancer.http().get("/").text(), "still here");
}

#[test]
fn without_a_file_there_is_nothing_to_reload() {
    let upstream = SteadyUpstream::saying("x");
    let balancer = Balancer::over(&[upstream.address()]);
    let (status, problem) = reload(&balancer);
    assert_eq!(status, 409);
    assert!(problem.contains("without a configuration file"), "{problem}");
}

#[test]
fn what_runs_is_finished_by_what_it_began_with() {
    let (first, second) = (Listening::start(), SteadyUpstream::saying("second"));
    let next: Next = Arc::new(Mutex::new(Ok(one("/*", second.address()))));
    let balancer = Balancer::reloading(one("/*", first.address()), &next);
    let mut waiting = balancer.connect();
    waiting.send(get("/slow"));
    let mut server = first.accept();
    expect(&mut server, forwarded_get("/slow"));
    let mut tunnel = balancer.connect();
    tunnel.send("GET /ws HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    let mut socket = first.accept();
    socket.read_until(b"\r\n\r\n");
    socket.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    tunnel.read_until(b"\r\n\r\n");
    assert_eq!(reload(&balancer).0, 200);
    assert_eq!(balancer.http().get("/").text(), "second");
    server.send(ok("slow answer"));
    waiting.read_until(b"slow answer");
    tunnel.send("ping");
    socket.read_until(b"ping");
    socket.send("pong");
    tunnel.read_until(b"pong");
}

#[test]
fn turns_and_endpoints_go_on() {
    let upstreams = ["a", "b", "c"].map(SteadyUpstream::saying);
    let servers = || upstreams.iter().map(|upstream| server(upstream.address(), None)).collect::<Vec<_>>();
    let routing = |more: &str| with(vec![route("/*", 0), route(more, 0)], vec![backend("all", servers())]);
    let next: Next = Arc::new(Mutex::new(Ok(routing("/x"))));
    let balancer = Balancer::reloading(routing("/y"), &next);
    balancer.wait_for_metric("endpoints", 3.0);
    let mut client = balancer.http();
    let mut answers = String::new();
    for round in 0..30 {
        answers.push_str(client.get("/").text());
        *next.lock().unwrap() = Ok(routing(&format!("/{round}")));
        assert_eq!(reload(&balancer).0, 200);
    }
    assert_eq!(answers, answers[..3].repeat(10), "every reload keeps the turn");
    balancer.wait_for_metric("endpoint_requests_total", 30.0);
}

#[test]
fn a_new_port_is_open_before_the_old_one_closes() {
    let upstream = SteadyUpstream::saying("x");
    let settings = one("/*", upstream.address());
    let next: Next = Arc::new(Mutex::new(Err(String::new())));
    let balancer = Balancer::reloading(settings.clone(), &next);
    let mut kept = balancer.http();
    assert_eq!(kept.get("/").text(), "x");
    // A port that is taken changes nothing.
    let taken = Listening::start();
    *next.lock().unwrap() = Ok(Settings { listen: taken.address(), ..settings.clone() });
    let (status, problem) = reload(&balancer);
    assert_eq!(status, 409, "{problem}");
    assert_eq!(balancer.http().get("/").text(), "x");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    *next.lock().unwrap() = Ok(Settings { listen: free, ..settings });
    assert_eq!(reload(&balancer).0, 200);
    assert_eq!(Http::once(free, "/").text(), "x");
    eventually("the old port closes", || {
        std::net::TcpStream::connect(balancer.address).is_err().then_some(())
    });
    // Who had connected there stays.
    assert_eq!(kept.get("/").text(), "x");
}

#[test]
fn nobody_who_connects_is_reset_while_the_address_changes() {
    let upstream = SteadyUpstream::saying("x");
    let settings = one("/*", upstream.address());
    let next: Next = Arc::new(Mutex::new(Err(String::new())));
    let balancer = Balancer::reloading(settings.clone(), &next);
    let (address, stop) = (balancer.address, AtomicBool::new(false));
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(Http::once(address, "/").text(), "x");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..10 {
            let before = answered.load(Ordering::Relaxed);
            eventually("requests between two changes", || {
                (answered.load(Ordering::Relaxed) >= before + 100).then_some(())
            });
            let ip = if round % 2 == 0 { "0.0.0.0" } else { "127.0.0.1" }.parse().unwrap();
            let listen = SocketAddr::new(ip, address.port());
            *next.lock().unwrap() = Ok(Settings { listen, ..settings.clone() });
            let (status, problem) = reload(&balancer);
            assert_eq!(status, 200, "{problem}");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn the_port_of_another_balancer_is_not_shared() {
    let upstream = SteadyUpstream::saying("x");
    let on = |address: &str, port: u16| Settings {
        listen: SocketAddr::new(address.parse().unwrap(), port),
        ..one("/*", upstream.address())
    };
    let next: Next = Arc::new(Mutex::new(Err(String::new())));
    let first = Balancer::reloading(on("127.0.0.1", 0), &next);
    let port = first.address.port();
    let _second = Balancer::start(on("127.0.0.2", port));
    *next.lock().unwrap() = Ok(on("127.0.0.2", port));
    let (status, problem) = reload(&first);
    assert_eq!(status, 409, "{problem}");
}

#[test]
fn a_connection_goes_by_the_proxies_that_are_trusted_now() {
    let upstream = SteadyUpstream::echoing();
    let mut trusting = one("/*", upstream.address());
    trusting.proxy.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let next: Next = Arc::new(Mutex::new(Ok(one("/*", upstream.address()))));
    let balancer = Balancer::reloading(trusting, &next);
    let mut client = balancer.http();
    let mut forwarded_for = || {
        let seen = client.send("GET", "/", "X-Forwarded-For: 192.0.2.1\r\n", b"");
        let line = seen.text().lines().find_map(|line| line.strip_prefix("X-Forwarded-For: "));
        line.unwrap_or_default().to_owned()
    };
    assert_eq!(forwarded_for(), "192.0.2.1, 127.0.0.1");
    let (status, report) = reload(&balancer);
    assert!(status == 200 && report.contains("trusted_proxies changed"), "{report}");
    assert_eq!(forwarded_for(), "127.0.0.1");
}
