use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};

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

/// The same in place of `present`, an address at which this process listens already.
///
/// # Errors
/// As above.
pub(crate) fn bind_in_place_of(
    present: SocketAddr,
    address: SocketAddr,
    workers: usize,
) -> io::Result<(Vec<TcpListener>, SocketAddr)> {
    // Only there it is we who are in the way.
    if overlap(present, address) { bind_beside(address, workers) } else { bind_group(address, workers) }
}

/// Whether a connection may be for both addresses.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |wide: IpAddr, narrow: IpAddr| match wide.to_canonical() {
        IpAddr::V4(wide) => narrow == wide || (wide.is_unspecified() && narrow.is_ipv4()),
        // One socket serves both families.
        IpAddr::V6(wide) => narrow == wide || wide.is_unspecified(),
    };
    let (one_ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() == other.port() && (covers(one_ip, other_ip) || covers(other_ip, one_ip))
}

/// The same where nobody but this process may listen already.
///
/// # Errors
/// The address cannot be bound.
fn bind_beside(address: SocketAddr, workers: usize) -> io::Result<(Vec<TcpListener>, SocketAddr)> {
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

/// Binds as `bind` does; a dual-stack default that is only preferred becomes the IPv4 one on a machine without IPv6.
///
/// # Errors
/// Those of `bind`.
pub(crate) fn with_fallback<T>(
    address: SocketAddr,
    is_preferred: bool,
    bind: impl Fn(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    bind(address).or_else(|error| match without_ipv6(address, &error) {
        Some(fallback) if is_preferred => bind(fallback),
        _ => Err(error),
    })
}

/// Makes a listener deaf to those who begin to connect: the kernel drops their first packet, and they send it again
/// within a second, to whoever listens then. Those who have begun are not touched, and can still be accepted; a
/// listener that is just closed would have them reset.
///
/// # Errors
/// The kernel has no packet filters.
pub(crate) fn refuse_newcomers(listener: &TcpListener) -> io::Result<()> {
    // Classic BPF, which sees a packet from its TCP header on: the flags are its byte 13 (RFC 9293 §3.1).
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const SYN: u32 = 0x02;
    const SYN_OR_ACK: u32 = 0x12;
    SockRef::from(listener).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, 13),
        SockFilter::new(AND, 0, 0, SYN_OR_ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

/// Whether the machine has no IPv6: then a dual-stack default becomes the IPv4 one.
fn without_ipv6(address: SocketAddr, error: &io::Error) -> Option<SocketAddr> {
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

#[cfg(test)]
mod tests {
    use super::overlap;

    #[test]
    fn addresses_that_are_in_each_others_way() {
        for (one, other, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("127.0.0.1:80", "[::]:80", true),
            ("[::1]:80", "[::]:80", true),
            ("[::1]:80", "0.0.0.0:80", false),
            ("0.0.0.0:80", "[::]:80", true),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
        ] {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!((overlap(one, other), overlap(other, one)), (expected, expected), "{one} {other}");
        }
    }
}
