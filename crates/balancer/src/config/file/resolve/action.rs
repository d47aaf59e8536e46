use berth_http1::FieldEdits;
use berth_route::is_token;

use super::backends::{Backends, Parts};
use super::choosing::ChoosingKeys;
use super::read;
use crate::config::file::problem::{Report, quoted};
use crate::config::file::route_keys::{ModeKey, RespondKeys, RouteKeys, SplitByKeys};
use crate::config::file::spot::{Named, Place, Spot};
use crate::config::{Action, Fixed, Placeholder, SplitKey, Target, Template};

/// The most backends of a split.
const MAX_SHARES: usize = 32;

/// Statuses whose answers have no body (RFC 9110 §6.4.1).
const BODILESS: [u16; 2] = [204, 304];

/// What a route is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Destination<'k> {
    Named(&'k Spot<String>),
    Own(Parts<'k>),
    Split(&'k Spot<Named<u32>>),
    Respond(&'k Spot<RespondKeys>),
    RedirectTo(&'k Spot<String>),
}

/// The one destination of a route.
pub(super) fn destination<'k>(keys: &'k Spot<RouteKeys>, report: &mut Report<'_>) -> Option<Destination<'k>> {
    let own = Parts {
        choosing: (&keys.value).into(),
        capacity: (&keys.value).into(),
        looking: (&keys.value).into(),
        servers: keys.servers.as_ref(),
        service: keys.service.as_ref(),
        docker_image: keys.docker_image.as_ref(),
    };
    let own_place = own
        .servers
        .map(|servers| ("servers", servers.place))
        .or_else(|| own.service.map(|service| ("service", service.place)))
        .or_else(|| own.docker_image.map(|image| ("docker_image", image.place)));
    let found: [Option<(&str, Place, Destination<'k>)>; 5] = [
        keys.backend.as_ref().map(|name| ("backend", name.place, Destination::Named(name))),
        own_place.map(|(key, place)| (key, place, Destination::Own(own))),
        keys.split.as_ref().map(|split| ("split", split.place, Destination::Split(split))),
        keys.respond.as_ref().map(|respond| ("respond", respond.place, Destination::Respond(respond))),
        keys.redirect_to.as_ref().map(|url| ("redirect_to", url.place, Destination::RedirectTo(url))),
    ];
    let mut found = found.into_iter().flatten();
    let Some((first, _, destination)) = found.next() else {
        report.error(
            keys.place,
            "the route leads nowhere: give it `backend`, `servers`, `service`, `split`, `respond` or `redirect_to`",
        );
        return None;
    };
    let mut is_only = true;
    for (key, place, _) in found {
        is_only = false;
        report.error(
            place,
            format!("the route has two destinations, `{first}` and `{key}`: leave one of them out"),
        );
    }
    is_only.then_some(destination)
}

/// What happens to the requests of a route.
pub(super) fn read_action(
    keys: &Spot<RouteKeys>,
    destination: &Destination<'_>,
    rule: &str,
    backends: &mut Backends,
    report: &mut Report<'_>,
) -> Option<Action> {
    let permanent = keys.permanent.as_ref().is_some_and(|permanent| permanent.value);
    let target = match destination {
        Destination::Respond(respond) => return read_fixed(respond, report).map(Action::Respond),
        Destination::RedirectTo(url) => {
            let location = read(url, "redirect_to", read_template, report)?;
            return Some(Action::RedirectTo { location, permanent });
        }
        Destination::Named(name) => {
            let named = backends.named(name, report)?;
            let choosing = ChoosingKeys::from(&keys.value);
            Target::Backend(if choosing.places().next().is_some() {
                backends.variant(named, choosing, rule, report)
            } else {
                named
            })
        }
        Destination::Own(parts) => Target::Backend(backends.own(*parts, keys.place, rule, report)?),
        Destination::Split(split) => read_split(split, keys.split_by.as_ref(), backends, report)?,
    };
    if keys.pick.as_ref().is_some_and(|pick| pick.value) {
        return Some(Action::Pick(target));
    }
    Some(match keys.mode.as_ref().map(|mode| mode.value) {
        Some(ModeKey::Redirect) => Action::Redirect { target, permanent },
        Some(ModeKey::Proxy) | None => Action::Forward(target),
    })
}

fn read_split(
    split: &Spot<Named<u32>>,
    by: Option<&Spot<SplitByKeys>>,
    backends: &mut Backends,
    report: &mut Report<'_>,
) -> Option<Target> {
    let entries = &split.value.0;
    if entries.len() > MAX_SHARES {
        report
            .error(split.place, format!("`split` has {} backends, but may have {MAX_SHARES}", entries.len()));
    } else if entries.iter().all(|(_, weight)| *weight == 0) {
        report.error(split.place, "`split` has no weight above 0: nobody would serve");
    }
    let mut shares = Vec::new();
    for (key, weight) in entries {
        let Some(backend) = backends.of_split(key, report) else { continue };
        if shares.iter().any(|(other, _)| *other == backend) {
            report.error(key.place, format!("{} stands in this split already", quoted(key)));
        }
        shares.push((backend, *weight));
    }
    Some(Target::Split { shares, by: by.and_then(|by| read_split_key(by, report)) })
}

fn read_split_key(keys: &Spot<SplitByKeys>, report: &mut Report<'_>) -> Option<SplitKey> {
    let name = |name: &Spot<String>, what: &str, report: &mut Report<'_>| {
        // A cookie's name is a token as well (RFC 6265 §4.1.1).
        if !is_token(name) {
            report.error(name.place, format!("{} is no name of a {what}", quoted(name)));
        }
        if what == "field" && name.eq_ignore_ascii_case("host") {
            let message =
                format!("{} does not tell clients apart: name another field, or a cookie", quoted(name));
            report.error(name.place, message);
        }
        name.value.clone()
    };
    match (&keys.header, &keys.cookie) {
        (Some(header), None) => Some(SplitKey::Header(name(header, "field", report))),
        (None, Some(cookie)) => Some(SplitKey::Cookie(name(cookie, "cookie", report))),
        _ => {
            report.error(keys.place, "`split_by` must have either `header` or `cookie`, with its name");
            None
        }
    }
}

fn read_fixed(keys: &Spot<RespondKeys>, report: &mut Report<'_>) -> Option<Fixed> {
    let status = keys.status.as_ref().map_or(200, |status| status.value);
    let body = keys.body.as_ref().map(|body| body.value.clone()).unwrap_or_default();
    if let Some(spot) = keys.body.as_ref().filter(|_| BODILESS.contains(&status) && !body.is_empty()) {
        report.error(spot.place, format!("an answer with status {status} has no body: leave it out"));
    }
    let mut headers = Vec::new();
    for (name, value) in keys.headers.iter().flat_map(|headers| &headers.0) {
        // What may be set on the way may be said.
        match FieldEdits::default().set(&name.value, &value.value) {
            Ok(()) => headers.push((name.value.clone(), value.value.clone())),
            Err(why) => report.error(name.place, format!("the field {} {why}", quoted(name))),
        }
    }
    let has_type = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if !has_type && !body.is_empty() {
        headers.push(("Content-Type".to_owned(), "text/plain; charset=utf-8".to_owned()));
    }
    Some(Fixed { status, headers, body })
}

/// Reads `https://{host}{path}`.
fn read_template(text: &str) -> Result<Template, String> {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    if host.is_none_or(|host| host.is_empty() || host.starts_with('/') || host.starts_with("{path}")) {
        let shown = quoted(text);
        return Err(format!(
            "is {shown}: write a URL with http:// or https:// such as https://{{host}}{{path}}"
        ));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`|".contains(&byte)) {
        return Err(format!("is {}: percent-encode what is not visible ASCII", quoted(text)));
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        let (placeholder, after) = if let Some(after) = from.strip_prefix("{host}") {
            (Placeholder::Host, after)
        } else if let Some(after) = from.strip_prefix("{path}") {
            (Placeholder::Path, after)
        } else {
            let end = from.find('}').map_or(from.len(), |end| end + 1);
            return Err(format!("has {}, but only {{host}} and {{path}} are known", quoted(&from[..end])));
        };
        parts.push((before.to_owned(), placeholder));
        rest = after;
    }
    Ok(Template { parts, rest: rest.to_owned() })
}
