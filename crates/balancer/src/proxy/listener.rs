use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// So much may wait in the kernel for a client before it is written to no more.
const UNSENT_BYTES: u32 = 256 * 1024;

/// Binds one listening socket per worker to the same address; the kernel spreads the connections over them.
/// Returns the address as well, which port 0 leaves to the system.
///
/// # Errors
/// The address cannot be bound: it is in use, also by another balancer, or not ours.
pub(crate) fn bind_group(address: SocketAddr, workers: usize) -> io::Result<(Vec<TcpListener>, SocketAddr)> {
    bind_beside(claim(address)?, workers)
}

/// The same where nobody but this process may listen already.
///
/// # Errors
/// The address cannot be bound.
pub(crate) fn bind_beside(address: SocketAddr, workers: usize) -> io::Result<(Vec<TcpListener>, SocketAddr)> {
    let mut listeners = Vec::with_capacity(workers);
    for _ in 0..workers {
        let socket = open(address)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        // What is accepted inherits these. Small answers must not wait for an acknowledgement.
        socket.set_tcp_nodelay(true)?;
        // Without it a slow reader would find megabytes in the kernel, and nothing would show that it reads.
        socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
        socket.listen(BACKLOG)?;
        listeners.push(socket.into());
    }
    Ok((listeners, address))
}

/// Whether the machine has no IPv6: then a dual-stack default becomes the IPv4 one.
pub(crate) fn without_ipv6(address: SocketAddr, error: &io::Error) -> Option<SocketAddr> {
    let missing = matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::AddrNotAvailable)
        || error.raw_os_error() == Some(97);
    (missing && address.is_ipv6() && address.ip().is_unspecified())
        .then(|| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()))
}

/// Makes sure that nobody else listens there. With SO_REUSEPORT alone a second balancer would silently take
/// half of the first one's connections.
fn claim(address: SocketAddr) -> io::Result<SocketAddr> {
    let socket = open(address)?;
    socket.bind(&address.into())?;
    socket.listen(1)?;
    socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // One socket serves both families.
        socket.set_only_v6(false)?;
    }
    // A port whose last connections are still fading out is free.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
