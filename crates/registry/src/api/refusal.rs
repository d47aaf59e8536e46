use std::net::SocketAddr;
use std::time::Duration;

use axum::http::StatusCode;
use berth_catalog::Refusal;
use berth_model::{InstanceId, ServiceName};
use berth_web::Problem;

use crate::gate::STALL;
use crate::store::Denied;

/// How long a caller should wait when the registry is full: ended instances make room within minutes.
const FULL: Duration = Duration::from_secs(30);

/// How long a caller should wait when too many call at once.
const CROWDED: Duration = Duration::from_secs(2);

/// Tells the caller of a refusal what happened to its instance.
pub(super) fn problem((service, id): &(ServiceName, InstanceId), denied: Denied) -> Problem {
    match denied {
        Denied::Refused(Refusal::Unknown) => {
            Problem::new(StatusCode::NOT_FOUND, format!("No such run of {service}/{id} is registered."))
                .mend(format!(
"Register it with PUT /v1/services/{service}/instances/{id}; GET /v1/services/{service} shows who is there."
))
        }
        Denied::Refused(Refusal::Gone(reason)) => {
            Problem::new(StatusCode::GONE, format!("This run of {service}/{id} was ended: {reason}."))
                .mend("Stop it; to take part again, start a new run.")
                .reason(reason.as_str())
        }
        Denied::Refused(Refusal::Superseded { live }) => {
            let detail = format!("The later run {live} of {service}/{id} is registered.");
            Problem::new(StatusCode::CONFLICT, detail)
                .field("run")
                .mend("Use another id, or wait until that run has ended.")
        }
        Denied::ServiceFull => {
            full(format!("{service} has as many instances as it may."), "service", "--max-per-service")
        }
        Denied::AddressFull => {
            let detail = "As many instances are registered at this address as may be.".to_owned();
            full(detail, "host", "--max-per-address")
        }
        Denied::BytesFull => {
            let detail = "The registry's instances hold as many bytes as they may.";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
                .mend("Deregister what is no longer needed, send less meta, or raise --max-bytes.")
                .retry_after(FULL)
        }
        Denied::Full => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The registry holds as many instances as it may.",
        )
        .mend("Deregister what is no longer needed (an end is forgotten after 10 minutes), or raise --max-instances.")
        .retry_after(FULL),
    }
}

/// For writes that may have waited while the registry stood still.
pub(super) fn stalled() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "The registry stood still; this write may be out of date.")
        .mend("Send it again if it is still meant.")
        .retry_after(STALL)
}

/// The address of a registration did not accept the dial.
pub(super) fn unanswered(address: SocketAddr, why: &str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("The registry dialled {address}: {why}."))
        .field("port")
        .mend(
            "Listen before you register, at the host and port that you send; \
             or send \"verify\": \"none\" if the registry cannot reach the instance.",
        )
}

/// So many instances wait to be dialled that this one would wait too long.
pub(super) fn busy() -> Problem {
    let detail = "Too many instances wait to be dialled.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).mend("Send it again later.").retry_after(CROWDED)
}

/// As many streams of a kind are open as may be.
pub(super) fn crowded(what: &str, flag: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("As many {what} are open as may be."))
        .mend(format!("Try again later, or raise {flag}."))
        .retry_after(CROWDED)
}

fn full(detail: String, field: &str, flag: &str) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, detail)
        .field(field)
        .mend(format!(
            "Deregister what is no longer needed (an end is forgotten after 10 minutes), or raise {flag}."
        ))
        .retry_after(FULL)
}
