use std::fmt;
use std::str::FromStr;

use berth_model::Invalid;

/// Which hosts a route is for: `example.com`, or `*.example.com` for every name below it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern {
    /// In lower case, without the star and its dot.
    pub(crate) name: String,
    pub(crate) wildcard: bool,
}

impl FromStr for HostPattern {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (name, wildcard) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        Ok(Self { name: name.to_ascii_lowercase(), wildcard })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wildcard {
            f.write_str("*.")?;
        }
        f.write_str(&self.name)
    }
}
