//! A connection, plain or inside TLS, read and written within one poll.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A connection to a client or an upstream.
#[derive(Debug)]
pub(crate) enum Stream {
    /// From a client that has just been accepted. It is read and written directly until it has to be waited for:
    /// one that brings its only request along never needs the runtime's attention, nor the calls to get it.
    New(std::net::TcpStream),
    /// The runtime would not take it.
    Lost,
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

    /// Has the runtime wait for it from now on.
    #[cold]
    fn register(&mut self) -> io::Result<()> {
        *self = match std::mem::replace(self, Stream::Lost) {
            Stream::New(socket) => Stream::Plain(TcpStream::from_std(socket)?),
            other => other,
        };
        Ok(())
    }

    /// Reads what is there into `into`, at most once. 0 is the end of the stream.
    #[inline]
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Stream::New(socket) = self {
            match socket.read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.register()?,
                other => return Poll::Ready(other),
            }
        }
        let mut buffer = ReadBuf::new(into);
        let read = match self {
            Stream::New(_) | Stream::Lost => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Stream::Tls(tls) => Pin::new(&mut tls.stream).poll_read(cx, &mut buffer),
        };
        ready!(read)?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Writes what the socket takes of `bytes`, at most once.
    #[inline]
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Stream::New(socket) = self {
            match socket.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.register()?,
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                other => return Poll::Ready(other),
            }
        }
        let written = match self {
            Stream::New(_) | Stream::Lost => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
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
            Stream::New(_) | Stream::Lost | Stream::Plain(_) => Poll::Ready(Ok(())),
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
            Stream::New(socket) => Poll::Ready(socket.shutdown(std::net::Shutdown::Write)),
            Stream::Lost => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(&mut tls.stream).poll_shutdown(cx),
        }
    }

    /// Has the connection reset when it is dropped, whatever it still has to send.
    pub(crate) fn reset_on_close(&self) {
        if let Some(socket) = self.socket() {
            // Without the option it ends in the ordinary way.
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }

    /// Whether nothing has arrived: not the end, and no bytes that nobody asked for. It costs no system call unless
    /// something has.
    pub(crate) fn is_silent(&mut self) -> bool {
        let read = match self {
            Stream::New(socket) => return would_block(socket.read(&mut [0])),
            Stream::Lost => return false,
            Stream::Plain(stream) => return would_block(stream.try_read(&mut [0])),
            // What came may be a ticket for the next session, which TLS keeps to itself.
            Stream::Tls(tls) => {
                let mut cx = Context::from_waker(Waker::noop());
                Pin::new(&mut tls.stream).poll_read(&mut cx, &mut ReadBuf::new(&mut [0]))
            }
        };
        read.is_pending()
    }

    /// Whether anything has arrived, also what the runtime has not heard of yet. It costs a system call.
    #[cold]
    pub(crate) fn has_spoken(&self) -> bool {
        let mut first = [MaybeUninit::uninit()];
        let Some(socket) = self.socket() else { return true };
        !would_block(socket.peek(&mut first))
    }

    /// Whether bytes have arrived that were not read. One of them is lost by asking.
    pub(crate) fn has_bytes(&mut self) -> bool {
        let read = match self {
            Stream::New(socket) => socket.read(&mut [0]),
            Stream::Plain(stream) => stream.try_read(&mut [0]),
            Stream::Lost => return false,
            // Only a client is asked, and none speaks TLS.
            Stream::Tls(_) => return true,
        };
        matches!(read, Ok(1..))
    }

    /// Whether the connection is broken. Asked of the kernel only when something has arrived.
    #[inline]
    pub(crate) fn is_broken(&mut self, cx: &mut Context<'_>) -> bool {
        let ready = match self {
            Stream::New(_) => return self.register().is_err() || self.is_broken(cx),
            Stream::Lost => return true,
            Stream::Plain(stream) => stream.poll_read_ready(cx),
            Stream::Tls(tls) => tls.stream.get_ref().0.poll_read_ready(cx),
        };
        // Ready for once: there is something to read, an end, or an error. Only the kernel can tell which.
        ready.is_ready()
            && self.socket().is_none_or(|socket| matches!(socket.take_error(), Err(_) | Ok(Some(_))))
    }

    /// Whether the other side has nothing more to say, or the connection is broken. Bytes that were not read do not hide
    /// that, but whoever waits is not woken by what comes behind them.
    pub(crate) fn has_ended(&mut self, cx: &mut Context<'_>) -> bool {
        if let Stream::New(_) = self
            && self.register().is_err()
        {
            return true;
        }
        let Stream::Plain(stream) = self else {
            // Only a client is asked, and none speaks TLS.
            return true;
        };
        if stream.poll_peek(cx, &mut ReadBuf::new(&mut [0])).is_pending() {
            return false;
        }
        let now = rustix::time::Timespec::default();
        rustix::event::poll(&mut [PollFd::new(stream, PollFlags::RDHUP)], Some(&now)) != Ok(0)
    }

    /// Whether its bytes are those of a socket that can be waited for, if need be from now on.
    pub(crate) fn can_be_joined(&mut self) -> bool {
        match self {
            Stream::New(_) => self.register().is_ok(),
            Stream::Plain(_) => true,
            Stream::Lost | Stream::Tls(_) => false,
        }
    }

    /// The socket, if its bytes are the stream's and it is waited for by the runtime.
    #[inline]
    pub(crate) fn plain(&self) -> Option<&TcpStream> {
        match self {
            Stream::Plain(stream) => Some(stream),
            Stream::New(_) | Stream::Lost | Stream::Tls(_) => None,
        }
    }

    /// The address that the other side connected to.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        self.socket()?.local_addr().ok()?.as_socket()
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        match self {
            Stream::New(socket) => Some(SockRef::from(socket)),
            Stream::Lost => None,
            Stream::Plain(stream) => Some(SockRef::from(stream)),
            Stream::Tls(tls) => Some(SockRef::from(tls.stream.get_ref().0)),
        }
    }
}

fn would_block(read: io::Result<usize>) -> bool {
    matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
