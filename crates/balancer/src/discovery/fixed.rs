use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use berth_client::Update;
use berth_model::{Instance, InstanceId, MAX_NAME_BYTES, Meta, Revision, Run, ServiceName, Snapshot, Ttl};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::warn;

use crate::routing::Upstream;
use crate::upstreams::{Said, SourceId};

/// The service that upstreams that are named are part of, for those who look.
const SERVICE: &str = "_upstream";

/// How often a name that cannot be resolved, and a server that does not listen yet, is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// How often a name is looked up again, in case it means another address by now. The system's resolver does not say
/// how long its answers hold.
const LOOK_UP_EVERY: Duration = Duration::from_secs(10);

/// How long a server on this machine may take to accept a connection.
const DIAL_TIMEOUT: Duration = Duration::from_millis(500);

/// Resolves a server's name and says where it is, whenever that changes. A name that
/// cannot be resolved is tried again for ever, and what was known of it holds meanwhile.
pub(super) async fn follow(source: SourceId, upstream: Upstream, said: mpsc::Sender<Said>) {
    if upstream.host.parse::<IpAddr>().is_err() {
        return follow_name(source, &upstream, &said, |host, port| lookup(host.to_owned(), port)).await;
    }
    if let Ok(addresses) = lookup(upstream.host.clone(), upstream.port).await {
        say(source, &said, &upstream, &addresses).await;
    }
}

async fn lookup(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut addresses: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

async fn follow_name<F: Future<Output = io::Result<Vec<SocketAddr>>>>(
    source: SourceId,
    upstream: &Upstream,
    said: &mpsc::Sender<Said>,
    resolve: impl Fn(&str, u16) -> F,
) {
    let (mut known, mut told) = (Vec::new(), false);
    while !said.is_closed() {
        match resolve(&upstream.host, upstream.port).await {
            // `localhost` is one server, and does not move.
            Ok(addresses) if is_here(&addresses) => {
                return follow_here(source, upstream, said, &addresses).await;
            }
            Ok(addresses) => {
                told = false;
                if addresses != known {
                    say(source, said, upstream, &addresses).await;
                    known = addresses;
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    warn!(%upstream, %error, "cannot resolve the upstream's name, trying again");
                }
            }
        }
        tokio::time::sleep(if known.is_empty() { PAUSE } else { LOOK_UP_EVERY }).await;
    }
}

/// Whether there are several addresses and all of them mean this machine.
fn is_here(addresses: &[SocketAddr]) -> bool {
    addresses.len() > 1 && addresses.iter().all(|address| address.ip().to_canonical().is_loopback())
}

/// Names the address of this machine on which the server listens. Until it does, the first is named.
async fn follow_here(source: SourceId, upstream: &Upstream, said: &mpsc::Sender<Said>, here: &[SocketAddr]) {
    let mut told = false;
    loop {
        if let Some(accepting) = first_accepting(here).await {
            return say(source, said, upstream, &[accepting]).await;
        }
        if !std::mem::replace(&mut told, true) {
            say(source, said, upstream, &here[..1]).await;
        }
        tokio::time::sleep(PAUSE).await;
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

async fn say(source: SourceId, said: &mpsc::Sender<Said>, upstream: &Upstream, addresses: &[SocketAddr]) {
    let Ok(service) = SERVICE.parse::<ServiceName>() else { return };
    let instances: Vec<Instance> =
        addresses.iter().filter_map(|address| instance(&service, upstream, *address)).collect();
    let revision = Revision { epoch: 0, sequence: 0 };
    // If nobody listens any more the balancer is ending.
    let _ = said.send((source, Update::Snapshot(Snapshot { revision, instances, ended: Vec::new() }))).await;
}

fn instance(service: &ServiceName, upstream: &Upstream, address: SocketAddr) -> Option<Instance> {
    Some(Instance {
        service: service.clone(),
        id: id(upstream, address)?,
        run: Run::STATIC,
        version: None,
        host: address.ip(),
        port: address.port(),
        scheme: upstream.scheme,
        weight: 1,
        zone: None,
        routes: Vec::new(),
        meta: Meta::default(),
        ttl_s: Ttl::DEFAULT,
        draining: false,
    })
}

/// Two names of one address are one server, unless it is asked for by them.
fn id(upstream: &Upstream, address: SocketAddr) -> Option<InstanceId> {
    // An id has no colons, which IPv6 addresses are full of.
    let plain = |text: String| text.replace([':', '[', ']', '%'], "-").trim_matches('-').to_owned();
    let address = plain(address.to_string());
    let Some(authority) = upstream.authority() else { return address.parse().ok() };
    let mut name = plain(authority);
    // Host names are ASCII, and the longest are longer than an id.
    name.truncate(MAX_NAME_BYTES - address.len() - 1);
    format!("{name}-{address}").parse().ok()
}

#[cfg(test)]
mod tests;
