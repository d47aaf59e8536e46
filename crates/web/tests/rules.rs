//! The rules that hold for every call, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ConnectInfo;
use axum::routing::{get, put};
use berth_daemon::Shutdown;
use berth_web::{Access, Readiness, ServeLimits, Token, observability, protect, serve};
use prometheus_client::registry::Registry;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::Value;
use std::net::SocketAddr;
use tokio::net::TcpListener;

struct Port {
    base: String,
    client: Client,
    shutdown: Shutdown,
    served: tokio::task::JoinHandle<()>,
}

async fn open(access: Access) -> Port {
    let shutdown = Shutdown::default();
    let echo = |body: Bytes| async move { body.len().to_string() };
    let peer = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() };
    let router = Router::new()
        .route("/echo", put(echo))
        .route("/peer", get(peer))
        .merge(observability(Readiness::until(shutdown.graceful.clone()), Arc::new(Registry::default())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = protect(router, access, berth_model::MAX_BODY_BYTES);
    let stages = shutdown.clone();
    let served =
        tokio::spawn(async move { serve(vec![listener], router, ServeLimits::default(), &stages).await });
    Port { base, client: Client::builder().no_proxy().build().unwrap(), shutdown, served }
}

impl Port {
    fn put(&self) -> RequestBuilder {
        self.client.put(format!("{}/echo", self.base))
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.base))
    }
}

async fn refusal(request: RequestBuilder, status: StatusCode, field: Option<&str>) -> Value {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["type"], "about:blank");
    assert_eq!(problem["status"], status.as_u16());
    assert_eq!(problem["title"], status.canonical_reason().unwrap());
    assert_eq!(problem["field"].as_str(), field, "{problem}");
    assert!(problem["detail"].is_string() && problem["mend"].is_string(), "{problem}");
    problem
}

fn open_loopback() -> Access {
    Access { token: None, loopback: true }
}

#[tokio::test]
async fn ordinary_calls_pass() {
    let port = open(open_loopback()).await;
    let json = "application/json; charset=utf-8";
    let answer = port.put().header("content-type", json).body("{}").send().await.unwrap();
    assert_eq!((answer.status(), answer.text().await.unwrap()), (StatusCode::OK, "2".to_owned()));
    // Nothing needs a type where there is nothing.
    assert_eq!(port.put().send().await.unwrap().text().await.unwrap(), "0");
    assert_eq!(port.get("/peer").send().await.unwrap().text().await.unwrap(), "127.0.0.1");
}

#[tokio::test]
async fn a_page_of_another_origin_may_read_but_not_write() {
    let port = open(open_loopback()).await;
    for foreign in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        refusal(port.put().header("origin", foreign), StatusCode::FORBIDDEN, Some("Origin")).await;
        assert_eq!(
            port.get("/peer").header("origin", foreign).send().await.unwrap().status(),
            StatusCode::OK
        );
    }
    let own = port.put().header("origin", &port.base).send().await.unwrap();
    assert_eq!(own.status(), StatusCode::OK);
}

