//! PUT, PATCH and DELETE of an instance.

use berth_model::Registered;
use reqwest::StatusCode;
use serde_json::json;

use crate::harness::start;

#[tokio::test]
async fn a_port_is_enough() {
    let registry = start().await;
    let (status, answer) = registry.put("web/a", json!({"port": 8000})).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(answer["renew_s"], 5.0);
    let instance = &answer["instance"];
    assert_eq!(instance["host"], "127.0.0.1", "the caller's own address");
    assert_eq!(
        (&instance["service"], &instance["id"], &instance["port"]),
        (&json!("web"), &json!("a"), &json!(8000))
    );
    assert_eq!(
        (&instance["weight"], &instance["scheme"], &instance["ttl_s"]),
        (&json!(1), &json!("http"), &json!(15.0))
    );
    let registered: Registered = serde_json::from_value(answer).unwrap();
    assert_eq!(registered.revision.sequence, 1);
}

#[tokio::test]
async fn all_that_an_owner_says_is_published() {
    let registry = start().await;
    let body = json!({"run": "77", "version": "1.2.3", "host": "::1", "port": 81, "scheme": "https", "weight": 9,
        "zone": "a", "routes": ["/api"], "meta": {"k": "v"}, "ttl_s": 2.5, "draining": true});
    let (_, answer) = registry.put("web/a", json!({"verify": "none"}).merged(&body)).await;
    let mut published = answer["instance"].clone();
    let named = published.as_object_mut().unwrap();
    assert_eq!((named.remove("service"), named.remove("id")), (Some(json!("web")), Some(json!("a"))));
    assert_eq!(published, body);
    let (_, found) = registry.get("/v1/services/web").await;
    assert_eq!(found["instances"], json!([answer["instance"]]));
}

#[tokio::test]
async fn the_same_run_and_address_stays_without_a_change() {
    let registry = start().await;
    let (_, first) = registry.put("web/a", json!({"port": 8000})).await;
    for body in [json!({"port": 8000}), json!({"port": 8000, "run": first["instance"]["run"]})] {
        let (status, again) = registry.put("web/a", body).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(again, first, "same run, same revision");
    }
    let (status, heavier) = registry.put("web/a", json!({"port": 8000, "weight": 5})).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(heavier["instance"]["run"], first["instance"]["run"]);
    assert_ne!(heavier["revision"], first["revision"]);
}

#[tokio::test]
async fn a_higher_run_replaces_and_a_lower_one_is_told_so() {
    let registry = start().await;
    registry.put("web/a", json!({"port": 8000, "run": "5"})).await;
    let (status, _) = registry.put("web/a", json!({"port": 8001, "run": "6"})).await;
    assert_eq!(status, StatusCode::CREATED);
    let (status, gone) = registry.put("web/a", json!({"port": 8000, "run": "5"})).await;
    assert_eq!((status, &gone["reason"]), (StatusCode::GONE, &json!("replaced")));
    let (status, late) = registry.put("web/a", json!({"port": 8000, "run": "4"})).await;
    assert_eq!((status, &late["field"]), (StatusCode::CONFLICT, &json!("run")));
    let (_, found) = registry.get("/v1/services/web").await;
    assert_eq!(found["instances"][0]["port"], 8001);
}

#[tokio::test]
async fn a_new_address_without_a_run_is_a_new_run() {
    let registry = start().await;
    let (_, first) = registry.put("web/a", json!({"port": 8000})).await;
    let (status, moved) = registry.put("web/a", json!({"port": 8001})).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_ne!(moved["instance"]["run"], first["instance"]["run"]);
    assert_eq!(registry.ids("/v1/services/web").await, ["a"]);
}

#[tokio::test]
async fn an_owner_deregisters_its_own_run_only() {
    let registry = start().await;
    registry.put("web/a", json!({"port": 8000, "run": "5"})).await;
    let (status, other) = registry.delete("web/a", "?run=4").await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{other}");
    assert_eq!(registry.ids("/v1/services/web").await, ["a"]);
    let (status, ended) = registry.delete("web/a", "?run=5").await;
    assert_eq!(status, StatusCode::OK);
    assert!(ended["revision"].is_string());
    assert!(registry.ids("/v1/services/web").await.is_empty());
    assert_eq!(registry.delete("web/a", "?run=5").await.0, StatusCode::NOT_FOUND);
    // Its owner may think better of it.
    assert_eq!(registry.put("web/a", json!({"port": 8000, "run": "5"})).await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn what_an_operator_removed_stays_out() {
    let registry = start().await;
    registry.put("web/a", json!({"port": 8000, "run": "5"})).await;
    assert_eq!(registry.delete("web/a", "").await.0, StatusCode::OK);
    assert_eq!(registry.delete("web/a", "").await.0, StatusCode::NOT_FOUND);
    for (status, problem) in [
        registry.renew("web/a", "5").await,
        registry.put("web/a", json!({"port": 8000, "run": "5"})).await,
        registry.delete("web/a", "?run=5").await,
    ] {
        assert_eq!((status, &problem["reason"]), (StatusCode::GONE, &json!("removed")));
        assert!(problem["mend"].is_string());
    }
}

#[tokio::test]
async fn a_patch_changes_what_it_names() {
    let registry = start().await;
    assert_eq!(registry.patch("web/a", json!({"weight": 2})).await.0, StatusCode::NOT_FOUND);
    let (_, before) = registry.put("web/a", json!({"port": 8000, "meta": {"a": "1"}})).await;
    let (status, drained) = registry.patch("web/a", json!({"draining": true})).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&drained["draining"], &drained["meta"]), (&json!(true), &json!({"a": "1"})));
    assert_eq!(drained["run"], before["instance"]["run"]);
    let (_, changed) = registry.patch("web/a", json!({"weight": 7, "meta": {"b": "2"}})).await;
    assert_eq!((&changed["weight"], &changed["meta"]), (&json!(7), &json!({"b": "2"})));
    assert_eq!(changed["draining"], true);
    let (_, found) = registry.get("/v1/services/web").await;
    assert_eq!(found["instances"], json!([changed]));
}

trait Merged {
    fn merged(self, other: &Self) -> Self;
}

impl Merged for serde_json::Value {
    fn merged(mut self, other: &Self) -> Self {
        self.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        self
    }
}
