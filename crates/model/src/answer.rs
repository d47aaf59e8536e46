use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Instance, Revision, ServiceName};

/// The answer to a registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    /// The instance as the registry publishes it.
    pub instance: Instance,
    /// The newest point in history.
    pub revision: Revision,
    /// Seconds until the next renewal is due.
    pub renew_s: f64,
}

/// The answer to a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Renewed {
    /// Seconds until the next renewal is due.
    pub renew_s: f64,
}

/// The answer to the list of services: how many live instances each has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Services {
    /// The newest point in history.
    pub revision: Revision,
    /// Live instances by service.
    pub services: BTreeMap<ServiceName, usize>,
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The service that was asked for.
    pub service: ServiceName,
    /// The newest point in history.
    pub revision: Revision,
    /// Its live instances that match, sorted by id; none when the service is unknown.
    pub instances: Vec<Instance>,
}
