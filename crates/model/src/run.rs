use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::invalid::excerpt;

/// One life of an instance: a 63-bit number, later runs being higher.
///
/// It travels as a string, because JSON readers that hold numbers as doubles would round it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Run(u64);

/// Low bits that tell apart two runs made within one millisecond.
const ENTROPY_BITS: u32 = 20;

impl Run {
    /// The run of an endpoint that no registry knows: a static upstream.
    pub const STATIC: Run = Run(0);

    /// A new run: `unix_ms` is the wall clock in milliseconds, `entropy` any random number.
    pub fn new(unix_ms: u64, entropy: u64) -> Self {
        let low = entropy & ((1 << ENTROPY_BITS) - 1);
        Self(((unix_ms << ENTROPY_BITS) | low) & (u64::MAX >> 1))
    }

    /// The next higher run, for an owner whose wall clock went back. None after the last one.
    pub fn successor(self) -> Option<Self> {
        (self.0 < u64::MAX >> 1).then(|| Self(self.0 + 1))
    }
}

impl FromStr for Run {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let number = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
        match number {
            Some(number) if number <= u64::MAX >> 1 => Ok(Self(number)),
            _ => Err(Invalid::new(
                "run",
                format!("is {}", excerpt(text)),
                "Send a whole number below 2^63 as a string of digits.",
            )),
        }
    }
}

impl TryFrom<String> for Run {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Run> for String {
    fn from(run: Run) -> String {
        run.0.to_string()
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
