use berth_model::{Reason, Run};
use thiserror::Error;

/// Why a record does not do what it was asked for. It is then as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No such run lives. Its owner should register again.
    #[error("no such run is registered")]
    Unknown,
    /// Somebody wanted that run to end. Its owner should stop.
    #[error("this run was ended: {0}")]
    Gone(Reason),
    /// A higher run of the same id lives.
    #[error("the later run {live} is registered")]
    Superseded {
        /// The run that lives.
        live: Run,
    },
}
