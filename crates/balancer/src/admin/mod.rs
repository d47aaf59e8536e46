//! The admin port: health, readiness, metrics, rates, endpoints and reload, behind the same access rules as the registry's API.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use berth_model::MAX_BODY_BYTES;
use berth_web::{Access, Problem, Readiness, observability, protect};
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::reload::{ReloadError, Reloads, Report};
use crate::telemetry::{self, Rates};
use crate::upstreams::Shown;

/// What the admin port's calls ask.
pub(crate) struct AdminCalls {
    pub(crate) metrics: Registry,
    pub(crate) reloads: Reloads,
    pub(crate) rates: Arc<Rates>,
    /// Who wants to know what is believed of all endpoints.
    pub(crate) asks: mpsc::Sender<oneshot::Sender<Shown>>,
}

/// The admin port's calls. `draining` is cancelled when the balancer begins to end.
pub(crate) fn router(draining: CancellationToken, calls: AdminCalls, access: Access) -> Router {
    let AdminCalls { metrics, reloads, rates, asks } = calls;
    let calls = Router::new()
        .route("/reload", post(reload).with_state(reloads))
        .route("/v1/rates", get(tell_rates).with_state(rates))
        .route("/v1/endpoints", get(tell_endpoints).with_state(asks));
    let router = calls.merge(observability(Readiness::until(draining), Arc::new(metrics)));
    protect(router, access, MAX_BODY_BYTES)
}

/// `GET /v1/rates`: requests in all and per second, of each route, backend and endpoint.
async fn tell_rates(State(rates): State<Arc<Rates>>) -> Json<telemetry::Report> {
    Json(rates.report())
}

/// `GET /v1/endpoints`: what is believed of each endpoint, and why.
async fn tell_endpoints(
    State(asks): State<mpsc::Sender<oneshot::Sender<Shown>>>,
) -> Result<Json<Shown>, Problem> {
    let (told, tells) = oneshot::channel();
    let ending =
        || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the balancer is ending").mend("Start it again.");
    asks.send(told).await.map_err(|_| ending())?;
    tells.await.map(Json).map_err(|_| ending())
}

/// `POST /reload`: waits until every worker goes by the configuration, and reports what has changed.
async fn reload(State(reloads): State<Reloads>) -> Result<Json<Report>, Problem> {
    reloads.ask().await.map(Json).map_err(|error| {
        let (status, mend) = match error {
            ReloadError::NoFile => (StatusCode::CONFLICT, "Start it with -c FILE."),
            ReloadError::Wrong(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "Mend the file; nothing has changed.")
            }
            ReloadError::Listen(..) => (StatusCode::CONFLICT, "Choose another address; nothing has changed."),
            ReloadError::Ending => (StatusCode::SERVICE_UNAVAILABLE, "Start it again."),
        };
        Problem::new(status, error.to_string()).mend(mend)
    })
}
