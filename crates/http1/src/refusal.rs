use thiserror::Error;

/// Why a request is not accepted. After any of these the connection is closed: where the next request would
/// begin cannot be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The message breaks RFC 9112, or could be read in two ways.
    #[error("{0}")]
    Malformed(&'static str),
    /// The request target is longer than the limit.
    #[error("the request target is too long")]
    TargetTooLong,
    /// The head is longer, or has more fields, than the limits.
    #[error("{0}")]
    HeadTooLarge(&'static str),
    /// A version other than 1.0 and 1.1.
    #[error("this HTTP version is not supported")]
    Version,
    /// A method that a reverse proxy does not serve.
    #[error("CONNECT is not supported")]
    Connect,
}

impl Refusal {
    /// The status that tells the client.
    pub fn status(self) -> u16 {
        match self {
            Refusal::Malformed(_) => 400,
            Refusal::TargetTooLong => 414,
            Refusal::HeadTooLarge(_) => 431,
            Refusal::Connect => 501,
            Refusal::Version => 505,
        }
    }
}

/// Why an answer cannot be passed on: the upstream broke RFC 9112, or it could be read in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct BadAnswer(pub &'static str);
