//! The cookie that keeps a client at its endpoint.

use std::collections::HashMap;
use std::sync::Arc;

use berth_http1::RequestHead;
use berth_model::Identity;
use berth_pick::{Endpoint, hash};

use crate::routing::{Choosing, Sticky};

/// The cookie of one backend. Its name is made from the backend's, so that backends behind one host do not take each
/// other's for their own; its value is a hash of an endpoint's identity, so that all balancers understand it. It says
/// nothing to who reads it; who knows all but the address could find that by trying.
#[derive(Debug)]
pub(crate) struct StickyCookie {
    name: String,
    /// Of the endpoints in the set, by their places.
    values: Vec<u64>,
    /// Those places, by value.
    places: HashMap<u64, u32>,
}

impl StickyCookie {
    /// The cookie of a backend with these endpoints, if it has one.
    pub(super) fn new(backend: &str, choosing: &Choosing, endpoints: &[Arc<Endpoint>]) -> Option<Self> {
        let Sticky::Cookie = choosing.sticky?;
        let values: Vec<u64> = endpoints.iter().map(|endpoint| value_of(endpoint.identity())).collect();
        let name = format!("berth_{:08x}", hash(0, backend.as_bytes()) >> 32);
        let places = values.iter().copied().zip(0..).collect();
        Some(Self { name, values, places })
    }

    /// The place of the endpoint that a request's cookie names, if that may be chosen.
    pub(crate) fn place(&self, head: &RequestHead<'_>) -> Option<usize> {
        let value = std::str::from_utf8(head.cookie(&self.name)?).ok()?;
        let value = u64::from_str_radix(value, 16).ok()?;
        self.places.get(&value).map(|place| *place as usize)
    }

    /// The field that makes a client keep to this endpoint, which is at this place of the set if it is in it.
    pub(crate) fn field(&self, place: usize, endpoint: &Endpoint) -> String {
        let value = self.values.get(place).copied().unwrap_or_else(|| value_of(endpoint.identity()));
        let name = &self.name;
        format!("Set-Cookie: {name}={value:016x}; Path=/; HttpOnly; SameSite=Lax\r\n")
    }
}

fn value_of(identity: &Identity) -> u64 {
    let Identity { service, id, run, scheme, host, port } = identity;
    hash(0, format!("{service}/{id}/{run} {} {host} {port}", scheme.as_str()).as_bytes())
}
