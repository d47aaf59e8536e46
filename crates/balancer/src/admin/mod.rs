//! The admin port: health, readiness, metrics, rates and reload, behind the same access rules as the registry's API.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use berth_model::MAX_BODY_BYTES;
use berth_web::{Access, Problem, Readiness, observability, protect};
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::reload::{ReloadError, Reloads, Report};
use crate::telemetry::{self, Rates};

/// The admin port's calls. `draining` is cancelled when the balancer begins to end.
pub(crate) fn router(
    draining: CancellationToken,
    metrics: Registry,
    reloads: Reloads,
    rates: Arc<Rates>,
    access: Access,
) -> Router {
    let calls = Router::new()
        .route("/reload", post(reload).with_state(reloads))
        .route("/v1/rates", get(tell_rates).with_state(rates));
    let router = calls.merge(observability(Readiness::until(draining), Arc::new(metrics)));
    protect(router, access, MAX_BODY_BYTES)
}

/// `GET /v1/rates`: requests in all and per second, of each route, backend and endpoint.
async fn tell_rates(State(rates): State<Arc<Rates>>) -> Json<telemetry::Report> {
    Json(rates.report())
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
