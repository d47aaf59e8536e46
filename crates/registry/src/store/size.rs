//! What things hold, about: the instance, its JSON, and what goes with them.

use berth_model::{Instance, Registration};

const FIXED_BYTES: usize = 1024;
const PART_BYTES: usize = 128;

pub(super) fn size_bytes(instance: &Instance) -> usize {
    FIXED_BYTES + meta_bytes(instance.meta.iter()) + routes_bytes(&instance.routes)
}

pub(super) fn offered_bytes(registration: &Registration) -> usize {
    let meta = registration.meta.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    FIXED_BYTES + meta_bytes(meta) + routes_bytes(&registration.routes)
}

pub(super) fn meta_bytes<'a>(meta: impl Iterator<Item = (&'a str, &'a str)>) -> usize {
    meta.map(|(name, value)| PART_BYTES + 2 * (name.len() + value.len())).sum()
}

fn routes_bytes(routes: &[String]) -> usize {
    routes.iter().map(|route| PART_BYTES + 2 * route.len()).sum()
}
