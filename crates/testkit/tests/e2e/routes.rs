//! Routes that services ask for, and modes that a file decides.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use berth_testkit::{Http, Process, eventually};

use crate::site::{Balancer, File, port_of, registry, server};

const GIB: u64 = 1 << 30;

#[test]
fn an_advertised_route_needs_no_configuration() {
    let registry = registry();
    let address = registry.address().to_string();
    let plain = server(&address);
    let balancer = Balancer::start(&["--registry", &address]);
    let api = |name: &str| {
        Process::start(
            "server",
            &["--registry", &address, "--name", name, "--route", "/api", "--route", "x.test/"],
        )
    };
    let first = api("api");
    balancer.wait_for_endpoints(2);
    for _ in 0..4 {
        assert_eq!(port_of(Http::once(balancer.address, "/").text()), plain.address().port());
        assert_eq!(port_of(Http::once(balancer.address, "/api/x").text()), first.address().port());
        let mut client = Http::connect(balancer.address);
        let answer = client.send("GET", "/", "Host: X.test\r\n", b"");
        assert_eq!(port_of(answer.text()), first.address().port());
    }
    // Another service that wants the same gets its share, and the operator is told.
    let second = api("other");
    balancer.wait_for_endpoints(3);
    balancer.process.wait_for_line(&["WARN", "/api/*", "api, other"]);
    let mut ports: Vec<u16> = (0..2).map(|_| port_of(Http::once(balancer.address, "/api").text())).collect();
    ports.sort_unstable();
    let mut expected = [first.address().port(), second.address().port()];
    expected.sort_unstable();
    assert_eq!(ports, expected);
}

#[test]
fn who_wants_everything_is_served_where_nobody_has_decided() {
    let registry = registry();
    let address = registry.address().to_string();
    let balancer = Balancer::start(&["--registry", &address]);
    let server = Process::start("server", &["--registry", &address, "--route", "/"]);
    balancer.wait_for_endpoints(1);
    assert_eq!(port_of(Http::once(balancer.address, "/x").text()), server.address().port());
    // Where the file has decided, the owner can find out.
    let file = File::with(&format!("registry: {address}\nroutes: [{{path: /*, service: other}}]\n"));
    let decided = file.balancer();
    decided.process.wait_for_line(&["WARN", "it wants all requests"]);
}

#[test]
fn the_file_wins_over_what_services_want() {
    let registry = registry();
    let address = registry.address().to_string();
    let text =
        "routes:\n  - path: /api/*\n    respond: {body: mine}\n  - path: /*\n    respond: {body: rest}\n";
    let balancer = File::with(&format!("registry: {address}\n{text}")).balancer();
    let wants = ["--registry", &address, "--route", "/api/deep", "--route", "/own", "--route", "/"];
    let server = Process::start("server", &wants);
    balancer.wait_for_endpoints(1);
    assert_eq!(Http::once(balancer.address, "/api/deep").text(), "mine");
    assert_eq!(Http::once(balancer.address, "/").text(), "rest");
    assert_eq!(port_of(Http::once(balancer.address, "/own").text()), server.address().port());
}

/// Serves a GiB to whoever asks.
fn serve_a_gib(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut head = [0; 4096];
    assert!(stream.read(&mut head).unwrap() > 0);
    stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {GIB}\r\n\r\n").as_bytes()).unwrap();
    let block = vec![0; 1 << 20];
    for _ in 0..GIB >> 20 {
        stream.write_all(&block).unwrap();
    }
}

#[test]
fn a_gib_in_redirect_mode_passes_by_the_balancer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = listener.local_addr().unwrap();
    let text = |mode: &str| {
        let server = format!("{{url: http://{node}, public_url: http://{node}}}");
        format!("routes:\n  - path: /*\n    mode: {mode}\n    servers: [{server}]\n")
    };
    let file = File::with(&text("redirect"));
    let balancer = file.balancer();
    let serving = std::thread::spawn(move || serve_a_gib(&listener));
    let mut client = TcpStream::connect(balancer.address).unwrap();
    client.write_all(b"GET /big?a=b HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut told = String::new();
    client.read_to_string(&mut told).unwrap();
    assert!(told.len() < 1024, "{} bytes came through the balancer", told.len());
    let location = format!("Location: http://{node}/big?a=b\r\n");
    assert!(told.starts_with("HTTP/1.1 307 ") && told.contains(&location), "{told}");
    let mut direct = TcpStream::connect(node).unwrap();
    direct.write_all(b"GET /big?a=b HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let mut block = vec![0; 1 << 20];
    let mut got = 0;
    loop {
        match direct.read(&mut block).unwrap() {
            0 => break,
            count => got += count as u64,
        }
    }
    assert!(got > GIB, "only {got} bytes");
    serving.join().unwrap();
    // The route goes over to relaying without a restart.
    file.set(&text("proxy"));
    balancer.process.wait_for_line(&["configuration reloaded"]);
    // Nobody listens there any more: it is we who try.
    eventually("the balancer tries itself", || {
        (Http::once(balancer.address, "/").status == 503).then_some(())
    });
}
