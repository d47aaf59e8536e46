//! The admin port: health, readiness and metrics, behind the same access rules as the registry's API.

use std::sync::Arc;

use axum::Router;
use berth_model::MAX_BODY_BYTES;
use berth_web::{Access, Readiness, observability, protect};
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

/// The admin port's calls. `draining` is cancelled when the balancer begins to end.
pub(crate) fn router(draining: CancellationToken, metrics: Registry, access: Access) -> Router {
    protect(observability(Readiness::until(draining), Arc::new(metrics)), access, MAX_BODY_BYTES)
}
