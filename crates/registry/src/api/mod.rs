//! The HTTP API: one file per group of calls. Handlers read and check a request, call the store or the feed,
//! and turn the outcome into an answer; they decide nothing else.

mod extract;
mod instances;
mod link;
mod refusal;
mod services;
mod watch;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post, put};
use berth_model::{Invalid, MAX_NAME_BYTES};
use berth_web::{Access, Problem};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::dial::Dialer;
use crate::feed::Snapshots;
use crate::gate::WriteGate;
use crate::store::Memory;
use crate::telemetry::Telemetry;

/// As many as a limit says.
pub(crate) fn places(limit: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)))
}

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) store: Arc<Memory>,
    pub(crate) gate: Arc<WriteGate>,
    pub(crate) dialer: Dialer,
    pub(crate) snapshots: Arc<Snapshots>,
    /// Watches and waiting queries take one each.
    pub(crate) watch_places: Arc<Semaphore>,
    pub(crate) link_places: Arc<Semaphore>,
    pub(crate) most_name_bytes: usize,
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
            .route("/v1/link", post(link::link))
            .with_state(self)
    }

    /// A name or an id that is right in itself may still be longer than this registry wants them. One that never is
    /// right has its own error.
    fn check_name(&self, field: &str, name: &str) -> Result<(), Problem> {
        if name.len() <= self.most_name_bytes || self.most_name_bytes >= MAX_NAME_BYTES {
            return Ok(());
        }
        let mend = format!("Use at most {} characters, or raise --max-name.", self.most_name_bytes);
        Err(Invalid::new(field, format!("has {} bytes", name.len()), mend).into())
    }
}
