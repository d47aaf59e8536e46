//! A connection, plain or inside TLS, read and written within one poll.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A connection to a client or an upstream.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    /// To an upstream. On the heap: it is large, and most streams are plain.
    Tls(Box<Tls>),
}

#[derive(Debug)]
pub(crate) struct Tls {
    stream: TlsStream<TcpStream>,
    /// Records may be left that the socket has not taken.
    unflushed: bool,
}

impl Stream {
    pub(crate) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Stream::Tls(Box::new(Tls { stream, unflushed: false }))
    }

    /// Reads what is there into `into`, at most once. 0 is the end of the stream.
    #[inline]
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(into);
        let read = match self {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Stream::Tls(tls) => Pin::new(&mut tls.stream).poll_read(cx, &mut buffer),
        };
        ready!(read)?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Writes what the socket takes of `bytes`, at most once.
    #[inline]
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match self {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(tls) => {
                tls.unflushed = true;
                Pin::new(&mut tls.stream).poll_write(cx, bytes)
            }
        };
        match ready!(written) {
            Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            other => Poll::Ready(other),
        }
    }

    /// Sends what was taken by [`Self::poll_write`] and lies in a buffer of TLS.
    #[inline]
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(_) => Poll::Ready(Ok(())),
            Stream::Tls(tls) if !tls.unflushed => Poll::Ready(Ok(())),
            Stream::Tls(tls) => {
                ready!(Pin::new(&mut tls.stream).poll_flush(cx))?;
                tls.unflushed = false;
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Tells the other side that nothing more will come.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(&mut tls.stream).poll_shutdown(cx),
        }
    }

    /// Has the connection reset when it is dropped, whatever it still has to send.
    pub(crate) fn reset_on_close(&self) {
        // Without the option it ends in the ordinary way.
        let _ = socket2::SockRef::from(self.socket()).set_linger(Some(Duration::ZERO));
    }

    /// Whether nothing has arrived: not the end, and no bytes that nobody asked for. It costs no system call unless
    /// something has.
    pub(crate) fn is_silent(&mut self) -> bool {
        let read = match self {
            Stream::Plain(stream) => {
                let read = stream.try_read(&mut [0]);
                return matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
            }
            // What came may be a ticket for the next session, which TLS keeps to itself.
            Stream::Tls(tls) => {
                let mut cx = Context::from_waker(Waker::noop());
                Pin::new(&mut tls.stream).poll_read(&mut cx, &mut ReadBuf::new(&mut [0]))
            }
        };
        read.is_pending()
    }

    /// Whether the connection is broken. Asked of the kernel only when something has arrived.
    #[inline]
    pub(crate) fn is_broken(&self, cx: &mut Context<'_>) -> bool {
        let socket = self.socket();
        // Ready for once: there is something to read, an end, or an error. Only the kernel can tell which.
        socket.poll_read_ready(cx).is_ready() && matches!(socket.take_error(), Err(_) | Ok(Some(_)))
    }

    /// The socket, if its bytes are the stream's.
    #[inline]
    pub(crate) fn plain(&self) -> Option<&TcpStream> {
        match self {
            Stream::Plain(stream) => Some(stream),
            Stream::Tls(_) => None,
        }
    }

    /// The socket.
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(stream) => stream,
            Stream::Tls(tls) => tls.stream.get_ref().0,
        }
    }
}
