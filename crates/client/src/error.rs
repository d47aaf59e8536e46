use std::fmt;
use std::time::Duration;

use berth_model::{Invalid, Reason};
use serde::{Deserialize, Deserializer};

use crate::RegistryAddress;

/// What went wrong between this process and a registry.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was sent: a value cannot be right.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// There was no answer, or only a part of one. Whether the call took effect is unknown.
    #[error("registry {registry} cannot be reached: {why}")]
    Unreachable {
        /// The registry.
        registry: RegistryAddress,
        /// The innermost cause.
        why: String,
    },
    /// The registry answered that it did not do it.
    #[error("registry {registry} refused: {problem}")]
    Refused {
        /// The registry.
        registry: RegistryAddress,
        /// What it said.
        problem: Box<Problem>,
        /// How long it asks to wait before the next try.
        retry_after: Option<Duration>,
    },
    /// There was an answer that makes no sense: another program may be listening there.
    #[error("registry {registry} gave an answer that cannot be read: {why}. Is it a Berth registry?")]
    Broken {
        /// The registry.
        registry: RegistryAddress,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// The status of a refusal.
    pub fn status(&self) -> Option<u16> {
        self.problem().map(|problem| problem.status)
    }

    /// What the registry said, if it refused.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Error::Refused { problem, .. } => Some(problem),
            _ => None,
        }
    }

    /// What happened, without saying where: for a line that names the registry itself.
    pub fn why(&self) -> String {
        match self {
            Error::Invalid(invalid) => invalid.to_string(),
            Error::Unreachable { why, .. } | Error::Broken { why, .. } => why.clone(),
            Error::Refused { problem, .. } => problem.to_string(),
        }
    }

    /// 404: the registry does not know this run (any more). Its owner registers again.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// 410: somebody ended this run on purpose. Its owner stops.
    pub fn is_gone(&self) -> bool {
        self.status() == Some(410)
    }

    /// How long the registry asks to wait before the next try.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the same call may well succeed a moment later, without anybody mending anything.
    pub fn is_passing(&self) -> bool {
        match self {
            Error::Unreachable { .. } => true,
            Error::Refused { problem, .. } => problem.status >= 500 || problem.status == 429,
            Error::Invalid(_) | Error::Broken { .. } => false,
        }
    }

    pub(crate) fn unreachable(registry: &RegistryAddress, error: &reqwest::Error) -> Self {
        let why = if error.is_timeout() { "it did not answer in time".to_owned() } else { innermost(error) };
        Error::Unreachable { registry: registry.clone(), why }
    }

    pub(crate) fn broken(registry: &RegistryAddress, why: impl Into<String>) -> Self {
        Error::Broken { registry: registry.clone(), why: why.into() }
    }
}

/// A problem document (RFC 9457) as a registry sends it, or what can be told of a refusal without one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The kind of problem in a few words.
    pub title: Option<String>,
    /// What is wrong this time.
    pub detail: Option<String>,
    /// The field that is wrong, as the caller spells it.
    pub field: Option<String>,
    /// How to mend it.
    pub mend: Option<String>,
    /// Why the run ended, in a 410.
    #[serde(deserialize_with = "known_reason")]
    pub reason: Option<Reason>,
}

impl Problem {
    /// A refusal that came without a problem document.
    pub(crate) fn bare(status: u16) -> Self {
        Self { status, ..Self::default() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = self.detail.as_deref().or(self.title.as_deref()).unwrap_or("it gave no reason");
        match &self.field {
            // The detail may be half a sentence that begins with the field.
            Some(field) if !detail.contains(field.as_str()) => write!(f, "{field}: {detail}")?,
            _ => f.write_str(detail)?,
        }
        if let Some(mend) = self.mend.as_deref().filter(|mend| !detail.contains(mend)) {
            let stop = if detail.ends_with(['.', '!', '?']) { "" } else { "." };
            write!(f, "{stop} {mend}")?;
        }
        write!(f, " ({})", self.status)
    }
}

/// A reason that this version does not know must not hide the rest of the document.
fn known_reason<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Reason>, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    Ok(serde_json::from_value(value).ok())
}

/// The outer layers of an HTTP client's error repeat the address; the cause stands at the end.
pub(crate) fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
