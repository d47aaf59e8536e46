use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use berth_model::Revision;
use berth_web::{Problem, event_stream};

use super::Api;
use super::extract::Parameters;
use crate::feed;

/// `GET /v1/watch[?service=web]`: a snapshot, then every change, for as long as the caller listens.
pub(super) async fn watch(
    State(api): State<Api>,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let service = parameters.take("service").map(|text| text.parse()).transpose()?;
    parameters.finish("Send service or nothing.")?;
    // Whoever sends something else gets what it needs in any case: a snapshot.
    let last_seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse::<Revision>().ok());
    let events = feed::watch(Arc::clone(&api.store), service, last_seen, api.stop.clone(), &api.telemetry);
    Ok(event_stream(events))
}
