use std::net::SocketAddr;
use std::time::Duration;

use berth_client::Update;
use berth_model::{Instance, InstanceId, Meta, Revision, Run, Scheme, ServiceName, Snapshot, Ttl};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::warn;

use crate::config::Upstream;
use crate::upstreams::{Said, SourceIndex};

/// The service that upstreams from the command line are part of, for those who look.
const SERVICE: &str = "_upstream";

/// How often a name is looked up again, and a server that does not listen yet is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a server on this machine may take to accept a connection.
const DIAL_TIMEOUT: Duration = Duration::from_millis(500);

/// Resolves an upstream that was named on the command line and says where it is. A name that cannot be resolved
/// yet is tried again for ever.
pub(super) async fn follow(source: SourceIndex, upstream: Upstream, said: mpsc::Sender<Said>) {
    let addresses = resolve(&upstream).await;
    let here: Vec<SocketAddr> =
        addresses.iter().copied().filter(|address| address.ip().to_canonical().is_loopback()).collect();
    if here.len() < 2 || here.len() < addresses.len() {
        return say(source, &said, &addresses).await;
    }
    // `localhost` is one server, whichever of its addresses that listens on. Until it does, the first is named.
    let mut told = false;
    loop {
        if let Some(accepting) = first_accepting(&here).await {
            return say(source, &said, &[accepting]).await;
        }
        if !std::mem::replace(&mut told, true) {
            say(source, &said, &here[..1]).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn resolve(upstream: &Upstream) -> Vec<SocketAddr> {
    let mut told = false;
    loop {
        match lookup_host((upstream.host.as_str(), upstream.port)).await {
            Ok(addresses) => {
                let mut addresses: Vec<SocketAddr> = addresses.collect();
                addresses.sort_unstable();
                addresses.dedup();
                return addresses;
            }
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    warn!(upstream = %upstream, %error, "cannot resolve the upstream's name, trying again");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn first_accepting(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    for address in addresses {
        if let Ok(Ok(_)) = timeout(DIAL_TIMEOUT, TcpStream::connect(address)).await {
            return Some(*address);
        }
    }
    None
}

async fn say(source: SourceIndex, said: &mpsc::Sender<Said>, addresses: &[SocketAddr]) {
    let Ok(service) = SERVICE.parse::<ServiceName>() else { return };
    let instances: Vec<Instance> =
        addresses.iter().filter_map(|address| instance(&service, *address)).collect();
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
        meta: Meta::default(),
        ttl_s: Ttl::DEFAULT,
        draining: false,
    })
}
