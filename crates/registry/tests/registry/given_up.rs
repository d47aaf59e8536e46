//! Registrations that wait for their turn to be dialled.

use std::time::Instant;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{PATIENCE, Running, path, start};
use crate::ports::{Deaf, listening};
use crate::raw::{Raw, request};

/// How many dials the registry makes at once to one host.
const MOST_DIALS: usize = 32;

/// A connection that the registry has accepted.
async fn connect(registry: &Running) -> Raw {
    let mut raw = Raw::connect(registry.address).await;
    assert_eq!(raw.ask("GET", "/healthz", b"").await.status, 200);
    raw
}

fn put(place: &str, body: &Value) -> Vec<u8> {
    request("PUT", &path(place), body.to_string().as_bytes())
}

/// Takes all dials to 127.0.0.1 with a port that never answers.
async fn occupy(registry: &Running, deaf: &Deaf, callers: usize) -> Vec<Raw> {
    let mut blockers = Vec::new();
    for _ in 0..callers {
        blockers.push(connect(registry).await);
    }
    let body = json!({"port": deaf.port, "ttl_s": 3600});
    for (number, raw) in blockers.iter().enumerate() {
        let bytes = put(&format!("busy/{number}"), &body);
        assert_eq!(raw.stream.try_write(&bytes).unwrap(), bytes.len());
    }
    // A dial lasts less than a second: on a machine that is too busy some end before the last ones begin.
    let start = Instant::now();
    while deaf.dials() < MOST_DIALS && start.elapsed().as_secs() < 1 {
        tokio::task::yield_now().await;
    }
    blockers
}

/// All dials are taken, so that the next registrations wait for their turn. When it comes, their address would
/// answer; but by then they are void. Returns the one that was withdrawn; none if their turn came too early for that.
async fn give_up_in_time(registry: &Running, deaf: &Deaf, port: u16) -> Option<Raw> {
    let mut withdrawn = connect(registry).await;
    let mut absent = connect(registry).await;
    let blockers = occupy(registry, deaf, MOST_DIALS).await;
    let body = json!({"port": port, "run": "5", "ttl_s": 3600});
    withdrawn.send(put("web/withdrawn", &body)).await;
    absent.send(put("web/absent", &body)).await;
    // The registry reads what was sent before this no later than this.
    registry.get("/v1/services").await;
    let ended = registry.delete("web/withdrawn", "?run=5").await.0;
    drop(absent);
    registry.get("/v1/services").await;
    let in_time = ended == StatusCode::OK && deaf.dials() == MOST_DIALS;
    for mut raw in blockers {
        let status = raw.answer().await.expect("an answer").status;
        assert!(matches!(status, 422 | 503), "{status}");
    }
    in_time.then_some(withdrawn)
}

/// Tries until it was in time: on a machine that is too busy, dials end before what follows them begins.
async fn until_in_time<T>(mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(done) = attempt().await {
            return done;
        }
        assert!(begin.elapsed() < PATIENCE, "this machine is too busy to dial so often in a second");
    }
}

#[tokio::test]
async fn what_was_given_up_before_its_dial_is_never_published() {
    let (_listener, port) = listening().await;
    let (registry, mut withdrawn) = until_in_time(async || {
        let registry = start().await;
        let withdrawn = give_up_in_time(&registry, &Deaf::new().await, port).await?;
        Some((registry, withdrawn))
    })
    .await;
    let status = withdrawn.answer().await.expect("an answer").status;
    assert!(matches!(status, 404 | 503), "{status}");
    // Turns are given in order, so that this one comes after the others.
    let (status, _) = registry.put("web/last", json!({"port": port, "verify": "tcp"})).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(registry.ids("/v1/services/web").await, ["last"]);
    let snapshot = registry.watch("", None).await.snapshot().await;
    assert_eq!((snapshot.revision.sequence, snapshot.ended.len()), (1, 0));
}

#[tokio::test]
async fn a_host_that_swallows_dials_keeps_no_other_host_waiting() {
    berth_daemon::raise_descriptor_limit();
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    until_in_time(async || {
        let registry = start().await;
        let deaf = Deaf::new().await;
        // More than the registry dials at once to all hosts together.
        let _blockers = occupy(&registry, &deaf, 300).await;
        let body = json!({"host": "127.0.0.2", "port": port, "verify": "tcp"});
        let (status, answer) = registry.put("web/a", body).await;
        let in_time = deaf.dials() == MOST_DIALS;
        in_time.then(|| assert_eq!(status, StatusCode::CREATED, "{answer}"))
    })
    .await;
}
