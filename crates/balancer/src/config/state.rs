use std::path::{Path, PathBuf};

use berth_client::RegistryAddress;
use berth_pick::hash;

use super::{Instances, Listen, Routing};

/// Where the balancer keeps what registries have said, for a start while none of them answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatePlace {
    /// Nowhere.
    None,
    /// In the file that was asked for.
    Asked(PathBuf),
    /// In the usual file, which no other balancer of this user has; nowhere without a registry, or a folder for it.
    Usual(Option<PathBuf>),
}

impl StatePlace {
    /// Reads `none` or a file's path. An empty variable says nothing.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" => None,
            "none" => Some(StatePlace::None),
            path => Some(StatePlace::Asked(PathBuf::from(path))),
        }
    }

    /// The file, if there is to be one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            StatePlace::None => None,
            StatePlace::Asked(path) => Some(path),
            StatePlace::Usual(path) => path.as_deref(),
        }
    }

    /// Whether a balancer that runs has to be started anew for another one. Where the usual file is follows from other
    /// settings, and it follows a reload.
    pub(crate) fn differs_from(&self, other: &Self) -> bool {
        self != other && !matches!((self, other), (StatePlace::Usual(_), StatePlace::Usual(_)))
    }
}

/// The usual file in this folder: there is one for each address, list of registries and choice of services, so that no
/// two balancers that run share one.
pub(super) fn usual(
    home: Option<&Path>,
    listen: Listen,
    registries: &[RegistryAddress],
    routing: &Routing,
) -> StatePlace {
    // Without a registry there is nothing to remember.
    let home = home.filter(|_| !registries.is_empty());
    StatePlace::Usual(home.map(|home| home.join(format!("{:016x}.json", name(listen, registries, routing)))))
}

fn name(listen: Listen, registries: &[RegistryAddress], routing: &Routing) -> u64 {
    // In whatever order they are named.
    let mut parts: Vec<String> = registries.iter().map(ToString::to_string).collect();
    parts.sort_unstable();
    parts.push(listen.address.to_string());
    parts.extend(queries(routing));
    // No part has a line break in it.
    hash(0, parts.join("\n").as_bytes())
}

/// What is asked for, if it is not everything.
fn queries(routing: &Routing) -> Vec<String> {
    let mut queries = Vec::new();
    for backend in &routing.backends {
        match &backend.instances {
            Instances::None => {}
            Instances::WithoutRoutes => return Vec::new(),
            Instances::Query(query) => queries.push(query.to_string()),
        }
    }
    if routing.advertised_routes {
        return Vec::new();
    }
    queries.sort_unstable();
    queries.dedup();
    queries
}
