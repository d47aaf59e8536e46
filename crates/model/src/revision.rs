use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::invalid::excerpt;

/// A point in the registry's history: the epoch of its store and a sequence number within it.
///
/// Clients treat it as opaque text; the registry compares sequences within one epoch only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Revision {
    /// Random, new at each start of the store.
    pub epoch: u64,
    /// Store-wide, grows with each change, may skip.
    pub sequence: u64,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.epoch, self.sequence)
    }
}

impl FromStr for Revision {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parsed = text.split_once('-').and_then(|(epoch, sequence)| {
            let plain = |part: &str| part.bytes().all(|b| b.is_ascii_hexdigit());
            (epoch.len() == 16 && plain(epoch) && plain(sequence)).then_some(())?;
            Some(Self { epoch: u64::from_str_radix(epoch, 16).ok()?, sequence: sequence.parse().ok()? })
        });
        parsed.ok_or_else(|| {
            Invalid::new(
                "revision",
                format!("is {}", excerpt(text)),
                "Send a revision as the registry gave it.",
            )
        })
    }
}

impl TryFrom<String> for Revision {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Revision> for String {
    fn from(revision: Revision) -> String {
        revision.to_string()
    }
}
