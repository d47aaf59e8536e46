use std::collections::BTreeMap;
use std::net::SocketAddr;

use berth_model::{InstanceId, Invalid, NamedVersion, Registration, Run, Scheme, Ttl, Verify};

use crate::{Links, RegistryAddress};

/// What to register, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The service and the version of this instance.
    pub service: NamedVersion,
    /// The address that the listener is bound to. An unspecified one (`[::]`, `0.0.0.0`) is registered as the
    /// local address of the way to the registry.
    pub listening: SocketAddr,
    /// All of these are told. At first: localhost:9090.
    pub registries: Vec<RegistryAddress>,
    /// The registries' bearer token, if they want one.
    pub token: Option<String>,
    /// The name of this instance within its service, the same over restarts; a random one if none is given.
    pub id: Option<InstanceId>,
    /// Its share of the traffic, 1 to 1000. At first 1.
    pub weight: u16,
    /// Where it stands.
    pub zone: Option<String>,
    /// Host and path prefixes that it wants to serve; none means all.
    pub routes: Vec<String>,
    /// Whatever it wants to tell.
    pub meta: BTreeMap<String, String>,
    /// How long it stays listed after its last sign of life. At first 15 s.
    pub ttl: Ttl,
    /// How to speak to it. At first plain HTTP.
    pub scheme: Scheme,
    /// Whether the registry dials it before it publishes it. At first it does.
    pub verify: Verify,
    /// Whether it begins without taking requests.
    pub draining: bool,
    /// Its links. A process that registers several instances gives all of them the same, and needs one connection.
    pub links: Links,
}

impl Settings {
    /// Every default, for a service whose listener is bound to `listening`.
    pub fn new(service: NamedVersion, listening: SocketAddr) -> Self {
        Self {
            service,
            listening,
            registries: vec![RegistryAddress::default()],
            token: None,
            id: None,
            weight: 1,
            zone: None,
            routes: Vec::new(),
            meta: BTreeMap::new(),
            ttl: Ttl::default(),
            scheme: Scheme::default(),
            verify: Verify::default(),
            draining: false,
            links: Links::default(),
        }
    }

    /// The body of a registration, still without a host; checked as the registry would.
    pub(super) fn body(&self, run: Run) -> Result<Registration, Invalid> {
        if self.registries.is_empty() {
            return Err(Invalid::new("registry", "is missing", "Name at least one."));
        }
        let body = Registration {
            run: Some(run),
            version: self.service.version.clone(),
            weight: self.weight,
            zone: self.zone.clone(),
            routes: self.routes.clone(),
            meta: self.meta.clone(),
            ttl_s: self.ttl,
            scheme: self.scheme,
            verify: self.verify,
            draining: self.draining,
            ..Registration::of_port(self.listening.port())
        };
        let json = serde_json::to_vec(&body).map_err(|error| {
            Invalid::new("body", format!("cannot be written: {error}"), "Report this as a bug.")
        })?;
        Registration::from_json(&json)
    }
}
