use berth_client::{RegistryAddress, Update, Watch};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::filter::Filter;
use crate::upstreams::{Said, SourceIndex};

/// Follows one registry for ever and passes on what concerns us.
pub(super) async fn follow(
    source: SourceIndex,
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
                snapshot.instances.retain(|instance| filter.admits(instance));
                Update::Snapshot(snapshot)
            }
            Update::Change(change) if filter.admits(&change.instance) => Update::Change(change),
            Update::Change(_) => continue,
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
