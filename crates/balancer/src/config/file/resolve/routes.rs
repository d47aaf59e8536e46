use std::collections::HashMap;

use berth_route::Rule;

use super::action::{self, Destination};
use super::backends::Backends;
use super::capacity::CapacityKeys;
use super::choosing::ChoosingKeys;
use super::health::Looking;
use super::{policy, rule};
use crate::config::file::keys::FileKeys;
use crate::config::file::problem::{Report, quoted};
use crate::config::file::route_keys::{ModeKey, RouteKeys};
use crate::config::file::spot::{Place, Spot};
use crate::config::{Backend, Route};

/// The routes of a file, and all backends.
pub(super) fn resolve(file: &FileKeys, report: &mut Report<'_>) -> (Vec<Route>, Vec<Backend>) {
    let mut backends = Backends::of_file(file, report);
    let mut routes = Vec::new();
    let mut places: HashMap<Rule, Place> = HashMap::new();
    for keys in file.routes.iter().flatten() {
        let rule = rule::read_rule(&keys.value, report);
        if let Some(rule) = &rule {
            match places.get(rule) {
                Some(first) => {
                    let message = format!(
                        "the route in line {} has the same condition, {}: only one of them would ever be taken",
                        first.line,
                        quoted(&rule.to_string())
                    );
                    report.error(keys.place, message);
                }
                None => {
                    places.insert(rule.clone(), keys.place);
                }
            }
        }
        routes.extend(route(keys, rule, &mut backends, report));
    }
    // A route that is wrong may have meant it.
    if !report.has_errors() {
        backends.warn_of_unused(report);
    }
    (routes, backends.all)
}

fn route(
    keys: &Spot<RouteKeys>,
    rule: Option<Rule>,
    backends: &mut Backends,
    report: &mut Report<'_>,
) -> Option<Route> {
    let destination = action::destination(keys, report);
    if let Some(destination) = &destination {
        check_combinations(&keys.value, destination, report);
    }
    let policy = policy::read_policy(&keys.value, rule.as_ref(), report);
    let name = rule.as_ref().map(ToString::to_string).unwrap_or_default();
    let action =
        destination.and_then(|destination| action::read_action(keys, &destination, &name, backends, report));
    Some(Route { rule: rule?, action: action?, policy: policy? })
}

/// The keys that say what holds for a backend whoever uses it, and where they stand.
fn lasting_keys(keys: &RouteKeys) -> impl Iterator<Item = (&'static str, Place)> {
    CapacityKeys::from(keys).places().chain(Looking::from(keys).places())
}

/// These, and those that say how it chooses.
fn backend_keys(keys: &RouteKeys) -> impl Iterator<Item = (&'static str, Place)> {
    ChoosingKeys::from(keys).places().chain(lasting_keys(keys))
}

/// Keys that have no meaning beside others.
fn check_combinations(keys: &RouteKeys, destination: &Destination<'_>, report: &mut Report<'_>) {
    let mut refuse = |place: Option<Place>, key: &str, why: &str| {
        if let Some(place) = place {
            report.error(place, format!("`{key}` {why}: leave it out"));
        }
    };
    let split = if let Destination::Split(_) = destination {
        "has no meaning with `split`, whose backends choose each in their own way"
    } else {
        ""
    };
    let answers = match destination {
        Destination::Respond(_) => "has no meaning with `respond`, which asks no endpoint",
        Destination::RedirectTo(_) => "has no meaning with `redirect_to`, which asks no endpoint",
        _ => "",
    };
    if !split.is_empty() {
        for (key, place) in backend_keys(keys) {
            refuse(Some(place), key, split);
        }
    } else if answers.is_empty() {
        refuse(keys.split_by.as_ref().map(|key| key.place), "split_by", "has no meaning without `split`");
    }
    if let Destination::Named(_) = destination {
        for (key, place) in lasting_keys(keys) {
            refuse(Some(place), key, "belongs to the backend, where it holds for all its routes");
        }
    }
    let is_pick = keys.pick.as_ref().is_some_and(|pick| pick.value);
    let is_redirect = keys.mode.as_ref().is_some_and(|mode| mode.value == ModeKey::Redirect);
    if !answers.is_empty() {
        for (key, place) in backend_keys(keys) {
            refuse(Some(place), key, answers);
        }
        refuse(keys.split_by.as_ref().map(|key| key.place), "split_by", answers);
        refuse(keys.mode.as_ref().map(|key| key.place), "mode", answers);
        refuse(keys.pick.as_ref().map(|key| key.place), "pick", answers);
    } else if is_pick && is_redirect {
        refuse(
            keys.pick.as_ref().map(|key| key.place),
            "pick",
            "has no meaning with `mode: redirect`, which sends the client there at once",
        );
    }
    if is_pick && matches!(destination, Destination::Own(_)) {
        for (key, place) in CapacityKeys::from(keys).places() {
            refuse(Some(place), key, "has no meaning with `pick`, which forwards nothing");
        }
    }
    if !(is_redirect || matches!(destination, Destination::RedirectTo(_))) {
        let why = "has no meaning without `mode: redirect` or `redirect_to`";
        refuse(keys.permanent.as_ref().map(|key| key.place), "permanent", why);
    }
    let untouched = match answers {
        "" if is_pick => "has no meaning with `pick`, which forwards nothing",
        answers => answers,
    };
    if !untouched.is_empty() {
        for (key, place) in policy::forwarding_keys(keys) {
            refuse(place, key, untouched);
        }
    }
}
