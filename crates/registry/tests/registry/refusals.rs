//! What is refused: each bad input gets a problem document that names the field and the mend, and nothing is
//! half-applied.

use berth_registry::Settings;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Running, answer, start, start_with, write};

async fn assert_untouched(registry: &Running) {
    let (_, list) = registry.get("/v1/services").await;
    assert_eq!(list["services"], json!({}));
    assert!(list["revision"].as_str().unwrap().ends_with("-0"), "{list}");
}

fn assert_names(problem: &Value, field: &str) {
    assert_eq!(problem["field"], field, "{problem}");
    for member in ["detail", "mend", "title"] {
        assert!(!problem[member].as_str().unwrap().is_empty(), "{problem}");
    }
}

#[tokio::test]
async fn bad_bodies() {
    let registry = start().await;
    let put = |body: Vec<u8>| {
        let request = registry.request(Method::PUT, "/v1/services/web/instances/a");
        answer(request.header("content-type", "application/json").body(body))
    };
    let cases: [(&[u8], &str); 14] = [
        (b"", "body"),
        (b"{}", "port"),
        (br#"{"port":0}"#, "port"),
        (br#"{"port":65536}"#, "port"),
        (br#"{"port":80,"prot":1}"#, "prot"),
        (br#"{"port":80,"ttl_s":1}"#, "ttl_s"),
        (br#"{"port":80,"ttl_s":3601}"#, "ttl_s"),
        (br#"{"port":80,"host":"0.0.0.0"}"#, "host"),
        (br#"{"port":80,"version":"one"}"#, "version"),
        (br#"{"port":80,"weight":0}"#, "weight"),
        (br#"{"port":80,"run":7}"#, "run"),
        (br#"{"port":80,"meta":{"k":"#, "body"),
        (b"{\"port\":80,\"zone\":\"\xff\"}", "body"),
        (b"[[[[[[[[", "body"),
    ];
    for (body, field) in cases {
        let (status, problem) = put(body.to_vec()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
        assert_names(&problem, field);
    }
    let deep = format!("{{\"port\":80,\"meta\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let (status, _) = put(deep.into_bytes()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let mut large = vec![b' '; 2 * 1024 * 1024];
    large.extend_from_slice(br#"{"port":80}"#);
    let (status, problem) = put(large).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_names(&problem, "body");
    assert_untouched(&registry).await;
}

#[tokio::test]
async fn bad_names() {
    let registry = start().await;
    let long = "a".repeat(129);
    for (service, id, field) in [
        ("we%20b", "a", "service"),
        ("..%2f..%2fetc", "a", "service"),
        ("web", "%2e%2e%2fpasswd", "id"),
        ("web", "%C3%BC", "id"),
        ("web", "a%00", "id"),
        ("web", "%ff", "path"),
        (&long, "a", "service"),
        ("web", &long, "id"),
    ] {
        let path = format!("/v1/services/{service}/instances/{id}");
        let (status, problem) = answer(registry.request(Method::PUT, &path).json(&json!({"port": 80}))).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {problem}");
        assert_names(&problem, field);
    }
    let (status, problem) = registry.get("/v1/services/we%20b").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_names(&problem, "service");
    assert_untouched(&registry).await;
}

#[tokio::test]
async fn bad_parameters() {
    let registry = start().await;
    for (method, path, field) in [
        (Method::GET, "/v1/services?x=1", "x"),
        (Method::GET, "/v1/services/web?version=one", "version"),
        (Method::GET, "/v1/services/web?verison=1.x", "verison"),
        (Method::GET, "/v1/services/web?version=1.x&version=2.x", "version"),
        (Method::GET, "/v1/services/web?version=%ff", "version"),
        (Method::GET, "/v1/watch?service=we%20b", "service"),
        (Method::GET, "/v1/watch?servce=web", "servce"),
        (Method::PUT, "/v1/services/web/instances/a?ttl_s=5", "ttl_s"),
        (Method::PUT, "/v1/services/web/instances/a/lease", "run"),
        (Method::PUT, "/v1/services/web/instances/a/lease?run=x", "run"),
        (Method::PUT, "/v1/services/web/instances/a/lease?run=1&id=2", "id"),
        (Method::DELETE, "/v1/services/web/instances/a?run=-1", "run"),
        (Method::DELETE, "/v1/services/web/instances/a?rum=1", "rum"),
        (Method::PATCH, "/v1/services/web/instances/a?weight=1", "weight"),
    ] {
        let (status, problem) = answer(registry.request(method, path)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {problem}");
        assert_names(&problem, field);
    }
    assert_untouched(&registry).await;
}

#[tokio::test]
async fn bad_patches_change_nothing() {
    let registry = start().await;
    let (_, before) = registry.put("web/a", json!({"port": 80})).await;
    for (body, field) in [
        (json!({}), "body"),
        (json!({"draining": true, "weight": 0}), "weight"),
        (json!({"draining": true, "port": 81}), "port"),
        (json!({"draining": "yes"}), "draining"),
    ] {
        let (status, problem) = registry.patch("web/a", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_names(&problem, field);
    }
    assert_eq!(registry.get("/v1/services/web").await.1["instances"], json!([before["instance"]]));
}

#[tokio::test]
async fn without_a_token_only_the_callers_own_address() {
    let registry = start().await;
    let (status, problem) = registry.put("web/a", json!({"port": 80, "host": "10.0.0.7"})).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_names(&problem, "host");
    assert_untouched(&registry).await;
    // All of loopback counts as one.
    for host in ["127.0.0.9", "::1", "::ffff:127.0.0.1"] {
        assert!(registry.put("web/a", json!({"port": 80, "host": host})).await.0.is_success());
    }
}

#[tokio::test]
async fn a_token_vouches_for_other_addresses() {
    let registry =
        start_with(Settings { token: Some("s3cret".parse().unwrap()), ..Settings::default() }).await;
    let body = json!({"port": 80, "host": "10.0.0.7"});
    assert_eq!(registry.put("web/a", body.clone()).await.0, StatusCode::UNAUTHORIZED);
    assert_untouched(&registry).await;
    let request = registry.request(Method::PUT, "/v1/services/web/instances/a").bearer_auth("s3cret");
    let (status, answer) = write(&request.json(&body)).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(answer["instance"]["host"], "10.0.0.7");
    // On loopback everybody may read.
    assert_eq!(registry.ids("/v1/services/web").await, ["a"]);
}

#[tokio::test]
async fn other_rules_of_access_hold() {
    let registry = start().await;
    let put = || registry.request(Method::PUT, "/v1/services/web/instances/a").json(&json!({"port": 80}));
    let (status, problem) = answer(put().header("origin", "http://evil.example")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_names(&problem, "Origin");
    let (status, problem) = answer(put().header("host", "evil.example")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_names(&problem, "Host");
    let plain = registry.request(Method::PUT, "/v1/services/web/instances/a").body(r#"{"port":80}"#);
    let (status, problem) = answer(plain).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_names(&problem, "Content-Type");
    assert_eq!(registry.get("/v2/services").await.0, StatusCode::NOT_FOUND);
    assert_eq!(
        answer(registry.request(Method::POST, "/v1/services")).await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_untouched(&registry).await;
}
