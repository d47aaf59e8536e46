//! What holds where the operator says nothing: the registry next door, and one route for everything.

use berth_client::RegistryAddress;
use berth_model::Query;
use berth_route::Rule;

use super::{Action, Backend, Instances, Loaded, Options, Policy, Route, Routing, Server, Target, Upstream};

/// What the backend of the route for everything is called, when the operator has not named one.
const DEFAULT: &str = "default";

/// Where requests go without a file.
pub fn default_routing(
    service: Option<&Query>,
    upstreams: &[Upstream],
    registries: &[RegistryAddress],
) -> Routing {
    routing(service, upstreams, registries, None)
}

/// Which registries are followed: those that are named, else the one next door if nothing else is named that serves,
/// or if something asks for it.
pub(super) fn registries(options: &Options, file: Option<&Loaded>) -> Vec<RegistryAddress> {
    let is_named = options.registry.as_ref().is_some_and(|registries| !registries.is_empty());
    let names_servers = options.upstream.as_ref().is_some_and(|upstreams| !upstreams.is_empty())
        || file.is_some_and(|file| file.backends.iter().any(|backend| !backend.servers.is_empty()));
    let asks = file.is_some_and(|file| {
        file.options.service.is_some()
            || file.backends.iter().any(|backend| backend.instances != Instances::None)
    });
    match &options.registry {
        Some(registries) if is_named => registries.clone(),
        _ if names_servers && !asks => Vec::new(),
        _ => vec![RegistryAddress::default()],
    }
}

/// The routes of the file, and the one for everything where there is room for it.
pub(super) fn routing(
    service: Option<&Query>,
    upstreams: &[Upstream],
    registries: &[RegistryAddress],
    file: Option<&Loaded>,
) -> Routing {
    let mut routing = Routing {
        routes: file.map(|file| file.routes.clone()).unwrap_or_default(),
        backends: file.map(|file| file.backends.clone()).unwrap_or_default(),
        advertised_routes: service.is_none()
            && !registries.is_empty()
            && file.and_then(|file| file.advertised_routes) != Some(false),
    };
    let is_taken = routing.routes.iter().any(|route| route.rule.is_any());
    let is_asked_for = service.is_some() || !upstreams.is_empty();
    if routing.routes.is_empty() || (is_asked_for && !is_taken) {
        routing.routes.push(Route {
            rule: Rule::any(),
            action: Action::Forward(Target::Backend(routing.backends.len())),
            policy: Policy::default(),
        });
        routing.backends.push(default_backend(service, upstreams, registries, &routing.backends));
    }
    routing
}

fn default_backend(
    service: Option<&Query>,
    upstreams: &[Upstream],
    registries: &[RegistryAddress],
    others: &[Backend],
) -> Backend {
    let server = |upstream: &Upstream| Server { upstream: upstream.clone(), weight: 1, public_url: None };
    Backend {
        name: free_name(DEFAULT, others),
        subject: match service {
            Some(query) => format!("service {query}"),
            None if registries.is_empty() => "the given upstreams".to_owned(),
            None => "any service".to_owned(),
        },
        choosing: super::Choosing::default(),
        capacity: super::Capacity::default(),
        health: super::Health::default(),
        shares_with: None,
        servers: upstreams.iter().map(server).collect(),
        instances: match service {
            Some(query) => Instances::Query(query.clone()),
            None if registries.is_empty() => Instances::None,
            None => Instances::WithoutRoutes,
        },
    }
}

/// This name, or one like it that nobody has.
pub(super) fn free_name(name: &str, taken: &[Backend]) -> String {
    let is_free = |name: &str| taken.iter().all(|backend| backend.name != name);
    let numbered = (2..).map(|number| format!("{name} ({number})"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| is_free(name)).unwrap_or_default()
}
