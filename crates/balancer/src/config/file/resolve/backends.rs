use std::collections::BTreeSet;

use crate::config::default::free_name;
use crate::config::file::keys::FileKeys;
use crate::config::file::problem::{Report, quoted, suggestion};
use crate::config::file::route_keys::{BackendKeys, Ignored, ServerEntry};
use crate::config::file::spot::{Place, Spot};
use crate::config::{Backend, Capacity, Choosing, Health, Instances, Server};

use super::capacity::CapacityKeys;
use super::choosing::ChoosingKeys;
use super::health::Looking;
use super::{of, read, read_some};

/// The longest name of a backend.
const MAX_NAME_BYTES: usize = 128;

/// What is said of `docker_image` wherever it stands.
const NO_DOCKER: &str =
    "docker_image is not supported yet: start the container yourself, and name its address under `servers`";

/// The backends of a file, and those that its routes bring.
#[derive(Debug)]
pub(super) struct Backends {
    pub(super) all: Vec<Backend>,
    /// Where those of the file are named; a backend that could not be read is there too.
    named: Vec<(Spot<String>, Option<usize>)>,
    used: BTreeSet<usize>,
    /// Those that stand for a query of a split.
    queries: Vec<(String, usize)>,
}

/// What a backend is made of, in a route or by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'k> {
    pub(super) choosing: ChoosingKeys<'k>,
    pub(super) capacity: CapacityKeys<'k>,
    pub(super) looking: Looking<'k>,
    pub(super) servers: Option<&'k Spot<Vec<Spot<ServerEntry>>>>,
    pub(super) service: Option<&'k Spot<String>>,
    pub(super) docker_image: Option<&'k Spot<Ignored>>,
}

impl<'k> From<&'k BackendKeys> for Parts<'k> {
    fn from(keys: &'k BackendKeys) -> Self {
        Self {
            choosing: keys.into(),
            capacity: keys.into(),
            looking: keys.into(),
            servers: keys.servers.as_ref(),
            service: keys.service.as_ref(),
            docker_image: keys.docker_image.as_ref(),
        }
    }
}

impl Backends {
    /// Those of the file.
    pub(super) fn of_file(file: &FileKeys, report: &mut Report<'_>) -> Self {
        let mut backends =
            Self { all: Vec::new(), named: Vec::new(), used: BTreeSet::new(), queries: Vec::new() };
        for (name, keys) in file.backends.iter().flat_map(|backends| &backends.0) {
            let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'@';
            if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(is_plain) {
                report.error(
                    name.place,
                    format!(
                        "{} is no name of a backend: write up to {MAX_NAME_BYTES} letters, digits, - and _",
                        quoted(name)
                    ),
                );
            }
            let whom = format!("the backend {}", quoted(name));
            let backend = read_backend(Parts::from(&keys.value), keys.place, &whom, report);
            let place = backend.map(|backend| {
                let subject = format!("backend {}", name.value);
                backends.all.push(Backend { name: name.value.clone(), subject, ..backend });
                backends.all.len() - 1
            });
            backends.named.push((name.clone(), place));
        }
        backends
    }

    /// The backend of this name.
    pub(super) fn named(&mut self, name: &Spot<String>, report: &mut Report<'_>) -> Option<usize> {
        if let Some((_, place)) = self.named.iter().find(|(known, _)| known.value == name.value) {
            self.used.extend(*place);
            return *place;
        }
        let names = self.named.iter().map(|(known, _)| known.as_str());
        let otherwise = if self.named.is_empty() {
            ": there are no `backends`".to_owned()
        } else {
            let known: Vec<String> = names.clone().take(10).map(quoted).collect();
            format!(": there are {}", known.join(", "))
        };
        let suggestion = suggestion(name, names, &otherwise);
        report.error(name.place, format!("unknown backend {}{suggestion}", quoted(name)));
        None
    }

