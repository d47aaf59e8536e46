//! curl through the balancer, with what it does differently from our own clients.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::thread;

use berth_testkit::{Listening, SteadyUpstream, Wire};

use crate::site::Balancer;

fn balancer_over(upstream: std::net::SocketAddr) -> Balancer {
    let balancer = Balancer::start(&["--upstream", &upstream.to_string()]);
    balancer.wait_for_endpoints(1);
    balancer
}

/// Runs curl with this on its stdin; what it prints is the answer, head included.
fn curl(arguments: &[&str], url: &str, input: &[u8]) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--include", "--max-time", "60", "--noproxy", "*"]);
    command.args(arguments).arg(url).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("curl");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = thread::spawn(move || {
        // It may not want any of it.
        let _ = stdin.write_all(&input);
    });
    let Output { status, stdout, stderr } = child.wait_with_output().expect("curl");
    writer.join().unwrap();
    assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("text")
}

/// curl asks and this upstream answers.
fn exchange(arguments: &[&str], input: &[u8], script: impl FnOnce(Wire) + Send) -> String {
    let upstream = Listening::start();
    let balancer = balancer_over(upstream.address());
    let url = format!("http://{}/path", balancer.address);
    thread::scope(|scope| {
        scope.spawn(|| script(upstream.accept()));
        curl(arguments, &url, input)
    })
}

#[test]
fn options_for_a_path_and_for_all() {
    let seen = exchange(&["-X", "OPTIONS"], b"", |mut server| {
        assert!(server.read_head().starts_with("OPTIONS /path HTTP/1.1\r\n"));
        server.send("HTTP/1.1 204 No Content\r\nAllow: GET, PUT\r\n\r\n");
    });
    assert_eq!(seen, "HTTP/1.1 204 No Content\r\nAllow: GET, PUT\r\n\r\n");
    let seen = exchange(&["-X", "OPTIONS", "--request-target", "*"], b"", |mut server| {
        assert!(server.read_head().starts_with("OPTIONS * HTTP/1.1\r\n"));
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    assert_eq!(seen, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn an_upload_that_waits_for_a_100() {
    let body: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body");
    std::fs::write(&file, &body).unwrap();
    // So long that the test ends first if the 100 does not come.
    let flags = ["-T", file.to_str().unwrap(), "-H", "Expect: 100-continue", "--expect100-timeout", "600"];
    let seen = exchange(&flags, b"", |mut server| {
        let head = server.read_head();
        assert!(head.starts_with("PUT /path HTTP/1.1\r\n") && head.contains("Expect: 100-continue\r\n"));
        assert!(head.contains("Content-Length: 3000000\r\n"), "{head}");
        server.expect_silence();
        server.send("HTTP/1.1 100 Continue\r\n\r\n");
        assert!(server.read_exact(body.len()) == body);
        server.send("HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\ndone");
    });
    let last = "HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\ndone";
    assert_eq!(seen, format!("HTTP/1.1 100 Continue\r\n\r\n{last}"));
    // One that is refused is never sent.
    let seen = exchange(&flags, b"", |mut server| {
        server.read_head();
        server.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        assert!(server.read_to_end().is_empty());
    });
    assert_eq!(seen, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
}

#[test]
fn an_upload_of_unknown_length() {
    let seen = exchange(&["-T", "-", "-H", "Expect:"], b"hello", |mut server| {
        let head = server.read_head();
        assert!(
            head.contains("Transfer-Encoding: chunked\r\n") && !head.contains("Content-Length"),
            "{head}"
        );
        assert!(server.read_until(b"0\r\n\r\n").windows(5).any(|window| window == b"hello"));
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    assert_eq!(seen, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

#[test]
fn http_1_0() {
    let seen = exchange(&["--http1.0"], b"", |mut server| {
        let head = server.read_head();
        assert!(head.starts_with("GET /path HTTP/1.1\r\n") && head.contains("Via: 1.0 berth\r\n"), "{head}");
        server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    });
    assert_eq!(seen, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
}

#[test]
fn trailers() {
    let seen = exchange(&["-H", "TE: trailers", "-H", "Connection: TE"], b"", |mut server| {
        let head = server.read_head();
        assert!(head.contains("TE: trailers\r\nConnection: TE\r\n"), "{head}");
        let head = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n";
        server.send(format!("{head}5\r\nhello\r\n0\r\nX-Sum: 532\r\n\r\n"));
    });
    assert!(seen.contains("\r\n\r\nhello") && seen.contains("X-Sum: 532\r\n"), "{seen}");
}

#[test]
fn three_requests_on_one_connection() {
    let upstream = SteadyUpstream::saying("hello");
    let balancer = balancer_over(upstream.address());
    let url = format!("http://{}/[1-3]", balancer.address);
    let seen = curl(&[], &url, b"");
    assert_eq!(seen.matches("\r\n\r\nhello").count(), 3);
    assert_eq!(balancer.metric("balancer_client_connections_total "), Some(1.0));
}
