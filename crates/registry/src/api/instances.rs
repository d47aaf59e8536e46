use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use berth_catalog::{Accepted, Offer};
use berth_model::{
    InstanceId, Invalid, Patch, Registered, Registration, Renewed, Revision, Run, ServiceName, Ttl,
};
use berth_web::Problem;
use serde_json::json;

use super::extract::{Named, Parameters};
use super::{Api, refusal};
use crate::dial::{Busy, Dial};
use crate::store::{Key, Pending, Registering};

type Target = Named<(ServiceName, InstanceId)>;

/// `PUT …/instances/{id}`: registers, renews or replaces. 201 for a run that was not there, else 200.
pub(super) async fn register(
    State(api): State<Api>,
    ConnectInfo(caller): ConnectInfo<SocketAddr>,
    Named(key): Target,
    parameters: Parameters,
    body: Bytes,
) -> Result<Response, Problem> {
    parameters.finish("Leave it out; everything goes into the body.")?;
    let registration = Registration::from_json(&body)?;
    let host = host_of(&api, caller.ip(), registration.host)?;
    check_gate(&api)?;
    let offer = Offer { service: key.0.clone(), id: key.1.clone(), registration, host, fresh: fresh_run() };
    let (accepted, revision) =
        match api.store.register(offer).map_err(|denied| refusal::problem(&key, denied))? {
            Registering::Done(accepted, revision) => (accepted, revision),
            Registering::Dial(pending) => verify(&api, &key, pending).await?,
        };
    let status = if accepted.joined { StatusCode::CREATED } else { StatusCode::OK };
    let instance = accepted.instance.as_ref().clone();
    let renew_s = renew_s(instance.ttl_s);
    Ok((status, Json(Registered { instance, revision, renew_s })).into_response())
}

/// Publishes an instance once its address accepted a dial.
async fn verify(api: &Api, key: &Key, pending: Pending) -> Result<(Accepted, Revision), Problem> {
    let address = pending.address();
    let why = match api.dialer.verify(address).await {
        Ok(Dial::Accepted) => None,
        Ok(Dial::Refused) => Some("it refuses connections".to_owned()),
        Ok(Dial::Unclear(why)) => Some(why),
        Err(Busy) => return Err(refusal::busy()),
    };
    if let Some(why) = why {
        return Err(refusal::unanswered(address, &why));
    }
    // The registry may have stood still while it dialled.
    check_gate(api)?;
    pending.verified().map_err(|denied| refusal::problem(key, denied))
}

/// `PUT …/instances/{id}/lease?run=R`: a heartbeat.
pub(super) async fn renew(
    State(api): State<Api>,
    Named(key): Target,
    mut parameters: Parameters,
) -> Result<Json<Renewed>, Problem> {
    let run = take_run(&mut parameters)?;
    parameters.finish("Send run and nothing else.")?;
    let run = run.ok_or_else(|| {
        Invalid::new("run", "is missing", "Send ?run=R with the run that the registration's answer holds.")
    })?;
    let ttl = api.store.renew(&key, run).map_err(|denied| refusal::problem(&key, denied))?;
    Ok(Json(Renewed { renew_s: renew_s(ttl) }))
}

/// `PATCH …/instances/{id}`: changes draining, weight or meta of the live run.
pub(super) async fn patch(
    State(api): State<Api>,
    Named(key): Target,
    parameters: Parameters,
    body: Bytes,
) -> Result<Response, Problem> {
    parameters.finish("Leave it out; everything goes into the body.")?;
    let patch = Patch::from_json(&body)?;
    check_gate(&api)?;
    let instance = api.store.patch(&key, &patch).map_err(|denied| refusal::problem(&key, denied))?;
    Ok(Json(instance.as_ref()).into_response())
}

/// `DELETE …/instances/{id}[?run=R]`: the owner deregisters its run, an operator removes whatever runs there.
pub(super) async fn end(
    State(api): State<Api>,
    Named(key): Target,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let run = take_run(&mut parameters)?;
    parameters.finish("Send run or nothing.")?;
    check_gate(&api)?;
    let revision = api.store.end(&key, run).map_err(|denied| refusal::problem(&key, denied))?;
    Ok(Json(json!({ "revision": revision })).into_response())
}

fn check_gate(api: &Api) -> Result<(), Problem> {
    if api.gate.is_open(Instant::now()) { Ok(()) } else { Err(refusal::stalled()) }
}

fn take_run(parameters: &mut Parameters) -> Result<Option<Run>, Invalid> {
    parameters.take("run").map(|text| text.parse()).transpose()
}

/// The address to publish. It must be the caller's own, unless a token vouches for the caller.
fn host_of(api: &Api, caller: IpAddr, named: Option<IpAddr>) -> Result<IpAddr, Problem> {
    let caller = caller.to_canonical();
    let host = named.unwrap_or_else(|| own_address(caller));
    if is_link_local(host) {
        let mend = "Send a host that the balancers can reach.";
        return Err(Invalid::new("host", format!("is the link-local address {host}"), mend).into());
    }
    if !api.access.may_register(caller, host) {
        let detail = format!("{host} is not the caller's own address, which is {caller}.");
        return Err(Problem::new(StatusCode::FORBIDDEN, detail)
            .field("host")
            .mend("Leave host out, or start the registry with --token-file and send the token."));
    }
    Ok(host)
}

/// All of loopback counts as one address, and 127.0.0.1 stands for it: whoever calls `localhost` may come by either
/// family, and most servers that listen on one of them listen on that one.
fn own_address(caller: IpAddr) -> IpAddr {
    if caller.is_loopback() { Ipv4Addr::LOCALHOST.into() } else { caller }
}

fn is_link_local(host: IpAddr) -> bool {
    match host {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn fresh_run() -> Run {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Run::new(since_1970.as_millis() as u64, fastrand::u64(..))
}

fn renew_s(ttl: Ttl) -> f64 {
    ttl.renewal().as_secs_f64()
}
