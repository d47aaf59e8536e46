use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::anyhow;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

const BACKLOG: i32 = 1024;

/// Listens on all addresses of both families, or of IPv4 alone where there is no IPv6. Port 0 takes a free one.
pub(crate) fn bind(port: u16) -> anyhow::Result<TcpListener> {
    let dual = listen((Ipv6Addr::UNSPECIFIED, port).into());
    let listener = match dual {
        Err(error) if !matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied) => {
            listen((Ipv4Addr::UNSPECIFIED, port).into())
        }
        other => other,
    };
    listener.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "port {port} is in use. Stop what listens there, or choose another with --port; --port 0 takes a free one"
        ),
        ErrorKind::PermissionDenied => {
            anyhow!("port {port} may not be used by this user. Choose one from 1024 up with --port")
        }
        _ => anyhow::Error::new(error).context(format!("cannot listen on port {port}")),
    })
}

/// The address to show for one that is bound: what listens everywhere is reached on loopback.
pub(crate) fn shown(bound: SocketAddr) -> SocketAddr {
    if bound.ip().is_unspecified() { (Ipv4Addr::LOCALHOST, bound.port()).into() } else { bound }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A restart need not wait for the old connections to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}
