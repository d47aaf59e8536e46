use berth_route::{PathPattern, Rule};

use crate::config::file::problem::{Report, quoted};
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
        methods.extend(read(method, "methods", read_method, report));
    }
    methods.sort_unstable();
    methods.dedup();
    let fields = conditions(keys.headers.as_ref(), report, |name| {
        if is_token(name) {
            return Ok(name.to_ascii_lowercase());
        }
        Err(format!("{} is no name of a field: write one such as X-Version", quoted(name)))
    });
    let query = conditions(keys.query.as_ref(), report, |name| match name {
        "" => Err("a parameter of the query without a name: write one such as version".to_owned()),
        name => Ok(name.to_owned()),
    });
    if is_host_lost {
        return None;
    }
    let rule = Rule { host, path: path?, methods, fields, query };
    if let Err(problem) = rule.check() {
        report.error(first_place(keys), problem.to_string());
        return None;
    }
    Some(rule)
}

/// Where the conditions begin that a rule has beside host and path.
fn first_place(keys: &RouteKeys) -> Place {
    let methods = keys.methods.iter().flat_map(|methods| &methods.0).map(|method| method.place);
    let named = [&keys.headers, &keys.query].into_iter().flatten().flat_map(|named| &named.0);
    methods.chain(named.map(|(key, _)| key.place)).next().unwrap_or_default()
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_plain)
}

fn read_method(text: &str) -> Result<String, String> {
    let usual = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
    let upper = text.to_ascii_uppercase();
    if !is_token(text) {
        return Err(format!("{} is no method: write one such as GET", quoted(text)));
    }
    // They are case-sensitive (RFC 9110 §9.1): such a route would never be taken.
    if upper != text && usual.contains(&upper.as_str()) {
        return Err(format!("{} is not the method {upper}: write it in capitals", quoted(text)));
    }
    Ok(text.to_owned())
}

fn conditions(
    named: Option<&Named<Spot<String>>>,
    report: &mut Report<'_>,
    name: impl Fn(&str) -> Result<String, String>,
) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (key, value) in named.into_iter().flat_map(|named| &named.0) {
        match name(&key.value) {
            Ok(name) => all.push((name, value.value.clone())),
            Err(message) => report.error(key.place, message),
        }
    }
    all.sort_unstable();
    all
}
