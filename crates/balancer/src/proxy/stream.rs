//! Reading from and writing to a socket within one poll.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Reads what is there into `into`, at most once. 0 is the end of the stream.
#[inline]
pub(crate) fn poll_read(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    into: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(into);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

/// Writes what the socket takes of `bytes`, at most once.
#[inline]
pub(crate) fn poll_write(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(stream).poll_write(cx, bytes)) {
        Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        other => Poll::Ready(other),
    }
}

/// Bytes that a socket did not take at once. While there are any, nothing more is read from the other side:
/// that is the back-pressure.
#[derive(Debug, Default)]
pub(crate) struct Outlet {
    pending: Vec<u8>,
    sent: usize,
}

impl Outlet {
    /// Whether everything has been sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.pending.len()
    }

    /// Sends as much as the socket takes and keeps the rest.
    #[inline]
    pub(crate) fn send(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> io::Result<()> {
        let mut rest = bytes;
        while self.is_empty() && !rest.is_empty() {
            match poll_write(stream, cx, rest) {
                Poll::Ready(Ok(count)) => rest = &rest[count..],
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        if !rest.is_empty() {
            self.keep(rest);
        }
        Ok(())
    }

    #[cold]
    fn keep(&mut self, rest: &[u8]) {
        if self.is_empty() {
            self.pending.clear();
            self.sent = 0;
        }
        self.pending.extend_from_slice(rest);
    }

    /// Sends what was kept.
    pub(crate) fn poll_flush(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            ready!(self.poll_piece(stream, cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends the next piece of what was kept.
    pub(crate) fn poll_piece(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.sent += ready!(poll_write(stream, cx, &self.pending[self.sent..]))?;
        Poll::Ready(Ok(()))
    }

    /// Gives the memory back; between two exchanges there is nothing to send.
    pub(crate) fn release(&mut self) {
        if self.pending.capacity() > 0 {
            *self = Self::default();
        }
    }
}
