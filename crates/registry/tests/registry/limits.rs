//! What keeps the registry's size bounded.

use berth_registry::{Limits, Settings};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Running, eventually, limited, path, run_name, start_with};
use crate::raw::Raw;

async fn with_limits(limits: Limits) -> Running {
    start_with(limited(limits)).await
}

/// The problem document of a call that is refused for now.
async fn refused(response: Response, status: StatusCode) -> Value {
    assert_eq!(response.status(), status);
    let seconds = response.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap();
    assert!(seconds > 0);
    response.json().await.unwrap()
}

async fn refused_put(registry: &Running, place: &str, body: &Value, status: StatusCode) -> Value {
    refused(registry.request(Method::PUT, &path(place)).json(body).send().await.unwrap(), status).await
}

fn assert_mends(problem: &Value, flag: &str) {
    assert!(problem["mend"].as_str().unwrap().contains(flag), "{problem}");
}

#[tokio::test]
async fn a_full_registry_keeps_what_it_has() {
    let registry = with_limits(Limits { instances: 2, ..Limits::default() }).await;
    let (_, first) = registry.put("web/a", json!({"port": 8000})).await;
    registry.put("web/b", json!({"port": 8001})).await;
    let body = json!({"port": 8002, "verify": "none"});
    let problem = refused_put(&registry, "other/c", &body, StatusCode::SERVICE_UNAVAILABLE).await;
    assert_mends(&problem, "--max-instances");
    let run = first["instance"]["run"].as_str().unwrap();
    assert_eq!(registry.renew("web/a", run).await.0, StatusCode::OK);
    assert_eq!(registry.put("web/b", json!({"port": 8003})).await.0, StatusCode::CREATED);
    assert_eq!(registry.get("/v1/services").await.1["services"], json!({"web": 2}));
}

