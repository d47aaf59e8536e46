//! A look at an endpoint: one question on a new connection.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use berth_fleet::Probed;
use berth_model::Scheme;
use berth_pick::Endpoint;
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::routing::ProbeKind;
use crate::tls::UpstreamTls;

#[cfg(test)]
mod tests;

/// What may come before the last status line is whole.
const MOST_BYTES: usize = 16 * 1024;

/// Most answers fit in as a whole. What is unread at the end has the kernel reset the connection.
const READ_BYTES: usize = 1024;

/// Statuses from here on are final.
const FIRST_FINAL: u16 = 200;

/// Asks an endpoint, on a connection like those of requests, and waits so long for all of it. None: it could not be
/// asked, for want of something here.
pub(crate) async fn probe(
    endpoint: &Endpoint,
    kind: &ProbeKind,
    timeout: Duration,
    tls: &UpstreamTls,
) -> Option<Probed> {
    let mut status = None;
    let asked = tokio::time::timeout(timeout, ask(endpoint, kind, tls, &mut status)).await;
    match (asked, status) {
        (Ok(Ok(())), _) | (_, Some(_)) => {
            Some(Probed::Answered { status, is_expected: is_expected(kind, status) })
        }
        // The network may not be up yet, which is no reason to forget anybody.
        (Ok(Err(error)), None) if is_our_own(&error) || is(&error, Errno::NETUNREACH) => None,
        (Ok(Err(error)), None) if error.kind() == io::ErrorKind::ConnectionRefused => Some(Probed::Refused),
        _ => Some(Probed::Unanswered),
    }
}

/// Whether a connection could not be opened for want of something here: that says nothing about the endpoint.
#[cold]
pub(crate) fn is_our_own(error: &io::Error) -> bool {
    const OWN: [Errno; 7] = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRNOTAVAIL,
        Errno::AGAIN,
        Errno::PERM,
    ];
    OWN.iter().any(|own| is(error, *own))
}

fn is(error: &io::Error, code: Errno) -> bool {
    error.raw_os_error() == Some(code.raw_os_error())
}

fn is_expected(kind: &ProbeKind, status: Option<u16>) -> bool {
    match kind {
        ProbeKind::Head | ProbeKind::Connect => true,
        ProbeKind::Get { expect, .. } => {
            status.is_some_and(|status| expect.iter().any(|statuses| statuses.contains(&status)))
        }
    }
}

/// `status` has the newest one at any time: one that is not final proves life as well.
async fn ask(
    endpoint: &Endpoint,
    kind: &ProbeKind,
    tls: &UpstreamTls,
    status: &mut Option<u16>,
) -> io::Result<()> {
    let mut stream = TcpStream::connect(endpoint.address()).await?;
    if is_itself(&stream) {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let Some(question) = question(endpoint, kind) else { return Ok(()) };
    // Whatever it is, it answers `HEAD`.
    let will_do = if *kind == ProbeKind::Head { 0 } else { FIRST_FINAL };
    match endpoint.identity().scheme {
        Scheme::Http => exchange(&mut stream, &question, will_do, status).await,
        Scheme::Https => {
            let mut stream = tls.connect(endpoint, stream).await?;
            exchange(&mut stream, &question, will_do, status).await?;
            // So that the other side does not take it for an attack; what does not go at once may be lost.
            poll_fn(|cx| Poll::Ready(Pin::new(&mut stream).poll_shutdown(cx).is_ready())).await;
            Ok(())
        }
    }
}

/// A port of our own machine that nobody listens on may be chosen for our end too, and the connection leads to itself.
fn is_itself(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(ours), Ok(theirs)) if ours == theirs)
}

fn question(endpoint: &Endpoint, kind: &ProbeKind) -> Option<String> {
    let (method, path, host) = match kind {
        ProbeKind::Head => ("HEAD", "/", None),
        ProbeKind::Get { path, host, .. } => ("GET", path.as_str(), host.as_deref()),
        ProbeKind::Connect => return None,
    };
    let address;
    let host = match host.or(endpoint.authority()) {
        Some(host) => host,
        None => {
            address = endpoint.address().to_string();
            &address
        }
    };
    Some(format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: berth-balancer\r\nConnection: close\r\n\r\n"
    ))
}

/// Asks, and reads up to a status line whose status is at least `will_do`.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    question: &str,
    will_do: u16,
    status: &mut Option<u16>,
) -> io::Result<()> {
    stream.write_all(question.as_bytes()).await?;
    stream.flush().await?;
    let mut bytes = [0; READ_BYTES];
    let (mut heads, mut seen) = (Heads::StatusLine { at: 0, status: 0 }, 0);
    while seen < MOST_BYTES {
        let count = stream.read(&mut bytes).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        seen += count;
        for byte in &bytes[..count] {
            if let Some(found) = heads.read(*byte)? {
                *status = Some(found);
                if found >= will_do {
                    return Ok(());
                }
            }
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// Reads heads one after the other, only for the sake of their status lines (RFC 9112 §4).
#[derive(Clone, Copy, Debug)]
enum Heads {
    /// In front of the end of the status.
    StatusLine {
        at: usize,
        status: u16,
    },
    /// Behind it.
    Reason {
        status: u16,
        is_first: bool,
    },
    Fields {
        is_empty: bool,
    },
}

impl Heads {
    /// The status if this byte ends a status line.
    fn read(&mut self, byte: u8) -> io::Result<Option<u16>> {
        let malformed = || Err(io::ErrorKind::InvalidData.into());
        match self {
            Heads::StatusLine { at, status } => {
                let fits = match *at {
                    7 => matches!(byte, b'0' | b'1'),
                    9 => matches!(byte, b'1'..=b'9'),
                    10 | 11 => byte.is_ascii_digit(),
                    at => byte == b"HTTP/1.  "[at],
                };
                if !fits {
                    return malformed();
                }
                if *at >= 9 {
                    *status = *status * 10 + u16::from(byte - b'0');
                }
                *at += 1;
                if *at == 12 {
                    *self = Heads::Reason { status: *status, is_first: true };
                }
            }
            Heads::Reason { status, .. } if byte == b'\n' => {
                let status = *status;
                *self = Heads::Fields { is_empty: true };
                return Ok(Some(status));
            }
            Heads::Reason { is_first: true, .. } if !matches!(byte, b' ' | b'\r') => return malformed(),
            Heads::Reason { is_first, .. } => *is_first = false,
            Heads::Fields { is_empty: true } if byte == b'\n' => {
                *self = Heads::StatusLine { at: 0, status: 0 };
            }
            Heads::Fields { is_empty } if byte != b'\r' => *is_empty = byte == b'\n',
            Heads::Fields { .. } => {}
        }
        Ok(None)
    }
}
