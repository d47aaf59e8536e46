use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::Problem;

/// Whether a process wants new work: it is set once, and drops when the process begins to end.
#[derive(Clone, Debug)]
pub struct Readiness {
    draining: CancellationToken,
}

impl Readiness {
    /// Ready until this token is cancelled.
    pub fn until(draining: CancellationToken) -> Self {
        Self { draining }
    }
}

/// `/healthz` (200 as long as the process answers), `/readyz` (503 once it is draining) and `/metrics`
/// (OpenMetrics text). What must be computed at the time of the scrape belongs in a `Collector` of `metrics`.
pub fn observability(readiness: Readiness, metrics: Arc<Registry>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready).with_state(readiness))
        .route("/metrics", get(scrape).with_state(metrics))
}

async fn ready(State(readiness): State<Readiness>) -> Result<&'static str, Problem> {
    if readiness.draining.is_cancelled() {
        let detail = "This process is draining.";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).mend("Send new work elsewhere."));
    }
    Ok("ready\n")
}

async fn scrape(State(metrics): State<Arc<Registry>>) -> Result<Response, Problem> {
    let mut text = String::new();
    encode(&mut text, &metrics).map_err(|error| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("The metrics cannot be written: {error}"))
    })?;
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
