use berth_client::{RegistryAddress, Update, Watch};
use tokio::net::lookup_host;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::filter::Filter;
use crate::upstreams::{Said, SourceId};

/// Follows one registry for ever and passes on what concerns us.
pub(super) async fn follow(
    source: SourceId,
    address: RegistryAddress,
    token: Option<String>,
    mut filter: Filter,
    said: mpsc::Sender<Said>,
) {
    let mut watch = Watch::start(address.clone(), token, filter.service());
    let mut away = true;
    loop {
        let update = match watch.next().await {
            Update::Snapshot(mut snapshot) => {
                if std::mem::replace(&mut away, false) {
                    info!(registry = %address, revision = %snapshot.revision, "following the registry");
                }
                filter.set_registry_is_here(is_here(&address).await);
                snapshot.instances.retain(|instance| filter.admits(instance));
                Update::Snapshot(snapshot)
            }
            Update::Change(change) => Update::Change(filter.pass(change)),
            Update::Away { why } => {
                away = true;
                warn!(registry = %address, why, "the registry is away; keeping the last list and trying again");
                Update::Away { why }
            }
        };
        if said.send((source, update)).await.is_err() {
            return;
        }
    }
}

/// Whether the registry runs on this machine, so that its loopback is ours.
async fn is_here(address: &RegistryAddress) -> bool {
    let resolved = lookup_host((address.host(), address.port())).await;
    resolved.is_ok_and(|mut addresses| addresses.all(|address| address.ip().to_canonical().is_loopback()))
}
