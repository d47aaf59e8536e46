use std::fmt;
use std::str::FromStr;

use berth_model::{Invalid, excerpt};

use crate::normal::decode_unreserved;
use crate::read_path;

/// The most bytes of a pattern, as it is written.
pub(crate) const MAX_PATTERN_BYTES: usize = 1024;

/// Which paths a route is for: `/health` and no other, or `/api/*` for `/api` and everything below it.
///
/// `/api/` is a path of its own, not the same as `/api`; `/*` is every path, and the `*` of `OPTIONS *` as well. A
/// pattern is kept in the form that [`normal_path`](crate::normal_path) gives paths.
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
        let pattern: Self = text.parse()?;
        let text = pattern.text.strip_suffix('/').unwrap_or(&pattern.text).to_owned();
        Ok(Self { text, prefix: true })
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
        check(text)?;
        let decoded = decode_unreserved(text.as_bytes());
        let decoded = String::from_utf8_lossy(&decoded);
        Ok(match decoded.strip_suffix("/*") {
            Some(prefix) => Self { text: prefix.to_owned(), prefix: true },
            None => Self { text: decoded.into_owned(), prefix: false },
        })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if self.prefix { f.write_str("/*") } else { Ok(()) }
    }
}

fn is(text: &str, mend: impl Into<String>) -> Invalid {
    Invalid::new("path", format!("is {}", excerpt(text)), mend)
}

fn check(text: &str) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(Invalid::new("path", "is empty", "Write / for the root, or /* for every path."));
    }
    if !text.starts_with('/') {
        return Err(is(text, "Begin it with a slash, such as /api."));
    }
    if text.len() > MAX_PATTERN_BYTES {
        let mend = format!("Write at most {MAX_PATTERN_BYTES} bytes.");
        return Err(Invalid::new("path", format!("has {} bytes", text.len()), mend));
    }
    if text.contains('?') {
        return Err(is(
            text,
            "Leave the query out of the path; its parameters are a condition of their own.",
        ));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(is(text, "Percent-encode what is not visible ASCII, and #."));
    }
    if text.strip_suffix("/*").unwrap_or(text).contains('*') {
        let mend = "Write a star only as the last segment: /api/* is /api and everything below it.";
        return Err(is(text, mend));
    }
    // A request never has such segments when it is compared: the route would never be taken.
    let Ok(normal) = read_path(text.as_bytes()) else {
        return Err(is(text, "Write it without dot segments beside %2F, %5C, \\ and ;."));
    };
    if *normal != *decode_unreserved(text.as_bytes()) {
        let normal = String::from_utf8_lossy(&normal);
        return Err(is(text, format!("Write it without empty, . and .. segments: {normal}")));
    }
    Ok(())
}
