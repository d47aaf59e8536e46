//! Long bodies between two plain sockets, moved inside the kernel.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::stream::Stream;

/// With so much of a body still to come, a pipe is worth its two calls more.
const WORTH_IT_BYTES: u64 = 64 * 1024;

/// What a pipe shall hold. It is as much as an unprivileged user may ask for; with less it works as well.
const PIPE_BYTES: usize = 1024 * 1024;

/// Pipes that are kept while nobody uses them.
const MOST_KEPT: usize = 16;

/// Pipes of one worker. Bodies beyond them are copied.
#[derive(Debug)]
pub(crate) struct Pipes {
    free: RefCell<Vec<Pipe>>,
    open: Rc<Cell<usize>>,
    most: usize,
}

#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    _counted: Counted,
}

/// Counts a pipe out, however it ends.
#[derive(Debug)]
struct Counted(Rc<Cell<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Pipes {
    /// At most so many at once.
    pub(crate) fn new(most: usize) -> Self {
        Self { free: RefCell::default(), open: Rc::default(), most }
    }

    /// A way through the kernel for a body of which so much is still to come, if both sides have one.
    pub(crate) fn splice(&self, left: u64, from: &mut Stream, to: &mut Stream) -> Option<Splice> {
        if left < WORTH_IT_BYTES || !from.can_be_joined() || !to.can_be_joined() {
            return None;
        }
        Some(Splice { pipe: self.take()?, held: 0 })
    }

    /// Files that are open for pipes.
    pub(crate) fn descriptors(&self) -> usize {
        2 * self.open.get()
    }

    fn take(&self) -> Option<Pipe> {
        if let Some(pipe) = self.free.borrow_mut().pop() {
            return Some(pipe);
        }
        if self.open.get() >= self.most {
            return None;
        }
        let (read, write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).ok()?;
        // Refused once the user has many pipes; the ordinary size does.
        let _ = fcntl_setpipe_size(&write, PIPE_BYTES);
        self.open.set(self.open.get() + 1);
        Some(Pipe { read, write, _counted: Counted(Rc::clone(&self.open)) })
    }

    /// Takes the pipe back. One that still holds bytes is of no use to anybody.
    pub(crate) fn give(&self, splice: Splice) {
        let mut free = self.free.borrow_mut();
        if splice.held == 0 && free.len() < MOST_KEPT {
            free.push(splice.pipe);
        }
    }
}

/// A body's way through a pipe. The pipe is filled only when it is empty, so that no answer of the kernel can mean
/// two things.
#[derive(Debug)]
pub(crate) struct Splice {
    pipe: Pipe,
    held: usize,
}

impl Splice {
    /// Whether nothing is in the pipe.
    pub(crate) fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Takes what has arrived, `most` bytes at most. 0 is the end of the stream.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
        most: u64,
    ) -> Poll<io::Result<usize>> {
        let most = usize::try_from(most).map_or(PIPE_BYTES, |most| most.min(PIPE_BYTES));
        loop {
            ready!(from.poll_read_ready(cx))?;
            match from.try_io(Interest::READABLE, || moved(from, &self.pipe.write, most)) {
                Ok(count) => {
                    self.held += count;
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Sends a piece of what is in the pipe.
    pub(crate) fn poll_drain(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<()>> {
        loop {
            ready!(to.poll_write_ready(cx))?;
            match to.try_io(Interest::WRITABLE, || moved(&self.pipe.read, to, self.held)) {
                Ok(count) => {
                    self.held -= count;
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

fn moved(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    Ok(splice(from, None, to, None, most, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?)
}
