use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::invalid::excerpt;

/// The longest version text, in bytes.
const MAX_VERSION_BYTES: usize = 128;

/// The version of an instance: three numbers and perhaps a pre-release, as npm reads them (`1.2.3-rc.1`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    text: String,
    parsed: nodejs_semver::Version,
}

impl Version {
    pub(crate) fn satisfies(&self, range: &nodejs_semver::Range) -> bool {
        self.parsed.satisfies(range)
    }

    /// The version as its owner wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Version {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parsed =
            (text.len() <= MAX_VERSION_BYTES).then(|| nodejs_semver::Version::parse(text).ok()).flatten();
        match parsed {
            Some(parsed) => Ok(Self { text: text.to_owned(), parsed }),
            None => Err(Invalid::new(
                "version",
                format!("is {}", excerpt(text)),
                "Send a semantic version of three numbers, such as 1.2.3.",
            )),
        }
    }
}

impl TryFrom<String> for Version {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> String {
        version.text
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}
