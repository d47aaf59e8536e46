//! What a client is told by the balancer itself, what is logged of it and how it is counted.

use std::fs;

use berth_balancer::{AccessFormat, AccessTarget};
use berth_testkit::{Listening, Refusing, Wire};
use serde_json::Value;

use crate::harness::{Balancer, SOON, expect, expect_nobody, forwarded, ok, settings};

/// An answer as text: head and body.
fn text(status: &str, more: &str, sentence: &str) -> (String, String) {
    let body = format!("{sentence}\n");
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n{more}\r\n",
        body.len()
    );
    (head, body)
}

/// The same as a problem document.
fn problem(status: &str, more: &str, sentence: &str) -> (String, String) {
    let (code, title) = status.split_once(' ').unwrap();
    let body = format!("{{\"title\":\"{title}\",\"status\":{code},\"detail\":\"{sentence}\"}}\n");
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n{more}\r\n",
        body.len()
    );
    (head, body)
}

const UNAVAILABLE: &str = "503 Service Unavailable";
const NOBODY: &str = "No instance of the given upstreams is available.";

#[test]
fn text_or_json_as_the_client_prefers() {
    let balancer = Balancer::over(&[]);
    let retry = "Retry-After: 1\r\n";
    let cases = [
        ("", false),
        ("Accept: */*\r\n", false),
        ("Accept: text/html, application/json\r\n", false),
        ("Accept: text/plain;q=0.5\r\n", false),
        ("Accept: image/png\r\n", false),
        ("Accept: application/json\r\n", true),
        ("accept: Application/JSON; charset=utf-8, */*\r\n", true),
        ("Accept: application/problem+json, text/html\r\n", true),
    ];
    let mut client = balancer.connect();
    for (accept, json) in cases {
        let (head, body) =
            if json { problem(UNAVAILABLE, retry, NOBODY) } else { text(UNAVAILABLE, retry, NOBODY) };
        client.send(format!("GET / HTTP/1.1\r\nHost: test\r\n{accept}\r\n"));
        expect(&mut client, head.clone() + &body);
        // A HEAD is told how long it would be, and nothing else.
        client.send(format!("HEAD / HTTP/1.1\r\nHost: test\r\n{accept}\r\n"));
        expect(&mut client, head);
        client.expect_silence();
    }
}

/// What goes wrong, and what the client is told.
struct Case {
    status: &'static str,
    sentence: &'static str,
    /// The client's connection goes on.
    goes_on: bool,
    side: &'static str,
}

/// Asks twice, once for text and once for JSON, with this behind the Accept; `upstream` does its part.
fn assert_told(balancer: &Balancer, request: &str, rest: &str, mut upstream: impl FnMut(), case: &Case) {
    let counter = format!("failures_total{{side=\"{}\"}}", case.side);
    let before = balancer.metric(&counter);
    let retry = if case.status.starts_with("503") { "Retry-After: 1\r\n" } else { "" };
    let close = if case.goes_on { "" } else { "Connection: close\r\n" };
    let more = format!("{retry}{close}");
    for (accept, (head, body)) in [
        ("text/plain", text(case.status, &more, case.sentence)),
        ("application/json", problem(case.status, &more, case.sentence)),
    ] {
        let mut client = balancer.connect();
        client.send(format!("{request}Accept: {accept}\r\n{rest}"));
        upstream();
        expect(&mut client, head + &body);
        if !case.goes_on {
            client.expect_end();
        }
    }
    balancer.wait_for_metric(&counter, before + 2.0);
    assert_eq!(balancer.metric("failures_total"), before + 2.0, "another side was blamed as well");
}

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n";

#[test]
fn nobody_is_there() {
    let sentence = "No instance of the given upstreams accepts a connection.";
    let refusing = Refusing::start();
    let balancer = Balancer::over(&[refusing.address]);
    let case = Case { status: UNAVAILABLE, sentence, goes_on: true, side: "none" };
    assert_told(&balancer, GET, "\r\n", || {}, &case);
}

#[test]
fn an_upstream_that_fails() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let answers = |times: usize, answer: &'static str| {
        let upstream = &upstream;
        move || {
            for _ in 0..times {
                let mut server = upstream.accept();
                server.read_head();
                server.send(answer);
            }
        }
    };
    let case = |sentence| Case { status: "502 Bad Gateway", sentence, goes_on: true, side: "upstream" };
    let no_answer = case("The upstream ended the connection without an answer.");
    // A GET without an answer comes again, twice.
    assert_told(&balancer, GET, "\r\n", answers(3, ""), &no_answer);
    let bad = case("The upstream's answer was not valid HTTP.");
    let balancer = Balancer::over(&[upstream.address()]);
    assert_told(&balancer, GET, "\r\n", answers(1, "nonsense\r\n\r\n"), &bad);
}

#[test]
fn an_upstream_that_is_late() {
    let upstream = Listening::start();
    let balancer = Balancer::with_timeouts(&[upstream.address()], |timeouts| timeouts.answer = SOON);
    let sentence = "The upstream did not answer in time.";
    let mut servers: Vec<Wire> = Vec::new();
    let case = Case { status: "504 Gateway Timeout", sentence, goes_on: true, side: "upstream" };
    assert_told(&balancer, GET, "\r\n", || servers.push(upstream.accept()), &case);
}

