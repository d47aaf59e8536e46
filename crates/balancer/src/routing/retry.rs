//! Which requests are sent again that an endpoint took and did not answer.

/// When a request that may have arrived is sent again, elsewhere if there is anybody else. What was never delivered is
/// sent again in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often at most; 0 for never.
    pub attempts: u32,
    /// After what.
    pub on: RetryOn,
}

/// After what a request is sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryOn {
    /// The connection ended before the first byte of an answer.
    pub reset: bool,
    /// The endpoint has fallen silent and does not answer probes either.
    pub silence: bool,
    /// `timeout_answer` is over.
    pub timeout: bool,
    /// The answer has one of these statuses, from 500 up.
    pub statuses: Vec<u16>,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 2, on: RetryOn::default() }
    }
}

impl Default for RetryOn {
    fn default() -> Self {
        Self { reset: true, silence: true, timeout: false, statuses: Vec::new() }
    }
}
