use std::io;

use berth_pick::Signal;
use thiserror::Error;

use crate::telemetry::Side;
use crate::upstreams::TurnedAway;

/// Why an exchange did not go as it should: which side failed, and what the client is told.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// No route leads to what was asked for.
    #[error("no route")]
    NoRoute,
    /// Whoever it is for has enough to do.
    #[error("{0}")]
    TurnedAway(TurnedAway),
    /// There is nobody to send it to.
    #[error("no endpoint")]
    NoEndpoint,
    /// Every endpoint was tried and none accepted a connection.
    #[error("no endpoint accepts a connection")]
    AllUnreachable,
    /// No connection came about; nothing of the request was sent.
    #[error("connect: {0}")]
    Connect(io::Error),
    /// Every endpoint that accepted a connection failed to prove who it is.
    #[error("no endpoint proves who it is")]
    AllDistrusted,
    /// TLS did not come about; nothing of the request was sent.
    #[error("TLS: {0}")]
    Handshake(io::Error),
    /// The upstream ended the connection before the first byte of its answer.
    #[error("the upstream ended the connection without an answer")]
    NoAnswer,
    /// A connection that was kept ended as the request was sent on it: nobody's fault. It goes to somebody else.
    #[error("the upstream ended a kept connection")]
    Stale,
    /// The upstream ended the connection within the head of its answer.
    #[error("bad answer: it ends within its head")]
    HeadBrokeOff {
        /// Whether an interim answer came before it.
        is_behind_interim: bool,
    },
    /// The upstream's answer has a status for which the route sends requests again, as this one is going to be.
    #[error("the answer was {status}")]
    Declined {
        /// The status.
        status: u16,
        /// Whether the connection could take another request.
        is_reusable: bool,
    },
    /// The endpoint was given up, and somebody else is there.
    #[error("the upstream fell silent")]
    GivenUp,
    /// The upstream's answer breaks the protocol.
    #[error("bad answer: {0}")]
    BadAnswer(&'static str),
    /// The upstream did not answer in time, or took the request too slowly.
    #[error("the upstream did not answer in time")]
    AnswerTimeout,
    /// The upstream ended the connection within its answer, of which the client has got the first part.
    #[error("the answer broke off: the upstream ended the connection")]
    BrokeOff,
    /// The upstream fell silent within its answer, of which the client has got the first part.
    #[error("the answer broke off: the upstream fell silent")]
    FellSilent,
    /// The upstream's answer breaks the protocol behind the part that the client has got.
    #[error("the answer broke off: {0}")]
    Truncated(&'static str),
    /// The client's body is larger than allowed.
    #[error("the request body is too large")]
    BodyTooLarge,
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
    /// The sentence for the client; none when it can no longer be told.
    pub(crate) fn sentence(&self, subject: &str) -> Option<String> {
        Some(match self {
            Failure::NoRoute => "No route leads to this host and path.".into(),
            Failure::TurnedAway(TurnedAway::QueueFull) => format!("Too many requests wait for {subject}."),
            Failure::TurnedAway(TurnedAway::QueueTimeout) => {
                format!("No instance of {subject} became free in time.")
            }
            Failure::TurnedAway(TurnedAway::Connections) => {
                format!("All connections to {subject} are in use.")
            }
            Failure::TurnedAway(TurnedAway::Pending) => {
                format!("Too many requests wait for a connection to {subject}.")
            }
            Failure::NoEndpoint => format!("No instance of {subject} is available."),
            Failure::AllUnreachable | Failure::Connect(_) => {
                format!("No instance of {subject} accepts a connection.")
            }
            Failure::AllDistrusted | Failure::Handshake(_) => {
                "No secure connection to the upstream came about.".into()
            }
            Failure::NoAnswer | Failure::Stale => {
                "The upstream ended the connection without an answer.".into()
            }
            Failure::BadAnswer(_) | Failure::HeadBrokeOff { .. } => {
                "The upstream's answer was not valid HTTP.".into()
            }
            Failure::AnswerTimeout | Failure::GivenUp => "The upstream did not answer in time.".into(),
            Failure::Declined { .. } => "The upstream could not serve the request.".into(),
            Failure::BodyTooLarge => "The request body is too large.".into(),
            Failure::BadBody(problem) => format!("Bad request body: {problem}."),
            Failure::ClientStalled => "The request did not arrive in time.".into(),
            Failure::Truncated(_) | Failure::BrokeOff | Failure::FellSilent => return None,
            Failure::ClientNotReading | Failure::ClientGone => return None,
        })
    }

    /// Which side failed.
    pub(crate) fn side(&self) -> Side {
        match self {
            Failure::NoRoute => Side::Client,
            Failure::TurnedAway(_) | Failure::NoEndpoint | Failure::AllUnreachable | Failure::Stale => {
                Side::Nobody
            }
            Failure::Connect(_) | Failure::Handshake(_) | Failure::AllDistrusted => Side::Upstream,
            Failure::NoAnswer | Failure::BadAnswer(_) | Failure::HeadBrokeOff { .. } => Side::Upstream,
            Failure::AnswerTimeout | Failure::GivenUp | Failure::Declined { .. } => Side::Upstream,
            Failure::Truncated(_) | Failure::BrokeOff | Failure::FellSilent => Side::Upstream,
            Failure::BadBody(_) | Failure::BodyTooLarge | Failure::ClientStalled => Side::Client,
            Failure::ClientNotReading | Failure::ClientGone => Side::Client,
        }
    }

    /// What it makes one think of the endpoint. Connections that do not come about are told of where they are made.
    pub(crate) fn signal(&self) -> Option<Signal> {
        match self {
            Failure::NoAnswer | Failure::HeadBrokeOff { .. } | Failure::BrokeOff => Some(Signal::Reset),
            Failure::BadAnswer(_) | Failure::Truncated(_) | Failure::Declined { .. } => Some(Signal::Error),
            Failure::AnswerTimeout | Failure::FellSilent => Some(Signal::Silent),
            _ => None,
        }
    }

    /// The status for client, log and metrics. 499, as nginx has it, when the client was the one who left.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Failure::NoRoute => 404,
            Failure::TurnedAway(_) => 503,
            Failure::NoEndpoint | Failure::AllUnreachable | Failure::Connect(_) => 503,
            Failure::AllDistrusted | Failure::Handshake(_) => 502,
            Failure::NoAnswer | Failure::Stale | Failure::BadAnswer(_) | Failure::HeadBrokeOff { .. } => 502,
            Failure::Truncated(_) | Failure::BrokeOff | Failure::FellSilent | Failure::Declined { .. } => 502,
            Failure::AnswerTimeout | Failure::GivenUp => 504,
            Failure::BadBody(_) => 400,
            Failure::BodyTooLarge => 413,
            Failure::ClientStalled => 408,
            Failure::ClientNotReading | Failure::ClientGone => 499,
        }
    }
}
