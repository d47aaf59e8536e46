//! The HTTP API: one file per group of calls. Handlers read and check a request, call the store or the feed,
//! and turn the outcome into an answer; they decide nothing else.

mod extract;
mod instances;
mod refusal;
mod services;
mod watch;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, put};
use berth_web::Access;
use tokio_util::sync::CancellationToken;

use crate::gate::WriteGate;
use crate::store::Memory;
use crate::telemetry::Telemetry;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) store: Arc<Memory>,
    pub(crate) gate: Arc<WriteGate>,
    pub(crate) access: Access,
    pub(crate) telemetry: Telemetry,
    /// Event streams end with it.
    pub(crate) stop: CancellationToken,
}

impl Api {
    pub(crate) fn router(self) -> Router {
        let instance = put(instances::register).patch(instances::patch).delete(instances::end);
        Router::new()
            .route("/v1/services", get(services::list))
            .route("/v1/services/{service}", get(services::query))
            .route("/v1/services/{service}/instances/{id}", instance)
            .route("/v1/services/{service}/instances/{id}/lease", put(instances::renew))
            .route("/v1/watch", get(watch::watch))
            .with_state(self)
    }
}
