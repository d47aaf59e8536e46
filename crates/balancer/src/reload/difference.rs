//! What two configurations differ in, told to people. Pure.

use std::collections::HashMap;

use crate::config::Settings;
use crate::routing::ProxySettings;

#[cfg(test)]
mod tests;

/// The most routes and backends that are named one by one.
const MOST_NAMED: usize = 20;

/// What is different in the second of two configurations.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// What takes effect at once.
    pub(super) changed: Vec<String>,
    /// Keys that take effect with the next start.
    pub(super) needs_restart: Vec<&'static str>,
}

impl Difference {
    pub(super) fn between(old: &Settings, new: &Settings) -> Self {
        let mut changed = Vec::new();
        if old.listen != new.listen {
            changed.push(format!("listen: {}", new.listen));
        }
        if old.registries != new.registries {
            let names: Vec<String> = new.registries.iter().map(ToString::to_string).collect();
            changed.push(format!(
                "registry: {}",
                if names.is_empty() { "none".into() } else { names.join(", ") }
            ));
        }
        changed.extend(general(&old.proxy, &new.proxy).map(|key| format!("{key} changed")));
        if old.routing.advertised_routes != new.routing.advertised_routes {
            changed.push(format!("advertised_routes: {}", new.routing.advertised_routes));
        }
        compare("backend", &mut changed, &old.routing.backends, &new.routing.backends, |backend| {
            backend.name.clone()
        });
        // Where a route leads to is told by name: a place in the list may mean another backend by now.
        compare("route", &mut changed, &named(old), &named(new), |(rule, _)| rule.clone());
        let restart = [
            ("admin", old.admin != new.admin),
            ("token", old.token != new.token),
            ("threads", old.threads != new.threads),
            ("max_connections", old.most_connections != new.most_connections),
            ("state", old.state.differs_from(&new.state)),
            ("access_log", old.access_log != new.access_log),
            ("access_log_format", old.access_format != new.access_format),
            ("log_format", old.log_format != new.log_format),
            ("grace", old.grace != new.grace),
        ];
        let needs_restart = restart.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key);
        Self { changed, needs_restart: needs_restart.collect() }
    }
}

/// The keys of the data path that differ.
fn general(old: &ProxySettings, new: &ProxySettings) -> impl Iterator<Item = &'static str> + use<> {
    let (was, is) = (&old.timeouts, &new.timeouts);
    let keys = [
        ("max_head", old.limits.head_bytes != new.limits.head_bytes),
        ("max_target", old.limits.target_bytes != new.limits.target_bytes),
        ("max_fields", old.limits.fields != new.limits.fields),
        ("max_body", old.most_body_bytes != new.most_body_bytes),
        ("timeout_connect", was.connect != is.connect),
        ("timeout_head", was.head != is.head),
        ("timeout_answer", was.answer != is.answer),
        ("timeout_body", was.body != is.body),
        ("timeout_send", was.send != is.send),
        ("timeout_idle", was.idle != is.idle),
        ("timeout_tunnel", was.tunnel != is.tunnel),
        ("timeout_upstream_idle", was.upstream_idle != is.upstream_idle),
        ("trusted_proxies", old.trusted_proxies != new.trusted_proxies),
        ("upstream_ca", old.tls != new.tls),
        ("via", old.via != new.via),
        ("per_client", old.per_client != new.per_client),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key)
}

/// Routes by their rule, with everything about them in a form in which backends have names.
fn named(settings: &Settings) -> Vec<(String, String)> {
    let backends = &settings.routing.backends;
    let name = |place: usize| backends.get(place).map_or("", |backend| backend.name.as_str());
    let of = |route: &crate::config::Route| {
        let targets: Vec<&str> = route.action.backends().into_iter().map(name).collect();
        (
            route.rule.to_string(),
            format!("{targets:?} {:?} {:?}", route.action.without_backends(), route.policy),
        )
    };
    settings.routing.routes.iter().map(of).collect()
}

fn compare<T: PartialEq>(
    kind: &str,
    changed: &mut Vec<String>,
    old: &[T],
    new: &[T],
    key: impl Fn(&T) -> String,
) {
    let before: HashMap<String, &T> = old.iter().map(|item| (key(item), item)).collect();
    let after: HashMap<String, &T> = new.iter().map(|item| (key(item), item)).collect();
    let keys = |items: &[T]| items.iter().map(&key).collect::<Vec<_>>();
    let added = keys(new).into_iter().filter(|key| !before.contains_key(key));
    let removed = keys(old).into_iter().filter(|key| !after.contains_key(key));
    let differs =
        |key: &String| before.get(key).is_some_and(|item| after.get(key).is_some_and(|it| it != item));
    let other = keys(new).into_iter().filter(differs);
    for (verb, names) in
        [("added", added.collect::<Vec<_>>()), ("removed", removed.collect()), ("changed", other.collect())]
    {
        if names.len() > MOST_NAMED {
            changed.push(format!("{} {kind}s {verb}", names.len()));
        } else {
            changed.extend(names.iter().map(|name| format!("{kind} {name} {verb}")));
        }
    }
}
