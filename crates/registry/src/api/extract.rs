use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use axum::extract::{FromRequestParts, Path, Query, RawQuery};
use axum::http::StatusCode;
use axum::http::request::Parts;
use berth_model::{InstanceId, Invalid, ServiceName};
use berth_web::Problem;

use super::Api;

/// The names in a path, which are checked like everything that comes from outside.
pub(crate) struct Named<T>(pub(crate) T);

impl FromRequestParts<Api> for Named<ServiceName> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Path(service) = Path::<String>::from_request_parts(parts, api).await.map_err(bad_path)?;
        api.check_name("service", &service)?;
        Ok(Self(service.parse()?))
    }
}

impl FromRequestParts<Api> for Named<(ServiceName, InstanceId)> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, api).await;
        let Path((service, id)) = path.map_err(bad_path)?;
        api.check_name("service", &service)?;
        api.check_name("id", &id)?;
        Ok(Self((service.parse()?, id.parse()?)))
    }
}

/// The parameters of a query string. Each handler takes out those that it knows, then calls
/// [`Parameters::finish`]: a misspelt one must not be ignored in silence.
pub(crate) struct Parameters {
    left: BTreeMap<String, String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let RawQuery(raw) = RawQuery::from_request_parts(parts, state).await.unwrap_or(RawQuery(None));
        if raw.is_none() {
            return Ok(Self { left: BTreeMap::new() });
        }
        let pairs = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(pairs) = pairs.map_err(|_| {
            Invalid::new("query", "cannot be read", "Send name=value pairs, percent-encoded UTF-8.")
        })?;
        let mut left = BTreeMap::new();
        for (name, value) in pairs {
            // The decoder puts this character in the place of bytes that are no UTF-8.
            if let Some(broken) = [&name, &value].into_iter().find(|text| text.contains('\u{fffd}')) {
                let field = if *broken == name { "query" } else { name.as_str() };
                return Err(Invalid::new(field, "is not UTF-8", "Percent-encode UTF-8.").into());
            }
            match left.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(value);
                }
                Entry::Occupied(place) => {
                    return Err(Invalid::new(place.key(), "stands there twice", "Send it once.").into());
                }
            }
        }
        Ok(Self { left })
    }
}

impl Parameters {
    /// The value of a parameter, if it was sent.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        self.left.remove(name)
    }

    /// All parameters whose name begins with the prefix, by what follows it.
    pub(crate) fn take_all(&mut self, prefix: &str) -> BTreeMap<String, String> {
        let taken = self.left.extract_if(.., |name, _| name.starts_with(prefix));
        taken.map(|(name, value)| (name[prefix.len()..].to_owned(), value)).collect()
    }

    /// # Errors
    /// Names a parameter that nobody took.
    pub(crate) fn finish(self, known: &str) -> Result<(), Problem> {
        match self.left.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(Invalid::new(name, "is no parameter of this call", known).into()),
        }
    }
}

fn bad_path(_: impl std::error::Error) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "The path is not UTF-8 where it is percent-decoded.")
        .field("path")
        .mend("Use names of the characters A-Z a-z 0-9 . _ -")
}
