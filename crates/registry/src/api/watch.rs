use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use berth_model::{Revision, ServiceName};
use berth_web::{Problem, event_stream};

use super::extract::Parameters;
use super::{Api, refusal};
use crate::feed;

/// `GET /v1/watch[?service=web]`: a snapshot, then every change, for as long as the caller listens.
pub(super) async fn watch(
    State(api): State<Api>,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let service = parameters.take("service").map(|text| text.parse::<ServiceName>()).transpose()?;
    service.iter().try_for_each(|service| api.check_name("service", service.as_str()))?;
    parameters.finish("Send service or nothing.")?;
    // Whoever sends something else gets what it needs in any case: a snapshot.
    let last_seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse::<Revision>().ok());
    let place = Arc::clone(&api.watch_places).try_acquire_owned();
    let place = place.map_err(|_| refusal::crowded("watches", "--max-watchers"))?;
    let counted = api.telemetry.watcher();
    let stop = api.stop.clone();
    let events = feed::watch(api.store, api.snapshots, service, last_seen, stop, place, counted);
    Ok(event_stream(events))
}
