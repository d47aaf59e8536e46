use std::io;
use std::task::{Context, Poll, ready};

use super::stream::Stream;

/// Bytes that a stream did not take at once. While there are any, nothing more is read from the other side:
/// that is the back-pressure.
#[derive(Debug, Default)]
pub(crate) struct Outlet {
    pending: Vec<u8>,
    sent: usize,
}

impl Outlet {
    /// Whether everything has been sent.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.pending.len()
    }

    /// Sends as much as the stream takes and keeps the rest.
    #[inline]
    pub(crate) fn send(&mut self, stream: &mut Stream, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while self.is_empty() && !rest.is_empty() {
            match stream.poll_write(cx, rest) {
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
    pub(crate) fn poll_flush(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            ready!(self.poll_piece(stream, cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends the next piece of what was kept.
    pub(crate) fn poll_piece(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sent += ready!(stream.poll_write(cx, &self.pending[self.sent..]))?;
        Poll::Ready(Ok(()))
    }

    /// Gives the memory back once there is nothing to send.
    pub(crate) fn release(&mut self) {
        if self.pending.capacity() > 0 && self.is_empty() {
            *self = Self::default();
        }
    }
}
