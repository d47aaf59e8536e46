//! From the keys of a file to what they mean. Everything that is wrong is told, not just the first.

mod action;
mod backends;
mod capacity;
mod choosing;
mod limits;
mod policy;
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
