use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use berth_model::LinkRequest;
use berth_web::{Problem, event_stream};

use super::extract::Parameters;
use super::{Api, refusal};
use crate::feed;
use crate::store::OpenLink;

/// `POST /v1/link`: the connection that a process holds open for all its runs. Its loss shows a crash at once.
pub(super) async fn link(
    State(api): State<Api>,
    parameters: Parameters,
    body: Bytes,
) -> Result<Response, Problem> {
    parameters.finish("Leave it out; everything goes into the body.")?;
    let request = LinkRequest::from_json(&body)?;
    for run in &request.instances {
        api.check_name("service", run.service.as_str())?;
        api.check_name("id", run.id.as_str())?;
    }
    let place = Arc::clone(&api.link_places).try_acquire_owned();
    let place = place.map_err(|_| refusal::crowded("links", "--max-links"))?;
    let open = OpenLink::open(&api.store, request.instances, api.stop.clone());
    let counted = api.telemetry.link();
    Ok(event_stream(feed::link(Arc::clone(&api.store), open, api.stop.clone(), place, counted)))
}
