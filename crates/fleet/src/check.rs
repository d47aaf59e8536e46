use std::time::Duration;

/// How often endpoints are looked at, and how often an answer has to be as expected, or not, to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    /// From the beginning of a probe to that of the next.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// So many good answers in a row bring an endpoint back.
    pub rise: u32,
    /// So many bad ones in a row take it out.
    pub fall: u32,
}

impl Default for Check {
    fn default() -> Self {
        Self { interval: Duration::from_secs(2), timeout: Duration::from_secs(1), rise: 2, fall: 3 }
    }
}
