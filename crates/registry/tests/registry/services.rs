//! Listing and querying, health and metrics.

use berth_model::{Found, Services};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::start;

#[tokio::test]
async fn services_are_listed_with_their_numbers() {
    let registry = start().await;
    let (_, empty) = registry.get("/v1/services").await;
    assert_eq!(empty["services"], json!({}));
    for place in ["web/a", "web/b", "api/a"] {
        registry.put(place, json!({"port": 8000})).await;
    }
    registry.put("old/a", json!({"port": 8000})).await;
    registry.delete("old/a", "").await;
    let (status, list) = registry.get("/v1/services").await;
    assert_eq!((status, &list["services"]), (StatusCode::OK, &json!({"web": 2, "api": 1})));
    let list: Services = serde_json::from_value(list).unwrap();
    assert_eq!(list.revision.sequence, 5);
}

#[tokio::test]
async fn a_query_matches_version_and_meta() {
    let registry = start().await;
    for (id, version, zone) in [("c", "1.2.3", "x"), ("a", "1.9.0", "y"), ("b", "2.0.0", "x")] {
        let body = json!({"port": 8000, "version": version, "meta": {"color": zone, "a b": "ü"}});
        registry.put(&format!("web/{id}"), body).await;
    }
    registry.put("web/none", json!({"port": 8000})).await;
    for (query, ids) in [
        ("", vec!["a", "b", "c", "none"]),
        ("?version=1.x", vec!["a", "c"]),
        ("?version=%5E1.5", vec!["a"]),
        ("?version=%3E%3D1+%3C2", vec!["a", "c"]),
        ("?version=*", vec!["a", "b", "c"]),
        ("?meta.color=x", vec!["b", "c"]),
        ("?meta.color=x&version=2.x", vec!["b"]),
        ("?meta.a%20b=%C3%BC&meta.color=y", vec!["a"]),
        ("?meta.none=1", vec![]),
    ] {
        assert_eq!(registry.ids(&format!("/v1/services/web{query}")).await, ids, "{query}");
    }
}

#[tokio::test]
async fn an_unknown_service_is_an_empty_list() {
    let registry = start().await;
    let (status, found) = registry.get("/v1/services/nothing").await;
    assert_eq!(status, StatusCode::OK);
    let found: Found = serde_json::from_value(found).unwrap();
    assert_eq!((found.service.as_str(), found.instances.len()), ("nothing", 0));
}

#[tokio::test]
async fn each_start_is_an_epoch_of_its_own() {
    let epoch = async || {
        let registry = start().await;
        let services: Services = serde_json::from_value(registry.get("/v1/services").await.1).unwrap();
        services.revision.epoch
    };
    assert_ne!(epoch().await, epoch().await);
}

#[tokio::test]
async fn it_tells_how_it_is() {
    let registry = start().await;
    let (_, first) = registry.put("web/a", json!({"port": 8000})).await;
    registry.renew("web/a", first["instance"]["run"].as_str().unwrap()).await;
    registry.put("web/b", json!({"port": 8001})).await;
    registry.delete("web/b", "").await;
    let _watching = registry.watch("", None).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(registry.request(Method::GET, path).send().await.unwrap().status(), StatusCode::OK);
    }
    let metrics = registry.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    for line in [
        "registry_instances 1",
        "registry_watchers 1",
        "registry_renewals_total 1",
        "registry_changes_total{kind=\"joined\",reason=\"\"} 2",
        "registry_changes_total{kind=\"left\",reason=\"removed\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}