#[test]
fn a_client_that_fails() {
    let upstream = Listening::start();
    let mut settings = settings(&[upstream.address()]);
    settings.proxy.most_body_bytes = Some(10);
    settings.proxy.timeouts.body = SOON;
    let balancer = Balancer::start(settings);
    let mut servers: Vec<Wire> = Vec::new();
    let case = |status, sentence| Case { status, sentence, goes_on: false, side: "client" };
    let post = "POST / HTTP/1.1\r\nHost: test\r\n";
    let too_large = case("413 Content Too Large", "The request body is too large.");
    assert_told(&balancer, post, "Content-Length: 11\r\n\r\n", || {}, &too_large);
    assert_told(&balancer, post, "Transfer-Encoding: chunked\r\n\r\nb\r\n", || {}, &too_large);
    let late = case("408 Request Timeout", "The request did not arrive in time.");
    let rest = "Content-Length: 10\r\n\r\nhello";
    assert_told(&balancer, post, rest, || servers.push(upstream.accept()), &late);
}

#[test]
fn a_head_request_is_told_no_more_than_a_head() {
    let mut settings = settings(&[]);
    settings.proxy.most_body_bytes = Some(10);
    let balancer = Balancer::start(settings);
    let mut client = balancer.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\nContent-Length: 11\r\n\r\n");
    let (head, _) = text("413 Content Too Large", "Connection: close\r\n", "The request body is too large.");
    expect(&mut client, head);
    client.expect_end();
}

#[test]
fn what_may_be_forwarded_no_further_is_answered_here() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut client = balancer.http();
    client.wire.send("OPTIONS * HTTP/1.1\r\nHost: test\r\nMax-Forwards: 0\r\n\r\n");
    let answer = client.read_answer();
    assert_eq!((answer.status, answer.text()), (200, ""));
    let mut client = balancer.http();
    let trace = "TRACE /x HTTP/1.1\r\nHost: test\r\nMax-Forwards: 0\r\nCookie: secret\r\nA: b\r\n\r\n";
    client.wire.send(trace);
    let answer = client.read_answer();
    assert_eq!((answer.status, answer.field("Content-Type")), (200, Some("message/http")));
    assert_eq!(answer.text(), trace.replace("Cookie: secret\r\n", ""));
    expect_nobody(&upstream);
    // One hop more is one hop less for the next.
    let mut client = balancer.connect();
    client.send("OPTIONS /x HTTP/1.1\r\nHost: test\r\nMax-Forwards: 3\r\n\r\n");
    let mut server = upstream.accept();
    let lines = "OPTIONS /x HTTP/1.1\r\nHost: test\r\nMax-Forwards: 2\r\n";
    expect(&mut server, lines.to_owned() + &forwarded("test"));
    server.send(ok("x"));
    expect(&mut client, ok("x"));
    assert_eq!(balancer.metric("failures_total"), 0.0);
    balancer.wait_for_metric("answers_total{status=\"2xx\"}", 3.0);
}

#[test]
fn what_is_refused_is_logged_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let mut settings = settings(&[]);
    settings.proxy.most_body_bytes = Some(10);
    (settings.access_log, settings.access_format) = (AccessTarget::File(path.clone()), AccessFormat::Json);
    let balancer = Balancer::start(settings);
    let cases = [
        ("GET / HTTP/1.1\r\n\r\n", 400, "", "Host"),
        ("GET / HTTP/3.0\r\nHost: test\r\n\r\n", 505, "", "version"),
        ("PUT /a HTTP/1.1\r\nHost: test\r\nContent-Length: 11\r\n\r\n", 413, "/a", "too large"),
        ("PUT /b HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400, "/b", "body"),
        ("OPTIONS /c HTTP/1.1\r\nHost: test\r\nMax-Forwards: 0\r\n\r\n", 200, "/c", ""),
    ];
    for (request, status, _, _) in &cases {
        let mut client = balancer.http();
        client.wire.send(request);
        assert_eq!(client.read_answer().status, *status, "{request:?}");
        client.wire.expect_end();
    }
    balancer.wait_for_metric("answers_total{status=\"4xx\"}", 3.0);
    balancer.wait_for_metric("answers_total{status=\"5xx\"}", 1.0);
    balancer.wait_for_metric("answers_total{status=\"2xx\"}", 1.0);
    balancer.wait_for_metric("failures_total{side=\"client\"}", 4.0);
    balancer.end();
    let log = fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), cases.len(), "{log}");
    for ((request, status, target, failure), line) in cases.iter().zip(&lines) {
        assert_eq!((&line["status"], &line["peer"]), (&Value::from(*status), &Value::from("127.0.0.1")));
        assert_eq!(line["target"].as_str().unwrap_or_default(), *target, "{request:?}: {line}");
        let told = line["failure"].as_str().unwrap_or_default();
        assert!(told.contains(failure) && told.is_empty() == failure.is_empty(), "{request:?}: {line}");
        assert_eq!(line["endpoint"], Value::Null);
    }
}
