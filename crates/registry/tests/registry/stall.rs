//! A registry that stood still.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{path, start, write};
use crate::raw::{Raw, request};

/// Longer than a stall is.
const STANDSTILL: Duration = Duration::from_millis(1500);

/// The registry shares the one thread of this test, and stands still with it.
#[tokio::test]
async fn a_write_that_waited_while_the_registry_stood_still_is_not_applied_late() {
    let registry = start().await;
    let (_, before) = registry.put("web/a", json!({"port": 8000, "run": "5", "ttl_s": 60})).await;
    let lease = format!("{}/lease?run=5", path("web/a"));
    let mut calls = Vec::new();
    for (method, path, body) in [
        ("PUT", path("web/b"), r#"{"port": 8001, "verify": "none"}"#),
        ("PATCH", path("web/a"), r#"{"draining": true}"#),
        ("DELETE", path("web/a"), ""),
        ("PUT", lease, ""),
        ("GET", "/v1/services/web".to_owned(), ""),
    ] {
        let mut raw = Raw::connect(registry.address).await;
        assert_eq!(raw.ask("GET", "/healthz", b"").await.status, 200);
        calls.push((raw, request(method, &path, body.as_bytes())));
    }
    for (raw, request) in &mut calls {
        // Nothing is awaited from here to the end of the standstill, so that nobody reads it before.
        assert_eq!(raw.stream.try_write(request).unwrap(), request.len());
    }
    std::thread::sleep(STANDSTILL);
    for (number, (raw, _)) in calls.iter_mut().enumerate() {
        let answer = raw.answer().await.expect("an answer");
        if number < 3 {
            assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "a write");
            assert!(answer.json()["detail"].as_str().unwrap().contains("stood still"));
        } else {
            assert_eq!(answer.status, 200, "renewals and readers pass");
        }
    }
    assert_eq!(registry.get("/v1/services/web").await.1["instances"], json!([before["instance"]]));
    // It takes writes again.
    let body = json!({"port": 8001, "verify": "none"});
    let again = registry.request(Method::PUT, &path("web/b")).json(&body);
    assert_eq!(write(&again).await.0, StatusCode::CREATED);
}
