use berth_model::Invalid;
use berth_route::{PathPattern, Rule};

use crate::config::file::problem::Report;
use crate::config::file::route_keys::RouteKeys;
use crate::config::file::spot::{Named, Place, Spot};

use super::{read, read_some};

/// The condition of a route; one that cannot be read is told.
pub(super) fn read_rule(keys: &RouteKeys, report: &mut Report<'_>) -> Option<Rule> {
    let host = read_some(keys.host.as_ref(), "host", str::parse, report);
    let is_host_lost = keys.host.is_some() && host.is_none();
    let path = match &keys.path {
        Some(path) => read(path, "path", str::parse, report),
        None => Some(PathPattern::any()),
    };
    let mut methods = Vec::new();
    for method in keys.methods.iter().flat_map(|methods| &methods.0) {
        let checked = |text: &str| Rule::check_method(text).map(|()| text.to_owned());
        methods.extend(read(method, "method", checked, report));
    }
    let fields = conditions(keys.headers.as_ref(), Rule::check_field, report);
    let query = conditions(keys.query.as_ref(), Rule::check_parameter, report);
    if is_host_lost {
        return None;
    }
    let rule = Rule { host, path: path?, methods, fields, query };
    let checked = rule.checked().map_err(|problem| report.error(first_place(keys), problem.to_string()));
    checked.ok()
}

/// Where the conditions begin that a rule has beside host and path.
fn first_place(keys: &RouteKeys) -> Place {
    let methods = keys.methods.iter().flat_map(|methods| &methods.0).map(|method| method.place);
    let named = [&keys.headers, &keys.query].into_iter().flatten().flat_map(|named| &named.0);
    methods.chain(named.map(|(key, _)| key.place)).next().unwrap_or_default()
}

/// Fields or parameters with their values. One that is wrong is told and left out.
fn conditions(
    named: Option<&Named<Spot<String>>>,
    check: fn(&str, &str) -> Result<(), Invalid>,
    report: &mut Report<'_>,
) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (name, value) in named.into_iter().flat_map(|named| &named.0) {
        match check(name, value) {
            Ok(()) => all.push((name.value.clone(), value.value.clone())),
            Err(problem) => report.error(name.place, problem.to_string()),
        }
    }
    all
}
