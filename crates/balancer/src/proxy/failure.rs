use std::io;

use thiserror::Error;

use crate::telemetry::Side;

/// Why an exchange did not go as it should: which side failed, and what the client is told.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// There is nobody to send it to.
    #[error("no endpoint")]
    NoEndpoint,
    /// Every endpoint was tried and none accepted a connection.
    #[error("no endpoint accepts a connection")]
    AllUnreachable,
    /// No connection came about; nothing of the request was sent.
    #[error("connect: {0}")]
    Connect(io::Error),
    /// The upstream ended the connection before the first byte of its answer.
    #[error("the upstream ended the connection without an answer")]
    NoAnswer,
    /// The upstream's answer breaks the protocol.
    #[error("bad answer: {0}")]
    BadAnswer(&'static str),
    /// The upstream did not answer in time, or took the request too slowly.
    #[error("the upstream did not answer in time")]
    AnswerTimeout,
    /// The upstream ended, broke or stalled its answer after the client got the first part of it.
    #[error("the answer broke off: {0}")]
    Truncated(&'static str),
    /// The client's body breaks the protocol.
    #[error("bad request body: {0}")]
    BadBody(&'static str),
    /// The client was silent in the middle of its request.
    #[error("the client stopped sending")]
    ClientStalled,
    /// The client does not read its answer.
    #[error("the client stopped reading")]
    ClientNotReading,
    /// The client ended the connection.
    #[error("the client went away")]
    ClientGone,
}

impl Failure {
    /// The status and sentence for the client; none when it can no longer be told.
    pub(crate) fn answer(&self, subject: &str) -> Option<(u16, &'static str, String)> {
        match self {
            Failure::NoEndpoint => {
                Some((503, "Service Unavailable", format!("No instance of {subject} is available.")))
            }
            Failure::AllUnreachable | Failure::Connect(_) => {
                Some((503, "Service Unavailable", format!("No instance of {subject} accepts a connection.")))
            }
            Failure::NoAnswer => {
                Some((502, "Bad Gateway", "The upstream ended the connection without an answer.".into()))
            }
            Failure::BadAnswer(_) => {
                Some((502, "Bad Gateway", "The upstream's answer was not valid HTTP.".into()))
            }
            Failure::AnswerTimeout => {
                Some((504, "Gateway Timeout", "The upstream did not answer in time.".into()))
            }
            Failure::BadBody(problem) => Some((400, "Bad Request", format!("Bad request body: {problem}."))),
            Failure::ClientStalled => {
                Some((408, "Request Timeout", "The request did not arrive in time.".into()))
            }
            Failure::Truncated(_) | Failure::ClientNotReading | Failure::ClientGone => None,
        }
    }

    /// Which side failed.
    pub(crate) fn side(&self) -> Side {
        match self {
            Failure::NoEndpoint | Failure::AllUnreachable => Side::Nobody,
            Failure::Connect(_) | Failure::NoAnswer | Failure::BadAnswer(_) => Side::Upstream,
            Failure::AnswerTimeout | Failure::Truncated(_) => Side::Upstream,
            Failure::BadBody(_) | Failure::ClientStalled => Side::Client,
            Failure::ClientNotReading | Failure::ClientGone => Side::Client,
        }
    }

    /// The status for log and metrics. 499, as nginx has it, when the client was the one who left.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Failure::NoEndpoint | Failure::AllUnreachable | Failure::Connect(_) => 503,
            Failure::NoAnswer | Failure::BadAnswer(_) | Failure::Truncated(_) => 502,
            Failure::AnswerTimeout => 504,
            Failure::BadBody(_) => 400,
            Failure::ClientStalled => 408,
            Failure::ClientNotReading | Failure::ClientGone => 499,
        }
    }
}
