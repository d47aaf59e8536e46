//! An instance is published once its address answers.

use berth_model::{ChangeKind, Reason};
use berth_registry::Limits;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Running, eventually, limited, path, start, start_with};
use crate::ports::{Deaf, listening, refusing};

fn dialled(port: u16) -> Value {
    json!({"port": port, "verify": "tcp", "ttl_s": 3600})
}

async fn assert_nothing_ever_happened(registry: &Running) {
    let (_, list) = registry.get("/v1/services").await;
    assert_eq!(list["services"], json!({}));
    assert!(list["revision"].as_str().unwrap().ends_with("-0"), "{list}");
}

/// A registration that stays under way until it is answered or the set is dropped.
fn spawn_put(tasks: &mut JoinSet<StatusCode>, registry: &Running, place: &str, body: &Value) {
    let request = registry.request(Method::PUT, &path(place)).json(body);
    tasks.spawn(async move { request.send().await.unwrap().status() });
}

#[tokio::test]
async fn an_address_that_answers_is_published() {
    let registry = start().await;
    let mut events = registry.watch("", None).await;
    events.snapshot().await;
    let (_listener, port) = listening().await;
    // Dialling is the default.
    let put = registry.request(Method::PUT, &path("web/a")).json(&json!({"port": port}));
    assert_eq!(put.send().await.unwrap().status(), StatusCode::CREATED);
    let change = events.change().await;
    assert_eq!((change.kind, change.instance.port), (ChangeKind::Joined, port));
    assert_eq!(registry.metric("registry_dials_total{outcome=\"accepted\"}").await, 1);
    assert_eq!(registry.ids("/v1/services/web").await, ["a"]);
}

#[tokio::test]
async fn an_address_that_refuses_is_not_published_and_the_caller_learns_why() {
    let registry = start().await;
    let mut events = registry.watch("", None).await;
    events.snapshot().await;
    let port = refusing();
    let (status, problem) = registry.put("web/a", dialled(port)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem["field"], "port", "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains(&format!("127.0.0.1:{port}")), "{problem}");
    assert!(problem["mend"].as_str().unwrap().contains(r#""verify": "none""#), "{problem}");
    assert_nothing_ever_happened(&registry).await;
    // It does what the mend says; no watcher had heard of the first attempt.
    let (status, _) = registry.put("web/a", json!({"port": port, "verify": "none"})).await;
    assert_eq!(status, StatusCode::CREATED);
    let first = events.change().await;
    assert_eq!((first.revision.sequence, first.kind), (1, ChangeKind::Joined));
}

#[tokio::test]
async fn an_address_that_never_answers_is_not_published() {
    let registry = start().await;
    let deaf = Deaf::new().await;
    let (status, problem) = registry.put("web/a", dialled(deaf.port)).await;
    assert_eq!((status, &problem["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("port")));
    assert!(problem["detail"].as_str().unwrap().contains("did not answer"), "{problem}");
    assert_nothing_ever_happened(&registry).await;
    // The same address without a dial.
    let (status, _) = registry.put("web/a", json!({"port": deaf.port})).await;
    assert_eq!(status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_refused_successor_leaves_the_older_run_alone() {
    let registry = start().await;
    let (listener, port) = listening().await;
    let body = json!({"port": port, "verify": "tcp", "run": "5"});
    let (_, before) = registry.put("web/a", body.clone()).await;
    let newer = json!({"port": refusing(), "verify": "tcp", "run": "6"});
    assert_eq!(registry.put("web/a", newer.clone()).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    // Without a run, a new address is a new run.
    let moved = dialled(refusing());
    assert_eq!(registry.put("web/a", moved).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(registry.renew("web/a", "5").await.0, StatusCode::OK);
    // The same run at the same address is no news, and needs no dial.
    drop(listener);
    let dials = registry.metric("registry_dials_total{outcome=\"refused\"}").await;
    assert_eq!(registry.put("web/a", body).await, (StatusCode::OK, before.clone()));
    assert_eq!(registry.metric("registry_dials_total{outcome=\"refused\"}").await, dials);
    assert_eq!(registry.get("/v1/services/web").await.1["instances"], json!([before["instance"]]));
    // The refused run was never there: it may still come.
    let (_listener, port) = listening().await;
    let newer = json!({"port": port, "verify": "tcp", "run": "6"});
    assert_eq!(registry.put("web/a", newer).await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn a_run_that_moves_is_dialled_again_and_stays_where_it_was_if_that_fails() {
    let registry = start().await;
    let (_listener, port) = listening().await;
    let body = |port: u16| json!({"port": port, "verify": "tcp", "run": "5"});
    let (_, before) = registry.put("web/a", body(port)).await;
    let (status, problem) = registry.put("web/a", body(refusing())).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert_eq!(registry.get("/v1/services/web").await.1["instances"], json!([before["instance"]]));
    assert_eq!(registry.get("/v1/services").await.1["revision"], before["revision"]);
    let (_second, port) = listening().await;
    let mut events = registry.watch("", None).await;
    events.snapshot().await;
    assert_eq!(registry.put("web/a", body(port)).await.0, StatusCode::CREATED);
    assert_eq!(events.change().await.reason, Some(Reason::Replaced));
    assert_eq!(events.change().await.instance.port, port);
}

#[tokio::test]
async fn a_run_that_is_withdrawn_while_it_is_dialled_never_appears() {
    let registry = start().await;
    let deaf = Deaf::new().await;
    let mut owner = JoinSet::new();
    let body = json!({"port": deaf.port, "verify": "tcp", "run": "5"});
    spawn_put(&mut owner, &registry, "web/a", &body);
    deaf.is_dialled(1).await;
    assert_eq!(registry.delete("web/a", "?run=4").await.0, StatusCode::NOT_FOUND, "another run");
    assert_eq!(registry.delete("web/a", "?run=5").await.0, StatusCode::OK);
    assert_eq!(registry.delete("web/a", "?run=5").await.0, StatusCode::NOT_FOUND, "it is gone");
    assert!(!owner.join_next().await.unwrap().unwrap().is_success());
    assert_nothing_ever_happened(&registry).await;
}

#[tokio::test]
async fn a_caller_that_goes_away_while_its_address_is_dialled_leaves_no_trace() {
    let registry = start_with(limited(Limits { instances: 1, ..Limits::default() })).await;
    let deaf = Deaf::new().await;
    let mut caller = JoinSet::new();
    spawn_put(&mut caller, &registry, "web/a", &dialled(deaf.port));
    deaf.is_dialled(1).await;
    // It counts while it is dialled.
    assert_eq!(registry.put("api/b", json!({"port": 1})).await.0, StatusCode::SERVICE_UNAVAILABLE);
    caller.shutdown().await;
    assert_nothing_ever_happened(&registry).await;
    eventually("there is room again", async || {
        registry.put("api/b", json!({"port": 1})).await.0 == StatusCode::CREATED
    })
    .await;
    assert_eq!(registry.get("/v1/services").await.1["services"], json!({"api": 1}));
}

#[tokio::test]
async fn a_refused_registration_takes_no_room() {
    let registry = start_with(limited(Limits { instances: 1, ..Limits::default() })).await;
    let port = refusing();
    for number in 0..5 {
        let (status, _) = registry.put(&format!("web/{number}"), dialled(port)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let (_listener, port) = listening().await;
    assert_eq!(registry.put("web/a", dialled(port)).await.0, StatusCode::CREATED);
}
