//! The access log: one line per request, whatever the client put into it.

use std::fs;
use std::path::Path;

use berth_balancer::{AccessFormat, AccessTarget};
use berth_testkit::{Http, SteadyUpstream};
use serde_json::Value;

use crate::harness::{Balancer, settings};

const HOSTILE: &[u8] = b"GET /a?b=\"\\ HTTP/1.1\r\nHost: test\r\nReferer: \" 200 0 \"x\\\" y\r\n\
    User-Agent: \t{\"a\":1}\\n \x80\xff \xc2\x9b31m\r\n\r\n";

/// What is logged of a few requests.
fn logged(format: AccessFormat, upstream: Option<&SteadyUpstream>, requests: &[&[u8]]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    fs::write(&path, "what was there before\n").unwrap();
    let addresses: Vec<_> = upstream.iter().map(|upstream| upstream.address()).collect();
    let mut settings = settings(&addresses);
    (settings.access_log, settings.access_format) = (AccessTarget::File(path.clone()), format);
    let balancer = Balancer::start(settings);
    let mut client = balancer.http();
    for request in requests {
        client.wire.send(request);
        client.read_answer();
    }
    balancer.end();
    lines(&path)
}

fn lines(path: &Path) -> Vec<String> {
    let text = String::from_utf8(fs::read(path).unwrap()).expect("a log is text");
    assert!(text.ends_with('\n'));
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(lines.remove(0), "what was there before");
    for line in &lines {
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    lines
}

/// A combined line without its time and duration, which are checked for their form.
fn timeless(line: &str) -> String {
    let (before, rest) = line.split_once('[').unwrap();
    let (time, rest) = rest.split_once(']').unwrap();
    let form: String = time
        .chars()
        .map(|c| {
            if c.is_ascii_digit() {
                '0'
            } else if c.is_alphabetic() {
                'a'
            } else {
                c
            }
        })
        .collect();
    assert_eq!(form, "00/aaa/0000:00:00:00 +0000");
    let (rest, took) = rest.rsplit_once(' ').unwrap();
    assert!(took.parse::<f64>().unwrap() >= 0.0 && took.split('.').nth(1).unwrap().len() == 6, "{took}");
    format!("{before}[]{rest}")
}

#[test]
fn combined() {
    let upstream = SteadyUpstream::saying("hello");
    let address = upstream.address();
    let ordinary: &[u8] = b"POST /p?q HTTP/1.1\r\nHost: test\r\nUser-Agent: curl/8\r\nReferer: http://x/\r\nContent-Length: 2\r\n\r\nhi";
    let plain: &[u8] = b"GET http://test/b HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    let lines = logged(AccessFormat::Combined, Some(&upstream), &[ordinary, plain, HOSTILE]);
    let seen: Vec<String> = lines.iter().map(|line| timeless(line)).collect();
    let expected = [
        format!("127.0.0.1 - - [] \"POST /p?q HTTP/1.1\" 200 5 \"http://x/\" \"curl/8\" {address}"),
        format!("127.0.0.1 - - [] \"GET /b HTTP/1.0\" 200 5 \"-\" \"-\" {address}"),
        format!(
            "127.0.0.1 - - [] \"GET /a?b=\\\"\\\\ HTTP/1.1\" 200 5 \"\\\" 200 0 \\\"x\\\\\\\" y\" \
             \"{{\\\"a\\\":1}}\\\\n \u{fffd}\u{fffd} \\u{{9b}}31m\" {address}"
        ),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn json() {
    let upstream = SteadyUpstream::saying("hello");
    let lines = logged(AccessFormat::Json, Some(&upstream), &[HOSTILE]);
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    let line: Value = serde_json::from_str(line).unwrap();
    let expected = [
        ("peer", "127.0.0.1"),
        ("method", "GET"),
        ("host", "test"),
        ("target", "/a?b=\"\\"),
        ("version", "HTTP/1.1"),
        ("referer", "\" 200 0 \"x\\\" y"),
        ("user_agent", "{\"a\":1}\\n \u{fffd}\u{fffd} \u{9b}31m"),
    ];
    for (name, value) in expected {
        assert_eq!(line[name], value, "{name}");
    }
    assert_eq!(line["endpoint"], upstream.address().to_string());
    assert_eq!((&line["status"], &line["bytes"]), (&Value::from(200), &Value::from(5)));
    assert!(line["duration_us"].is_u64() && line.get("failure").is_none());
    let time = line["time"].as_str().unwrap();
    assert!(time.len() == "2026-01-01T00:00:00.000000Z".len() && time.ends_with('Z'), "{time}");
}

#[test]
fn a_request_that_nobody_served() {
    let request: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    let lines = logged(AccessFormat::Combined, None, &[request]);
    assert_eq!(timeless(&lines[0]), "127.0.0.1 - - [] \"GET / HTTP/1.1\" 503 0 \"-\" \"-\" -");
    let lines = logged(AccessFormat::Json, None, &[request]);
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!((&line["status"], &line["endpoint"]), (&Value::from(503), &Value::Null));
    assert_eq!(line["failure"], "no endpoint");
}

#[test]
fn many_lines_are_all_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    fs::write(&path, "what was there before\n").unwrap();
    let upstream = SteadyUpstream::saying("x");
    let mut settings = settings(&[upstream.address()]);
    (settings.access_log, settings.threads) = (AccessTarget::File(path.clone()), 2);
    let balancer = Balancer::start(settings);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = Http::connect(balancer.address);
                for number in 0..100 {
                    client.get(&format!("/{number}"));
                }
            });
        }
    });
    balancer.end();
    let lines = lines(&path);
    assert_eq!(lines.len(), 800);
    for number in 0..100 {
        let mark = format!("\"GET /{number} HTTP/1.1\"");
        assert_eq!(lines.iter().filter(|line| line.contains(&mark)).count(), 8, "{mark}");
    }
}
