//! What keeps the registry's size bounded.

use berth_registry::Limits;
use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{limited, path, start_with};

#[tokio::test]
async fn a_full_registry_keeps_what_it_has() {
    let registry = start_with(limited(Limits { instances: 2, ..Limits::default() })).await;
    let (_, first) = registry.put("web/a", json!({"port": 8000})).await;
    registry.put("web/b", json!({"port": 8001})).await;
    let request = registry.request(reqwest::Method::PUT, &path("other/c")).json(&json!({"port": 8002}));
    let refused = request.send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
    let run = first["instance"]["run"].as_str().unwrap();
    assert_eq!(registry.renew("web/a", run).await.0, StatusCode::OK);
    assert_eq!(registry.put("web/b", json!({"port": 8003})).await.0, StatusCode::CREATED);
    assert_eq!(registry.get("/v1/services").await.1["services"], json!({"web": 2}));
}

#[tokio::test]
async fn a_refused_call_leaves_no_trace() {
    let registry = start_with(limited(Limits { instances: 1, ..Limits::default() })).await;
    for number in 0..20 {
        let place = format!("s{number}/a");
        assert_eq!(registry.renew(&place, "5").await.0, StatusCode::NOT_FOUND);
        assert_eq!(registry.delete(&place, "").await.0, StatusCode::NOT_FOUND);
        assert_eq!(registry.patch(&place, json!({"weight": 2})).await.0, StatusCode::NOT_FOUND);
    }
    assert_eq!(registry.put("web/a", json!({"port": 8000})).await.0, StatusCode::CREATED);
}
