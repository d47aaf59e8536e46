use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use nodejs_semver::Range;

use crate::invalid::excerpt;
use crate::{Instance, Invalid, ServiceName, Version};

/// The longest range text, in bytes: the cost of parsing one is bounded by it.
const MAX_RANGE_BYTES: usize = 256;

/// Which instances are asked for: `web`, `web@1.x` (node semver ranges), and meta that must be equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// The service.
    pub service: ServiceName,
    range: Option<(String, Range)>,
    /// Meta that an instance must carry with exactly these values.
    pub meta: BTreeMap<String, String>,
}

impl Query {
    /// All instances of a service.
    pub fn all(service: ServiceName) -> Self {
        Self { service, range: None, meta: BTreeMap::new() }
    }

    /// Keeps only versions within a node semver range. An instance without a version matches no range.
    ///
    /// # Errors
    /// The text is no range, or longer than 256 bytes.
    pub fn with_range(mut self, text: &str) -> Result<Self, Invalid> {
        let range = (text.len() <= MAX_RANGE_BYTES).then(|| Range::parse(text).ok()).flatten();
        let range = range.ok_or_else(|| {
            Invalid::new(
                "version",
                format!("is {}", excerpt(text)),
                "Send a range as npm knows it: 1.x, ^1.2, >=1 <2, 1.2.3 or *.",
            )
        })?;
        self.range = Some((text.to_owned(), range));
        Ok(self)
    }

    /// The range as it was written, if there is one.
    pub fn range(&self) -> Option<&str> {
        self.range.as_ref().map(|(text, _)| text.as_str())
    }

    /// Whether the query asks for this instance.
    pub fn matches(&self, instance: &Instance) -> bool {
        self.service == instance.service
            && self.range.as_ref().is_none_or(|(_, range)| {
                instance.version.as_ref().is_some_and(|version| version.satisfies(range))
            })
            && self.meta.iter().all(|(key, value)| instance.meta.get(key) == Some(value.as_str()))
    }
}

impl FromStr for Query {
    type Err = Invalid;
    /// Reads `web` or `web@RANGE`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.split_once('@') {
            None => Ok(Self::all(text.parse()?)),
            Some((service, range)) => Self::all(service.parse()?).with_range(range),
        }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.service)?;
        self.range().map_or(Ok(()), |range| write!(f, "@{range}"))
    }
}

/// A service with the one version that an instance of it has: `web@1.2.3`, or just `web`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedVersion {
    /// The service.
    pub service: ServiceName,
    /// The version, if one was given.
    pub version: Option<Version>,
}

impl FromStr for NamedVersion {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (service, version) = match text.split_once('@') {
            None => (text, None),
            Some((service, version)) => (service, Some(version.parse()?)),
        };
        Ok(Self { service: service.parse()?, version })
    }
}

impl fmt::Display for NamedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.service)?;
        self.version.as_ref().map_or(Ok(()), |version| write!(f, "@{version}"))
    }
}
