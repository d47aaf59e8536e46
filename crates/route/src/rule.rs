use std::fmt;

use berth_model::Invalid;

use crate::{HostPattern, PathPattern};

/// The whole condition of a route: a request must fulfil all of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The host; any if there is none.
    pub host: Option<HostPattern>,
    /// The path.
    pub path: PathPattern,
    /// The methods, any if there are none. They are case-sensitive (RFC 9110 §9.1).
    pub methods: Vec<String>,
    /// Fields, by name, that the request must carry with exactly these values.
    pub fields: Vec<(String, String)>,
    /// Parameters of the query, decoded, that it must carry with exactly these values.
    pub query: Vec<(String, String)>,
}

impl Rule {
    /// Every request.
    pub fn any() -> Self {
        Self {
            host: None,
            path: PathPattern::any(),
            methods: Vec::new(),
            fields: Vec::new(),
            query: Vec::new(),
        }
    }

    /// Whether it is for every request.
    pub fn is_any(&self) -> bool {
        *self == Self::any()
    }

    /// Reads what a service advertises: `/api`, or `api.example.com/` with a host. It is for all paths below.
    ///
    /// # Errors
    /// It is neither.
    pub fn advertised(text: &str) -> Result<Self, Invalid> {
        let (host, path) = text.split_at(text.find('/').unwrap_or(text.len()));
        let host = if host.is_empty() { None } else { Some(host.parse()?) };
        Ok(Self { host, path: PathPattern::below(path)?, ..Self::any() })
    }
}

impl fmt::Display for Rule {
    /// Host and path: `api.example.com/v1/*`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.as_ref().map_or(Ok(()), |host| host.fmt(f))?;
        self.path.fmt(f)
    }
}
