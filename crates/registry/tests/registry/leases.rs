//! Heartbeats, and what happens without them.

use std::time::{Duration, Instant};

use berth_model::{ChangeKind, Reason};
use reqwest::StatusCode;
use serde_json::json;

use crate::harness::start;

#[tokio::test]
async fn a_heartbeat_tells_when_the_next_is_due() {
    let registry = start().await;
    registry.put("web/a", json!({"port": 8000, "run": "5", "ttl_s": 6})).await;
    assert_eq!(registry.renew("web/a", "5").await, (StatusCode::OK, json!({"renew_s": 2.0})));
}

#[tokio::test]
async fn a_heartbeat_of_an_unknown_run_means_register_again() {
    let registry = start().await;
    assert_eq!(registry.renew("web/a", "5").await.0, StatusCode::NOT_FOUND);
    registry.put("web/a", json!({"port": 8000, "run": "5"})).await;
    for run in ["4", "6"] {
        let (status, problem) = registry.renew("web/a", run).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(problem["mend"].as_str().unwrap().contains("PUT /v1/services/web/instances/a"));
    }
}

#[tokio::test]
async fn a_heartbeat_of_a_replaced_run_means_stop() {
    let registry = start().await;
    registry.put("web/a", json!({"port": 8000, "run": "5"})).await;
    registry.put("web/a", json!({"port": 8001, "run": "6"})).await;
    let (status, problem) = registry.renew("web/a", "5").await;
    assert_eq!((status, &problem["reason"]), (StatusCode::GONE, &json!("replaced")));
    assert_eq!(registry.renew("web/a", "6").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_heartbeat_is_no_change() {
    let registry = start().await;
    let (_, registered) = registry.put("web/a", json!({"port": 8000, "run": "5"})).await;
    registry.renew("web/a", "5").await;
    assert_eq!(registry.get("/v1/services").await.1["revision"], registered["revision"]);
}

#[tokio::test]
async fn a_lease_ends_after_its_ttl_and_not_before() {
    let registry = start().await;
    let mut events = registry.watch("", None).await;
    events.snapshot().await;
    let asked = Instant::now();
    registry.put("web/short", json!({"port": 8000, "ttl_s": 2})).await;
    registry.put("web/long", json!({"port": 8001, "ttl_s": 60})).await;
    assert_eq!(events.change().await.kind, ChangeKind::Joined);
    assert_eq!(events.change().await.kind, ChangeKind::Joined);
    let left = events.change().await;
    assert!(asked.elapsed() >= Duration::from_secs(2), "a lower bound holds on every machine");
    assert_eq!((left.kind, left.reason), (ChangeKind::Left, Some(Reason::Expired)));
    assert_eq!(left.instance.id.as_str(), "short");
    assert_eq!(registry.ids("/v1/services/web").await, ["long"]);
    // Expiry is an opinion: the owner is told to register again, and may.
    let run = left.instance.run.to_string();
    assert_eq!(registry.renew("web/short", &run).await.0, StatusCode::NOT_FOUND);
    let (status, _) = registry.put("web/short", json!({"port": 8000, "run": run})).await;
    assert_eq!(status, StatusCode::CREATED);
}
