use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use berth_model::{Instance, Query, Revision, ServiceName, Services};
use berth_web::Problem;
use serde::Serialize;

use super::Api;
use super::extract::{Named, Parameters};

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

/// `GET /v1/services/{service}?version=1.x&meta.k=v`: its live instances that match.
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
    parameters.finish("Send version or meta.KEY.")?;
    let reading = api.store.read(Some(&query.service));
    let instances = reading.instances().map(AsRef::as_ref).filter(|instance| query.matches(instance));
    let found =
        FoundData { service: &query.service, revision: reading.revision, instances: instances.collect() };
    Ok(Json(found).into_response())
}
