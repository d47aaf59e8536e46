use std::fmt;
use std::str::FromStr;

use berth_model::Invalid;

/// Which paths a route is for: `/health` and no other, or `/api/*` for `/api` and everything below it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern {
    /// The exact path; or what the path begins with, without a slash at its end, so that all paths begin with "".
    pub(crate) text: String,
    pub(crate) prefix: bool,
}

impl PathPattern {
    /// Every path: `/*`.
    pub fn any() -> Self {
        Self { text: String::new(), prefix: true }
    }

    /// This path and everything below it, as a service advertises it: `/api` and `/api/` are `/api/*`.
    ///
    /// # Errors
    /// It is no path.
    pub fn below(text: &str) -> Result<Self, Invalid> {
        let text = text.strip_suffix('*').unwrap_or(text);
        Ok(Self { text: text.trim_end_matches('/').to_owned(), prefix: true })
    }

    /// Whether every path that it is for begins with this prefix, whole segments compared.
    pub fn is_below(&self, prefix: &str) -> bool {
        let rest = self.text.strip_prefix(prefix.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for PathPattern {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Ok(match text.strip_suffix("/*") {
            Some(prefix) => Self { text: prefix.to_owned(), prefix: true },
            None => Self { text: text.to_owned(), prefix: false },
        })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if self.prefix { f.write_str("/*") } else { Ok(()) }
    }
}
