use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::RegistryAddress;

/// How long the resolver may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// The address at which others reach a listener that is bound to `bound`, as seen from a registry.
///
/// That is the bound address itself, or, where it is unspecified, the local end of the way to the registry.
/// All of loopback counts as 127.0.0.1, so that a registry named `localhost` and one named `[::1]` see the same
/// instance.
pub(super) async fn reachable_host(bound: IpAddr, registry: &RegistryAddress) -> io::Result<IpAddr> {
    if !bound.is_unspecified() {
        return Ok(bound.to_canonical());
    }
    let resolved = timeout(RESOLVE_TIMEOUT, lookup_host((registry.host(), registry.port())))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "its name was not resolved in time"))??;
    let mut last_error =
        io::Error::new(io::ErrorKind::NotFound, "its name has no address that this host can use");
    for target in resolved.filter(|target| can_accept(bound, target.ip())) {
        match local_end(target) {
            Ok(local) if local.is_loopback() => return Ok(Ipv4Addr::LOCALHOST.into()),
            Ok(local) => return Ok(local),
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

/// A listener on 0.0.0.0 is not reached over IPv6, except that all of loopback becomes 127.0.0.1.
fn can_accept(bound: IpAddr, target: IpAddr) -> bool {
    bound.is_ipv6() || target.to_canonical().is_ipv4() || target.is_loopback()
}

/// Connecting a datagram socket sends nothing: it only asks the routing table.
fn local_end(target: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr =
        if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    Ok(socket.local_addr()?.ip().to_canonical())
}
