//! What no honest client sends. Each costs its sender a refusal, and nobody else anything.

use std::convert::Infallible;

use futures_util::stream;
use reqwest::{Body, Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::harness::{Running, answer, in_time, path, start, write};
use crate::raw::{Raw, request};

const INSTANCE: &str = "/v1/services/web/instances/a";

/// All calls that take a body.
const BODIES: [(&str, &str); 3] = [("PUT", INSTANCE), ("PATCH", INSTANCE), ("POST", "/v1/link")];

/// Nothing was registered, and the next one can be.
async fn assert_well(registry: &Running) {
    let (_, list) = registry.get("/v1/services").await;
    assert_eq!(list["services"], json!({}));
    assert!(list["revision"].as_str().unwrap().ends_with("-0"), "{list}");
    let (status, _) = registry.put("well/a", json!({"port": 8000})).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(registry.ids("/v1/services/well").await, ["a"]);
}

fn method(name: &str) -> Method {
    name.parse().unwrap()
}

#[tokio::test]
async fn large_bodies_are_refused_however_they_are_framed() {
    const SIZE: usize = 2 * 1024 * 1024;
    let registry = start().await;
    for (name, path) in BODIES {
        let request = || registry.request(method(name), path).header("content-type", "application/json");
        let whole = request().body(vec![b' '; SIZE]);
        let chunks = stream::iter(vec![Ok::<_, Infallible>(vec![b'['; SIZE / 64]); 64]);
        let chunked = request().body(Body::wrap_stream(chunks));
        for refused in [whole, chunked] {
            let (status, problem) = answer(refused).await;
            assert_eq!(
                (status, &problem["field"]),
                (StatusCode::PAYLOAD_TOO_LARGE, &json!("body")),
                "{name}"
            );
        }
    }
    // The connection stays in step after a body that was read and dropped.
    let mut raw = Raw::connect(registry.address).await;
    assert_eq!(raw.ask("PUT", INSTANCE, &vec![b'{'; SIZE]).await.status, 413);
    if let Some(next) = again(&mut raw).await {
        assert_eq!(next, 200);
    }
    assert_well(&registry).await;
}

/// What the same connection says to an ordinary request, if it is still open.
async fn again(raw: &mut Raw) -> Option<u16> {
    let asked = raw.stream.write_all(&request("GET", "/healthz", b"")).await;
    asked.ok()?;
    Some(raw.answer().await?.status)
}

#[tokio::test]
async fn a_promised_body_that_is_far_too_large_is_refused_before_it_comes() {
    let registry = start().await;
    let mut raw = Raw::connect(registry.address).await;
    let head = format!("PUT {INSTANCE} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
    raw.send(format!("{head}expect: 100-continue\r\ncontent-length: 9223372036854775807\r\n\r\n")).await;
    assert_eq!(raw.answer().await.unwrap().status, 413);
    assert_well(&registry).await;
}

#[tokio::test]
async fn deep_json_is_refused() {
    const DEPTH: usize = 10_000;
    let registry = start().await;
    let arrays = ("[".repeat(DEPTH), "]".repeat(DEPTH));
    let objects = (r#"{"a":"#.repeat(DEPTH), "}".repeat(DEPTH));
    for (open, close) in [arrays, objects] {
        for (name, path) in BODIES {
            for body in [
                format!("{open}1{close}"),
                format!(r#"{{"port":80,"meta":{open}1{close}}}"#),
                format!(r#"{{"port":80,"unknown":{open}1{close}}}"#),
                format!(r#"{{"instances":{open}1{close}}}"#),
                format!(r#"{{"instances":[{{"service":{open}1{close}}}]}}"#),
                format!(r#"{{"meta":{{"k":{open}"#),
            ] {
                assert!(body.len() <= berth_model::MAX_BODY_BYTES, "it is the depth that is refused");
                let mut raw = Raw::connect(registry.address).await;
                let answer = raw.ask(name, path, body.as_bytes()).await;
                assert_eq!(answer.status, 400, "{name} {:?}", answer.json());
                assert!(answer.json()["field"].is_string());
            }
        }
    }
    assert_well(&registry).await;
}

#[tokio::test]
async fn what_is_not_utf_8_is_refused() {
    let registry = start().await;
    for (name, path) in BODIES {
        for body in [
            &b"{\"port\":80,\"zone\":\"\xff\"}"[..],
            b"\xff\xfe{\0}\0",
            b"\xed\xa0\x80",
            b"{\"meta\":{\"\xc0\xaf\":\"\"}}",
        ] {
            let answer = Raw::connect(registry.address).await.ask(name, path, body).await;
            assert_eq!((answer.status, &answer.json()["field"]), (400, &json!("body")), "{name}");
        }
    }
    // A half of a surrogate pair is no text either, however it is written.
    let lone = br#"{"port":80,"zone":"\ud800"}"#;
    assert_eq!(Raw::connect(registry.address).await.ask("PUT", INSTANCE, lone).await.status, 400);
    for target in [
        "/v1/services/%ff",
        "/v1/services/web%c0%af",
        "/v1/services/web?version=%ff",
        "/v1/services/web?meta.%ff=1",
        "/v1/services/web?meta.k=%ff",
        "/v1/services/web?wait=%80",
        "/v1/services/web?after=%ff",
        "/v1/watch?service=%ff",
        "/v1/services/%ed%a0%80?wait=1ms",
    ] {
        let answer = Raw::connect(registry.address).await.ask("GET", target, b"").await;
        assert_eq!(answer.status, 400, "{target}");
        assert!(answer.json()["mend"].is_string(), "{target}");
    }
    let mut raw = Raw::connect(registry.address).await;
    raw.send(b"GET /v1/services/\xff\xfe HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(raw.answer().await.unwrap().status, 400);
    assert_well(&registry).await;
}

#[tokio::test]
async fn paths_do_not_lead_elsewhere() {
    let registry = start().await;
    let body = br#"{"port":80,"verify":"none"}"#;
    for name in [
        ".",
        "..",
        "...",
        "%2e",
        "%2e%2e",
        "%2E%2e",
        "a%2fb",
        "a%5cb",
        "%00",
        "a%00",
        "a%0d%0ab",
        "%20",
        "a;b",
        "a%3fb",
        "a%23b",
        "%252e%252e",
        "a*",
        "~",
        "%F0%9F%90%9F",
    ] {
        for path in [
            format!("/v1/services/{name}/instances/a"),
            format!("/v1/services/web/instances/{name}"),
            format!("/v1/services/web/instances/{name}/lease?run=1"),
        ] {
            let answer = Raw::connect(registry.address).await.ask("PUT", &path, body).await;
            assert_eq!(answer.status, 400, "{path}");
            assert!(matches!(answer.json()["field"].as_str(), Some("service" | "id")), "{path}");
        }
    }
    for path in [
        "/v1/services/web/../web/instances/a",
        "/v1/services//instances/a",
        "/v1/services/web/instances/",
        "/v1/services/web/instances/a/",
        "//v1/services/web/instances/a",
        "/v1/../v1/services/web/instances/a",
        "/V1/services/web/instances/a",
        "/v1/services/web/instances/a/b",
        "/v1/services/web%2finstances%2fa",
        "/%76%31/services/web/instances/a",
    ] {
        let answer = Raw::connect(registry.address).await.ask("PUT", path, body).await;
        assert!(matches!(answer.status, 400 | 404 | 405), "{path}: {}", answer.status);
    }
    assert_well(&registry).await;
}

#[tokio::test]
async fn a_body_that_stops_midway_is_given_up() {
    let registry = start().await;
    let mut stopped = Vec::new();
    let head = format!("PUT {INSTANCE} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
    for rest in [
        "transfer-encoding: chunked\r\n\r\nb\r\n{\"port\":80}\r\n",
        "transfer-encoding: chunked\r\n\r\nb\r\n{\"po",
        "content-length: 12\r\n\r\n{\"port\":80}",
    ] {
        let mut raw = Raw::connect(registry.address).await;
        raw.send(format!("{head}{rest}")).await;
        stopped.push(raw);
    }
    for mut raw in stopped {
        let answer = raw.answer().await.expect("an answer");
        assert_eq!((answer.status, &answer.json()["field"]), (408, &json!("body")));
        assert!(raw.answer().await.is_none(), "what comes now would be read as a request");
    }
    // Others do not say good-bye.
    let mut raw = Raw::connect(registry.address).await;
    raw.send(format!("{head}content-length: 12\r\n\r\n{{\"port\":80}}")).await;
    drop(raw);
    assert_well(&registry).await;
}

#[tokio::test]
async fn a_body_that_never_ends_is_refused() {
    let registry = start().await;
    let raw = Raw::connect(registry.address).await;
    let (mut reader, mut writer) = raw.stream.into_split();
    let head = format!("PUT {INSTANCE} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
    let chunk = format!("4000\r\n{}\r\n", " ".repeat(0x4000));
    let writing = tokio::spawn(async move {
        writer.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await.unwrap();
        let mut sent = 0_usize;
        // It ends when the registry closes the connection.
        while writer.write_all(chunk.as_bytes()).await.is_ok() {
            sent += chunk.len();
        }
        sent
    });
    let mut received = Vec::new();
    let _ = in_time(reader.read_to_end(&mut received)).await;
    assert!(received.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&received));
    assert!(writing.await.unwrap() < 64 * 1024 * 1024);
    assert_well(&registry).await;
}

#[tokio::test]
async fn heads_that_are_too_large_or_nonsense_are_refused() {
    let registry = start().await;
    let long = "a".repeat(200_000);
    let many = (0..2_000).map(|number| format!("x-{number}: 1\r\n")).collect::<String>();
    let post = format!("PUT {INSTANCE} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
    let body = r#"{"port":80,"verify":"none"}"#;
    let length = body.len();
    for (bytes, statuses) in [
        (format!("GET /v1/services HTTP/1.1\r\nhost: localhost\r\nx: {long}\r\n\r\n"), &[431][..]),
        (format!("GET /v1/services HTTP/1.1\r\nhost: localhost\r\n{many}\r\n"), &[431]),
        (format!("GET /v1/services/{long} HTTP/1.1\r\nhost: localhost\r\n\r\n"), &[414, 431]),
        ("\x16\x03\x01\x02\0\x01\0\x01\u{7f}\x03\x03".repeat(8), &[400]),
        ("hello\r\n\r\n".to_owned(), &[400]),
        // The preface of HTTP/2, to which no answer of HTTP/1.1 fits.
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[]),
        (format!("{post}content-length: {length}\r\ncontent-length: 3\r\n\r\n{body}"), &[400]),
        (format!("{post}content-length: -1\r\n\r\n{body}"), &[400]),
        (format!("{post}transfer-encoding: gzip\r\n\r\n{body}"), &[400]),
        (format!("{post}transfer-encoding: chunked\r\n\r\nzz\r\n{body}\r\n0\r\n\r\n"), &[400]),
        (format!("{post}transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n{body}"), &[400]),
        (
            format!(
                "PUT {INSTANCE} HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            ),
            &[403],
        ),
    ] {
        let mut raw = Raw::connect(registry.address).await;
        // It may close the connection before it has read it all.
        let _ = raw.stream.write_all(bytes.as_bytes()).await;
        let status = raw.answer().await.map(|answer| answer.status);
        let is_right = status.map_or(statuses.is_empty(), |status| statuses.contains(&status));
        assert!(is_right, "{status:?}: {bytes:.80}");
    }
    assert_well(&registry).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn five_hundred_ids_at_once_are_each_registered_once() {
    const IDS: usize = 500;
    let registry = start().await;
    let mut events = registry.watch("", None).await;
    events.snapshot().await;
    let mut callers = JoinSet::new();
    for number in 0..IDS {
        let request = registry.request(Method::PUT, &path(&format!("web/{number}")));
        let request = request.json(&json!({"port": 1 + number, "verify": "none", "ttl_s": 3600}));
        callers.spawn(async move { write(&request).await });
    }
    let mut seen = Vec::new();
    for sequence in 1..=IDS as u64 {
        let change = events.change().await;
        assert_eq!(change.revision.sequence, sequence);
        seen.push((change.instance.id.to_string(), usize::from(change.instance.port)));
    }
    for (status, body) in callers.join_all().await {
        assert_eq!(status, StatusCode::CREATED, "{body}");
    }
    seen.sort_unstable_by_key(|(_, port)| *port);
    let expected: Vec<_> = (0..IDS).map(|number| (number.to_string(), 1 + number)).collect();
    assert_eq!(seen, expected);
    let (_, list) = registry.get("/v1/services").await;
    assert_eq!(list["services"], json!({"web": IDS}));
    let last: Value = list["revision"].clone();
    assert!(last.as_str().unwrap().ends_with(&format!("-{IDS}")), "nothing else happened: {last}");
}
