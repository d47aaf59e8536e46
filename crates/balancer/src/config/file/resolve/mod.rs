//! From the keys of a file to what they mean. Everything that is wrong is told, not just the first.

/// What routes and backends say under the same names: read from either, and listed where it has no meaning.
macro_rules! shared_keys {
    ($shared:ident: $($key:ident),+) => {
        shared_keys!(@from RouteKeys, $shared, $($key),+);
        shared_keys!(@from BackendKeys, $shared, $($key),+);
        impl $shared<'_> {
            /// The keys that are there, by name.
            pub(super) fn places(self) -> impl Iterator<Item = (&'static str, Place)> {
                let all = [$((stringify!($key), self.$key.map(|key| key.place))),+];
                all.into_iter().filter_map(|(name, place)| Some((name, place?)))
            }
        }
    };
    (@from $keys:ident, $shared:ident, $($key:ident),+) => {
        impl<'k> From<&'k $keys> for $shared<'k> {
            fn from(keys: &'k $keys) -> Self {
                Self { $($key: keys.$key.as_ref()),+ }
            }
        }
    };
}

mod action;
mod backends;
mod capacity;
mod choosing;
mod health;
mod limits;
mod policy;
mod retry;
mod routes;
mod rule;
mod settings;

use std::fmt::Display;

use super::keys::FileKeys;
use super::problem::Report;
use super::spot::Spot;
use crate::config::Loaded;

/// Reads what the keys mean.
pub(super) fn resolve(file: &FileKeys, report: &mut Report<'_>) -> Loaded {
    let options = settings::options(file, report);
    let (routes, backends) = routes::resolve(file, report);
    limits::check_number(file, report);
    Loaded { options, routes, backends, advertised_routes: file.advertised_routes, warnings: Vec::new() }
}

/// Reads one value; what is wrong with it is told where it stands. `key` begins the sentence where the error does not.
fn read<T, E: Display>(
    value: &Spot<String>,
    key: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
    report: &mut Report<'_>,
) -> Option<T> {
    match parse(&value.value) {
        Ok(value) => Some(value),
        Err(error) => {
            let said = error.to_string();
            let message = match said.split(' ').next() {
                Some("is" | "has") => format!("{key} {said}"),
                Some(first) if first == key => said,
                _ => format!("{key}: {said}"),
            };
            report.error(value.place, message);
            None
        }
    }
}

/// Reads a value that may be absent.
fn read_some<T, E: Display>(
    value: Option<&Spot<String>>,
    key: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
    report: &mut Report<'_>,
) -> Option<T> {
    value.and_then(|value| read(value, key, parse, report))
}

/// A parser's sentence about a value, with the value's key as its beginning.
fn of<T>(
    key: &'static str,
    parse: impl Fn(&str) -> Result<T, berth_model::Invalid>,
) -> impl Fn(&str) -> Result<T, berth_model::Invalid> {
    move |text| parse(text).map_err(|invalid| invalid.of(key))
}
