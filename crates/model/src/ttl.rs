use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Invalid;

/// How long a lease lives unless renewed: 2 to 3600 seconds, in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Ttl {
    millis: u32,
}

impl Ttl {
    /// The TTL of a registration that names none: 15 s.
    pub const DEFAULT: Ttl = Ttl { millis: 15_000 };

    /// The whole life of the lease.
    pub fn duration(self) -> Duration {
        Duration::from_millis(self.millis.into())
    }

    /// How long its owner should wait between renewals: a third, so that two may get lost.
    pub fn renewal(self) -> Duration {
        self.duration() / 3
    }
}

impl Default for Ttl {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl TryFrom<f64> for Ttl {
    type Error = Invalid;
    fn try_from(seconds: f64) -> Result<Self, Invalid> {
        if !(2.0..=3600.0).contains(&seconds) {
            return Err(Invalid::new(
                "ttl_s",
                format!("is {seconds}"),
                "Send a number of seconds from 2 to 3600.",
            ));
        }
        Ok(Self { millis: (seconds * 1000.0).round() as u32 })
    }
}

impl From<Ttl> for f64 {
    fn from(ttl: Ttl) -> f64 {
        f64::from(ttl.millis) / 1000.0
    }
}