#[tokio::test]
async fn a_refused_call_leaves_no_trace() {
    let registry = with_limits(Limits { instances: 1, ..Limits::default() }).await;
    for number in 0..20 {
        let place = format!("s{number}/a");
        assert_eq!(registry.renew(&place, "5").await.0, StatusCode::NOT_FOUND);
        assert_eq!(registry.delete(&place, "").await.0, StatusCode::NOT_FOUND);
        assert_eq!(registry.patch(&place, json!({"weight": 2})).await.0, StatusCode::NOT_FOUND);
    }
    assert_eq!(registry.put("web/a", json!({"port": 8000})).await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn a_full_service_takes_no_more_ids_and_others_do() {
    let registry = with_limits(Limits { per_service: 2, ..Limits::default() }).await;
    for id in ["a", "b"] {
        assert_eq!(registry.put(&format!("web/{id}"), json!({"port": 8000})).await.0, StatusCode::CREATED);
    }
    let body = json!({"port": 8000, "verify": "none"});
    let problem = refused_put(&registry, "web/c", &body, StatusCode::TOO_MANY_REQUESTS).await;
    assert_eq!(problem["field"], "service");
    assert_mends(&problem, "--max-per-service");
    assert_eq!(registry.put("api/c", json!({"port": 8000})).await.0, StatusCode::CREATED);
    // An end is remembered, and so it counts: but its own id has its place.
    registry.delete("web/a", "").await;
    refused_put(&registry, "web/c", &body, StatusCode::TOO_MANY_REQUESTS).await;
    assert_eq!(registry.put("web/a", json!({"port": 8001})).await.0, StatusCode::CREATED);
    assert_eq!(registry.put("web/b", json!({"port": 8001})).await.0, StatusCode::CREATED, "a replacement");
    assert_eq!(registry.ids("/v1/services/web").await, ["a", "b"]);
}

#[tokio::test]
async fn all_of_loopback_counts_as_one_address() {
    let registry = with_limits(Limits { per_address: 2, ..Limits::default() }).await;
    registry.put("web/a", json!({"port": 8000})).await;
    registry.put("api/a", json!({"port": 8000, "host": "::1"})).await;
    for host in ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"] {
        let body = json!({"port": 8000, "host": host, "verify": "none"});
        let problem = refused_put(&registry, "web/b", &body, StatusCode::TOO_MANY_REQUESTS).await;
        assert_eq!(problem["field"], "host", "{host}");
        assert_mends(&problem, "--max-per-address");
    }
    // Who is there already may move within it.
    assert_eq!(
        registry.put("web/a", json!({"port": 8000, "host": "127.0.0.9"})).await.0,
        StatusCode::CREATED
    );
    registry.delete("web/a", "").await;
    let body = json!({"port": 8000, "verify": "none"});
    refused_put(&registry, "web/b", &body, StatusCode::TOO_MANY_REQUESTS).await;
    assert_eq!(registry.put("web/a", json!({"port": 8000})).await.0, StatusCode::CREATED);
    assert_eq!(registry.get("/v1/services").await.1["services"], json!({"web": 1, "api": 1}));
}

#[tokio::test]
async fn an_instance_counts_at_the_address_where_it_is() {
    let limits = Limits { per_address: 1, ..Limits::default() };
    let registry = start_with(Settings { token: Some("s3cret".parse().unwrap()), limits }).await;
    let put = async |id: &str, host: &str| {
        let request = registry.request(Method::PUT, &path(&format!("web/{id}"))).bearer_auth("s3cret");
        let body = json!({"port": 8000, "host": host, "verify": "none"});
        request.json(&body).send().await.unwrap().status()
    };
    assert_eq!(put("a", "192.0.2.1").await, StatusCode::CREATED);
    assert_eq!(put("b", "192.0.2.1").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(put("b", "::ffff:192.0.2.1").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(put("b", "192.0.2.2").await, StatusCode::CREATED);
    assert_eq!(put("b", "192.0.2.1").await, StatusCode::TOO_MANY_REQUESTS, "a move is no way in");
    assert_eq!(put("a", "192.0.2.3").await, StatusCode::CREATED);
    assert_eq!(put("b", "192.0.2.1").await, StatusCode::CREATED, "there is room where a was");
    assert_eq!(put("c", "192.0.2.2").await, StatusCode::CREATED, "and where b was");
    assert_eq!(put("d", "192.0.2.3").await, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn watchers_beyond_the_limit_are_told_to_come_back() {
    let registry = with_limits(Limits { watchers: 2, ..Limits::default() }).await;
    let first = registry.watch("", None).await;
    let mut second = registry.watch("?service=web", None).await;
    second.snapshot().await;
    for query in ["watch", "services/web?wait=1ms", "services/web?after=0000000000000000-0"] {
        let response = registry.request(Method::GET, &format!("/v1/{query}")).send().await.unwrap();
        let problem = refused(response, StatusCode::SERVICE_UNAVAILABLE).await;
        assert_mends(&problem, "--max-watchers");
    }
    assert!(registry.ids("/v1/services/web").await.is_empty(), "what does not wait needs no place");
    drop(first);
    eventually("there is a place again", async || {
        let response = registry.client.get(format!("http://{}/v1/watch", registry.address)).send();
        response.await.unwrap().status() == StatusCode::OK
    })
    .await;
    registry.put("web/a", json!({"port": 8000})).await;
    assert_eq!(second.change().await.instance.id.as_str(), "a", "the others heard nothing of it");
}

#[tokio::test]
async fn links_beyond_the_limit_are_told_to_come_back() {
    let registry = with_limits(Limits { links: 1, ..Limits::default() }).await;
    registry.put("web/a", json!({"port": 8000, "run": "5"})).await;
    let mut link = registry.link(&[("web/a", "5")]).await;
    let open = async || {
        let body = json!({"instances": [run_name("web/a", "5")]});
        registry.request(Method::POST, "/v1/link").json(&body).send().await.unwrap()
    };
    let problem = refused(open().await, StatusCode::SERVICE_UNAVAILABLE).await;
    assert_mends(&problem, "--max-links");
    registry.patch("web/a", json!({"draining": true})).await;
    assert_eq!(link.word().await.0, "drain", "the refused one did not take over");
    drop(link);
    eventually("there is a place again", async || open().await.status() == StatusCode::OK).await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_to_come_back() {
    let registry = with_limits(Limits { connections: 2, ..Limits::default() }).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut raw = Raw::connect(registry.address).await;
        assert_eq!(raw.ask("GET", "/healthz", b"").await.status, 200);
        held.push(raw);
    }
    let mut third = Raw::connect(registry.address).await;
    let answer = third.ask("GET", "/healthz", b"").await;
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_mends(&answer.json(), "--max-connections");
    assert!(third.answer().await.is_none(), "it is closed");
    assert_eq!(held[1].ask("GET", "/v1/services", b"").await.status, 200, "the others go on");
    held.remove(0);
    eventually("there is a place again", async || {
        Raw::connect(registry.address).await.ask("GET", "/healthz", b"").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn bodies_and_names_beyond_the_limit_are_refused() {
    let registry = with_limits(Limits { body_bytes: 100, name_bytes: 8, ..Limits::default() }).await;
    let body = json!({"port": 80, "verify": "none"});
    let padded = |bytes: usize| {
        let text = body.to_string();
        text.clone() + &" ".repeat(bytes - text.len())
    };
    let put = async |place: &str, body: String| {
        let request = registry.request(Method::PUT, &path(place)).header("content-type", "application/json");
        let response = request.body(body).send().await.unwrap();
        (response.status(), response.json::<Value>().await.unwrap()["field"].clone())
    };
    assert_eq!(put("web/a", padded(101)).await, (StatusCode::PAYLOAD_TOO_LARGE, json!("body")));
    assert_eq!(put("web/a", padded(100)).await.0, StatusCode::CREATED);
    assert_eq!(put("12345678/12345678", padded(50)).await.0, StatusCode::CREATED);
    assert_eq!(put("123456789/a", padded(50)).await, (StatusCode::BAD_REQUEST, json!("service")));
    assert_eq!(put("web/123456789", padded(50)).await, (StatusCode::BAD_REQUEST, json!("id")));
    for query in ["services/123456789", "watch?service=123456789"] {
        let (status, problem) = registry.get(&format!("/v1/{query}")).await;
        assert_eq!((status, &problem["field"]), (StatusCode::BAD_REQUEST, &json!("service")));
        assert_mends(&problem, "--max-name");
    }
    for (place, field) in [("123456789/a", "service"), ("a/123456789", "id")] {
        let body = json!({"instances": [run_name(place, "5")]});
        let response = registry.request(Method::POST, "/v1/link").json(&body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.json::<Value>().await.unwrap()["field"], field);
    }
}

#[tokio::test]
async fn what_all_instances_hold_is_bounded() {
    // An instance without meta counts as about a kilobyte.
    let registry = start_with(limited(Limits { bytes: 10 * 1024, ..Limits::default() })).await;
    let large = json!({"port": 8000, "run": "5", "meta": {"a": "x".repeat(4000), "b": "y".repeat(4000)}});
    assert_eq!(registry.put("web/a", large.clone()).await.0, StatusCode::CREATED);
    let (status, problem) = registry.put("web/b", json!({"port": 8001})).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    assert!(problem["mend"].as_str().unwrap().contains("--max-bytes"));
    let mut larger = large["meta"].clone();
    larger["c"] = "z".into();
    let (status, _) = registry.patch("web/a", json!({"meta": larger})).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    // Whoever is there stays as it is, may drain, and makes room when it goes.
    assert_eq!(registry.renew("web/a", "5").await.0, StatusCode::OK);
    assert_eq!(registry.put("web/a", large).await.0, StatusCode::OK);
    assert_eq!(registry.patch("web/a", json!({"draining": true})).await.0, StatusCode::OK);
    assert_eq!(registry.delete("web/a", "").await.0, StatusCode::OK);
    assert_eq!(registry.put("web/b", json!({"port": 8001})).await.0, StatusCode::CREATED);
}
