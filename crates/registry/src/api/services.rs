use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use berth_model::{Instance, Invalid, Query, Revision, ServiceName, Services};
use berth_web::Problem;
use serde::Serialize;

use super::extract::{Named, Parameters};
use super::{Api, refusal};
use crate::feed::{self, Waiting};

/// How long `after` waits unless `wait` says so.
const DEFAULT_WAIT: Duration = Duration::from_secs(30);

/// The longest wait.
const MOST_WAIT: Duration = Duration::from_secs(600);

/// [`berth_model::Found`] without copying the instances.
#[derive(Serialize)]
struct FoundData<'a> {
    service: &'a ServiceName,
    revision: Revision,
    instances: Vec<&'a Instance>,
}

/// `GET /v1/services`: how many instances each service has.
pub(super) async fn list(State(api): State<Api>, parameters: Parameters) -> Result<Json<Services>, Problem> {
    parameters.finish("This call takes none.")?;
    Ok(Json(api.store.services()))
}

/// `GET /v1/services/{service}?version=1.x&meta.k=v&wait=30s&after=REVISION`: its live instances that match. With
/// `wait` when there are any, with `after` when something changed; or when the time is over.
pub(super) async fn query(
    State(api): State<Api>,
    Named(service): Named<ServiceName>,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let mut query = Query::all(service);
    if let Some(range) = parameters.take("version") {
        query = query.with_range(&range)?;
    }
    query.meta = parameters.take_all("meta.");
    let time = parameters.take("wait").map(|text| parse_wait(&text)).transpose()?;
    let after = parameters.take("after").map(|text| parse_after(&text)).transpose()?;
    parameters.finish("Send version, meta.KEY, wait or after.")?;
    let waiting = after.map(Waiting::ForChange).or(time.map(|_| Waiting::ForMatch));
    let reading = match waiting {
        None => api.store.read(Some(&query.service)),
        Some(waiting) => {
            let place = Arc::clone(&api.watch_places).try_acquire_owned();
            let _place = place.map_err(|_| refusal::crowded("watches", "--max-watchers"))?;
            feed::wait(&api.store, &query, waiting, time.unwrap_or(DEFAULT_WAIT), &api.stop).await
        }
    };
    let instances = reading.instances().map(AsRef::as_ref).filter(|instance| query.matches(instance));
    let found =
        FoundData { service: &query.service, revision: reading.revision, instances: instances.collect() };
    Ok(Json(found).into_response())
}

fn parse_wait(text: &str) -> Result<Duration, Invalid> {
    let time = humantime::parse_duration(text).ok().filter(|time| *time <= MOST_WAIT);
    time.ok_or_else(|| {
        Invalid::new("wait", "is no time up to 10 minutes", "Send a number with its unit, such as 30s.")
    })
}

fn parse_after(text: &str) -> Result<Revision, Invalid> {
    text.parse().map_err(|invalid: Invalid| Invalid::new("after", invalid.problem, invalid.mend))
}
