use std::fmt::Display;

use berth_http1::{FieldEdits, is_host};
use berth_route::{PathPattern, Rule};

use super::{limits, of, read_some, retry};
use crate::config::file::problem::{Report, quoted};
use crate::config::file::route_keys::{EditKeys, RouteKeys};
use crate::config::file::spot::{Place, Spot};
use crate::config::{Policy, RouteTimeouts, parse_most_body, parse_time};

/// The keys that change how a request is forwarded, and where they stand.
pub(super) fn forwarding_keys(keys: &RouteKeys) -> [(&'static str, Option<Place>); 11] {
    let text = |value: &Option<Spot<String>>| value.as_ref().map(|value| value.place);
    let edits = |value: &Option<Spot<EditKeys>>| value.as_ref().map(|value| value.place);
    [
        ("strip_prefix", text(&keys.strip_prefix)),
        ("add_prefix", text(&keys.add_prefix)),
        ("rewrite_host", text(&keys.rewrite_host)),
        ("request_headers", edits(&keys.request_headers)),
        ("response_headers", edits(&keys.response_headers)),
        ("timeout_connect", text(&keys.timeout_connect)),
        ("timeout_answer", text(&keys.timeout_answer)),
        ("timeout_body", text(&keys.timeout_body)),
        ("timeout_send", text(&keys.timeout_send)),
        ("timeout_tunnel", text(&keys.timeout_tunnel)),
        ("retry", keys.retry.as_ref().map(|retry| retry.place)),
    ]
}

/// What a route changes and allows.
pub(super) fn read_policy(keys: &RouteKeys, rule: Option<&Rule>, report: &mut Report<'_>) -> Option<Policy> {
    let strip_prefix = read_some(keys.strip_prefix.as_ref(), "strip_prefix", read_prefix, report);
    if let (Some(prefix), Some(spot), Some(rule)) = (&strip_prefix, &keys.strip_prefix, rule)
        && !rule.path.is_below(prefix)
    {
        let message = format!(
            "strip_prefix is {}, but not every path of {} begins with it",
            quoted(prefix),
            quoted(&rule.path.to_string())
        );
        report.error(spot.place, message);
    }
    let mut time =
        |value: &Option<Spot<String>>, key: &str| read_some(value.as_ref(), key, parse_time, report);
    let timeouts = RouteTimeouts {
        connect: time(&keys.timeout_connect, "timeout_connect"),
        answer: time(&keys.timeout_answer, "timeout_answer"),
        body: time(&keys.timeout_body, "timeout_body"),
        send: time(&keys.timeout_send, "timeout_send"),
        tunnel: time(&keys.timeout_tunnel, "timeout_tunnel"),
    };
    let most_body = read_some(keys.max_body.as_ref(), "max_body", of("max_body", parse_most_body), report);
    Some(Policy {
        strip_prefix,
        add_prefix: read_some(keys.add_prefix.as_ref(), "add_prefix", read_prefix, report),
        rewrite_host: read_some(keys.rewrite_host.as_ref(), "rewrite_host", read_host, report),
        request_headers: read_edits(keys.request_headers.as_ref(), report),
        response_headers: read_edits(keys.response_headers.as_ref(), report),
        timeouts,
        most_body_bytes: most_body.map(|most| most.0),
        rate_limits: limits::read_rate_limits(keys.rate_limit.as_ref(), report),
        retry: retry::read_retry(keys.retry.as_ref(), report),
    })
}

fn read_prefix(text: &str) -> Result<String, String> {
    let refused = |why: &str| Err(format!("is {}, {why}", quoted(text)));
    if !text.starts_with('/') {
        return refused("which does not begin with a slash: write one such as /api");
    }
    if text.ends_with('/') {
        return refused("which ends with a slash: write one such as /api");
    }
    if text.contains('*') {
        return refused("which has a star: write the prefix alone, such as /api");
    }
    // In the form in which paths are compared.
    match text.parse::<PathPattern>() {
        Ok(path) => Ok(path.to_string()),
        Err(invalid) => Err(format!("{} {}", invalid.problem, invalid.mend)),
    }
}

pub(super) fn read_host(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    if text.len() > 255 || !text.bytes().all(is_plain) || !is_host(text) {
        let shown = quoted(text);
        return Err(format!(
            "is {shown}: write a host, perhaps with a port, such as example.com or localhost:3000"
        ));
    }
    Ok(text.to_owned())
}

fn read_edits(keys: Option<&Spot<EditKeys>>, report: &mut Report<'_>) -> FieldEdits {
    let mut edits = FieldEdits::default();
    let Some(keys) = keys else { return edits };
    let complain = |report: &mut Report<'_>, place, name: &str, why: &dyn Display| {
        report.error(place, format!("the field {} {why}", quoted(name)));
    };
    let mut names: Vec<String> = Vec::new();
    for (name, value) in keys.value.set.iter().flat_map(|set| &set.0) {
        match edits.set(&name.value, &value.value) {
            Ok(()) if names.iter().any(|known| known.eq_ignore_ascii_case(name)) => {
                complain(report, name.place, name, &"is set twice");
            }
            Ok(()) => names.push(name.value.clone()),
            Err(why) => complain(report, name.place, name, &why),
        }
    }
    for name in keys.value.remove.iter().flat_map(|remove| &remove.0) {
        if names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            complain(report, name.place, name, &"is set already, which replaces what came");
        } else if let Err(why) = edits.remove(&name.value) {
            complain(report, name.place, name, &why);
        }
    }
    edits
}
