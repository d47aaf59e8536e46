use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use berth_client::Update;
use berth_model::{Instance, InstanceId, Revision, Run, Scheme, ServiceName, Snapshot, Ttl};
use tokio::net::lookup_host;
use tokio::sync::mpsc;
use tracing::warn;

use crate::config::Upstream;
use crate::upstreams::{Said, SourceIndex};

/// The service that upstreams from the command line are part of, for those who look.
const SERVICE: &str = "_upstream";

/// Resolves an upstream that was named on the command line and says it once. A name that cannot be resolved
/// yet is tried again for ever.
pub(super) async fn follow(source: SourceIndex, upstream: Upstream, said: mpsc::Sender<Said>) {
    let Ok(service) = SERVICE.parse::<ServiceName>() else { return };
    let mut told = false;
    let addresses = loop {
        match lookup_host((upstream.host.as_str(), upstream.port)).await {
            Ok(addresses) => break addresses.collect::<Vec<_>>(),
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    warn!(upstream = %upstream, %error, "cannot resolve the upstream's name, trying again");
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    };
    let mut instances: Vec<Instance> =
        addresses.into_iter().filter_map(|address| instance(&service, address)).collect();
    instances.sort_by_key(Instance::address);
    instances.dedup();
    let revision = Revision { epoch: 0, sequence: 0 };
    // If nobody listens any more the balancer is ending.
    let _ = said.send((source, Update::Snapshot(Snapshot { revision, instances, ended: Vec::new() }))).await;
}

fn instance(service: &ServiceName, address: SocketAddr) -> Option<Instance> {
    // An id has no colons, which IPv6 addresses are full of.
    let id: InstanceId = address.to_string().replace([':', '[', ']'], "-").trim_matches('-').parse().ok()?;
    Some(Instance {
        service: service.clone(),
        id,
        run: Run::STATIC,
        version: None,
        host: address.ip(),
        port: address.port(),
        scheme: Scheme::Http,
        weight: 1,
        zone: None,
        routes: Vec::new(),
        meta: BTreeMap::new(),
        ttl_s: Ttl::DEFAULT,
        draining: false,
    })
}
