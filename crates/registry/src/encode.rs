use std::sync::Arc;

use berth_model::{Change, Ended, Instance, Revision, Tick};
use berth_web::event;
use bytes::Bytes;
use serde::Serialize;

/// [`berth_model::Snapshot`] without copying the instances.
#[derive(Serialize)]
struct SnapshotData<'a> {
    revision: Revision,
    instances: Vec<&'a Instance>,
    ended: Vec<Ended>,
}

/// The event `snapshot`.
pub(crate) fn snapshot<'a>(
    revision: Revision,
    instances: impl Iterator<Item = &'a Arc<Instance>>,
    ended: impl Iterator<Item = Ended>,
) -> Bytes {
    let instances = instances.map(AsRef::as_ref).collect();
    named("snapshot", revision, &SnapshotData { revision, instances, ended: ended.collect() })
}

/// The event `change`.
pub(crate) fn change(change: &Change) -> Bytes {
    named("change", change.revision, change)
}

/// The event `tick`.
pub(crate) fn tick(revision: Revision) -> Bytes {
    named("tick", revision, &Tick { revision })
}

/// Any event by its name.
pub(crate) fn named(name: &str, revision: Revision, data: &impl Serialize) -> Bytes {
    // Structs of strings and numbers always have a JSON form.
    let data = serde_json::to_string(data).unwrap_or_default();
    event(&revision.to_string(), name, &data)
}