#[tokio::test]
async fn on_loopback_a_write_names_a_loopback_host() {
    let port = open(open_loopback()).await;
    for host in
        ["evil.example", "evil.example:80", "10.0.0.1", "localhost.evil.example", "127.0.0.1@evil.example"]
    {
        refusal(port.put().header("host", host), StatusCode::FORBIDDEN, Some("Host")).await;
    }
    for host in ["localhost", "LOCALHOST:9090", "127.0.0.2:1", "[::1]:9090", "[::ffff:127.0.0.1]"] {
        let answer = port.put().header("host", host).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{host}");
    }
    let beyond = open(Access { token: None, loopback: false }).await;
    let answer = beyond.put().header("host", "registry.example").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_token_guards_writes_and_beyond_loopback_reads() {
    let token: Token = " s3cret\n".parse().unwrap();
    let near = open(Access { token: Some(token.clone()), loopback: true }).await;
    let far = open(Access { token: Some(token), loopback: false }).await;
    for port in [&near, &far] {
        refusal(port.put(), StatusCode::UNAUTHORIZED, Some("Authorization")).await;
        for wrong in ["Bearer s3cre", "Bearer s3cret0", "Bearer S3CRET", "Basic s3cret", "Bearer", ""] {
            refusal(
                port.put().header("authorization", wrong),
                StatusCode::UNAUTHORIZED,
                Some("Authorization"),
            )
            .await;
        }
        assert_eq!(port.put().bearer_auth("s3cret").send().await.unwrap().status(), StatusCode::OK);
        assert_eq!(port.get("/healthz").send().await.unwrap().status(), StatusCode::OK);
        assert_eq!(port.get("/peer").bearer_auth("s3cret").send().await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(near.get("/peer").send().await.unwrap().status(), StatusCode::OK);
    let refused = far.get("/peer").send().await.unwrap();
    assert_eq!(refused.headers()["www-authenticate"], "Bearer");
    refusal(far.get("/peer"), StatusCode::UNAUTHORIZED, Some("Authorization")).await;
    refusal(far.get("/metrics"), StatusCode::UNAUTHORIZED, Some("Authorization")).await;
}

#[test]
fn a_token_is_one_printable_line_and_stays_hidden() {
    for bad in ["", " \n", "a b", "a\nb", "ü"] {
        assert_eq!(bad.parse::<Token>().unwrap_err().field, "token", "{bad:?}");
    }
    assert!(!format!("{:?}", "s3cret".parse::<Token>().unwrap()).contains("s3cret"));
}

#[test]
fn without_a_token_a_caller_registers_only_itself() {
    let open = open_loopback();
    let ip = |text: &str| text.parse().unwrap();
    for (caller, host, allowed) in [
        ("10.0.0.7", "10.0.0.7", true),
        ("::ffff:10.0.0.7", "10.0.0.7", true),
        ("127.0.0.1", "::1", true),
        ("::1", "127.9.9.9", true),
        ("10.0.0.7", "10.0.0.8", false),
        ("10.0.0.7", "127.0.0.1", false),
        ("127.0.0.1", "10.0.0.7", false),
    ] {
        assert_eq!(open.may_register(ip(caller), ip(host)), allowed, "{caller} {host}");
    }
    let guarded = Access { token: Some("t".parse().unwrap()), loopback: false };
    assert!(guarded.may_register(ip("10.0.0.7"), ip("10.0.0.8")));
}

#[tokio::test]
async fn bodies_are_json_and_small() {
    let port = open(open_loopback()).await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        let request = port.put().header("content-type", kind).body("{}");
        refusal(request, StatusCode::UNSUPPORTED_MEDIA_TYPE, Some("Content-Type")).await;
    }
    refusal(port.put().body("{}"), StatusCode::UNSUPPORTED_MEDIA_TYPE, Some("Content-Type")).await;
    let json = |body: Vec<u8>| port.put().header("content-type", "application/json").body(body);
    let largest = json(vec![b' '; 64 * 1024]).send().await.unwrap();
    assert_eq!(largest.status(), StatusCode::OK);
    refusal(json(vec![b' '; 64 * 1024 + 1]), StatusCode::PAYLOAD_TOO_LARGE, Some("body")).await;
    refusal(json(vec![b' '; 2 * 1024 * 1024]), StatusCode::PAYLOAD_TOO_LARGE, Some("body")).await;
    // Chunked: the length shows itself only on the way.
    let chunks =
        futures_util::stream::iter(vec![Ok::<_, std::convert::Infallible>(vec![b' '; 40 * 1024]); 50]);
    let request =
        port.put().header("content-type", "application/json").body(reqwest::Body::wrap_stream(chunks));
    refusal(request, StatusCode::PAYLOAD_TOO_LARGE, Some("body")).await;
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let port = open(open_loopback()).await;
    refusal(port.get("/nowhere"), StatusCode::NOT_FOUND, None).await;
    refusal(port.client.delete(format!("{}/echo", port.base)), StatusCode::METHOD_NOT_ALLOWED, None).await;
    let answer = port.client.delete(format!("{}/echo", port.base)).send().await.unwrap();
    assert_eq!(answer.headers()["allow"], "PUT");
}

#[tokio::test]
async fn health_metrics_and_the_end() {
    let port = open(open_loopback()).await;
    assert_eq!(port.get("/healthz").send().await.unwrap().text().await.unwrap(), "ok\n");
    assert_eq!(port.get("/readyz").send().await.unwrap().text().await.unwrap(), "ready\n");
    let metrics = port.get("/metrics").send().await.unwrap();
    assert!(metrics.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    assert!(metrics.text().await.unwrap().ends_with("# EOF\n"));
    port.shutdown.graceful.cancel();
    port.served.await.unwrap();
    assert!(port.client.get(format!("{}/healthz", port.base)).send().await.is_err());
}

#[tokio::test]
async fn readiness_drops_before_the_port_closes() {
    let draining = tokio_util::sync::CancellationToken::new();
    let router = observability(Readiness::until(draining.clone()), Arc::new(Registry::default()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/readyz", listener.local_addr().unwrap());
    tokio::spawn(
        async move { serve(vec![listener], router, ServeLimits::default(), &Shutdown::default()).await },
    );
    draining.cancel();
    let client = Client::builder().no_proxy().build().unwrap();
    refusal(client.get(url), StatusCode::SERVICE_UNAVAILABLE, None).await;
}
