use std::time::Duration;

use axum::http::StatusCode;
use berth_catalog::Refusal;
use berth_model::{InstanceId, ServiceName};
use berth_web::Problem;

use crate::gate::STALL;
use crate::store::Denied;

/// How long a caller should wait when the registry is full: ended instances make room within minutes.
const FULL: Duration = Duration::from_secs(30);

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
        Denied::Full => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The registry holds as many instances as it may.",
        )
        .mend("Deregister instances that are no longer needed; what ended is forgotten after 10 minutes.")
        .retry_after(FULL),
    }
}

/// For writes that may have waited while the registry stood still.
pub(super) fn stalled() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "The registry stood still; this write may be out of date.")
        .mend("Send it again if it is still meant.")
        .retry_after(STALL)
}