    /// The backend that a key of a split names, or asks for.
    pub(super) fn of_split(&mut self, key: &Spot<String>, report: &mut Report<'_>) -> Option<usize> {
        if !key.contains('@') {
            return self.named(key, report);
        }
        let query = read(key, "split", str::parse::<berth_model::Query>, report)?;
        let text = query.to_string();
        if let Some((_, place)) = self.queries.iter().find(|(known, _)| *known == text) {
            return Some(*place);
        }
        let place = self.add(Backend {
            name: text.clone(),
            subject: format!("service {query}"),
            choosing: Choosing::default(),
            capacity: Capacity::default(),
            health: Health::default(),
            shares_with: None,
            servers: Vec::new(),
            instances: Instances::Query(query),
        });
        self.queries.push((text, place));
        Some(place)
    }

    /// A route's own backend.
    pub(super) fn own(
        &mut self,
        parts: Parts<'_>,
        place: Place,
        rule: &str,
        report: &mut Report<'_>,
    ) -> Option<usize> {
        let backend = read_backend(parts, place, "the route", report)?;
        let subject = match &backend.instances {
            Instances::Query(query) => format!("service {query}"),
            _ => format!("route {rule}"),
        };
        Some(self.add(Backend { name: rule.to_owned(), subject, ..backend }))
    }

    /// A named backend that chooses in another way, for one route.
    pub(super) fn variant(
        &mut self,
        of: usize,
        keys: ChoosingKeys<'_>,
        rule: &str,
        report: &mut Report<'_>,
    ) -> usize {
        let choosing = keys.read(report);
        let shares_with = Some(self.all[of].name.clone());
        self.add(Backend { name: rule.to_owned(), choosing, shares_with, ..self.all[of].clone() })
    }

    fn add(&mut self, backend: Backend) -> usize {
        let name = free_name(&backend.name, &self.all);
        self.all.push(Backend { name, ..backend });
        self.all.len() - 1
    }

    /// Warns of those that nobody uses.
    pub(super) fn warn_of_unused(&self, report: &mut Report<'_>) {
        for (name, place) in &self.named {
            if place.is_some_and(|place| !self.used.contains(&place)) {
                let message = format!("no route uses the backend {}: name it or leave it out", quoted(name));
                report.warning(name.place, message);
            }
        }
    }
}

/// Reads a backend; its name and subject are the caller's.
fn read_backend(parts: Parts<'_>, place: Place, whom: &str, report: &mut Report<'_>) -> Option<Backend> {
    if let Some(image) = parts.docker_image {
        report.error(image.place, NO_DOCKER);
    }
    let choosing = parts.choosing.read(report);
    let capacity = parts.capacity.read(report);
    let health = parts.looking.read(report);
    let service = read_some(parts.service, "service", str::parse, report);
    let mut servers = Vec::new();
    for entry in parts.servers.into_iter().flat_map(|servers| &servers.value) {
        servers.extend(read_server(entry, report));
    }
    let is_said = parts.service.is_some()
        || parts.docker_image.is_some()
        || parts.servers.is_some_and(|servers| !servers.value.is_empty());
    if !is_said {
        let message = format!("{whom} has nobody to serve: give it `servers`, a `service`, or both");
        report.error(parts.servers.map_or(place, |servers| servers.place), message);
        return None;
    }
    Some(Backend {
        name: String::new(),
        subject: String::new(),
        choosing,
        capacity,
        health,
        shares_with: None,
        servers,
        instances: service.map_or(Instances::None, Instances::Query),
    })
}

fn read_server(entry: &Spot<ServerEntry>, report: &mut Report<'_>) -> Option<Server> {
    let keys = &entry.value.0;
    if let Some(image) = &keys.docker_image {
        report.error(image.place, NO_DOCKER);
    }
    let upstream = read(&keys.url, "url", of("url", str::parse), report);
    let public_url = read_some(keys.public_url.as_ref(), "public_url", str::parse, report);
    Some(Server { upstream: upstream?, weight: keys.weight.unwrap_or(1), public_url })
}
