//! The client's side of a connection: what is known of it, and how it is answered and closed.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::task::{Context, Poll};

use berth_http1::PeerText;

use super::deadlines::{Deadline, LAST_CALL};
use super::outlet::Outlet;
use super::per_client::Counted;
use super::shared::Worker;
use super::stream::Stream;
use crate::routing::{Millis, StepTimeouts};

/// After a last answer, what the client still sends is read and dropped for so long, or until it pauses: closing
/// with unread bytes would reset the connection, and the client might never see the answer.
pub(crate) const LONGEST_DISCARD: Millis = Millis::of_secs(30);

/// The client's side of an exchange.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: Stream,
    /// Bytes that came before their time: of the next head.
    pub(crate) ahead: Vec<u8>,
    /// An empty line has been passed over since the last request.
    pub(crate) passed_line: bool,
    /// What the client has not taken yet.
    pub(crate) outlet: Outlet,
    pub(crate) deadline: Deadline,
    /// How long each step of its present request may take; of the last one between two.
    pub(crate) timeouts: StepTimeouts,
    /// The client's address, as text.
    pub(crate) peer: PeerText,
    /// The same as it is: it decides whether the client may say whom it forwards for.
    pub(crate) peer_address: IpAddr,
    /// Counts it for its address; none where nothing is limited by that.
    pub(crate) counted: Option<Box<Counted>>,
}

/// How an exchange left the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another request may follow.
    Continue,
    /// The answer was the last, and the client has said that it has nothing to add.
    End,
    /// The answer was the last; the client may still be sending.
    Close,
    /// Something broke off: the client must be able to tell that it did not get everything.
    Abort,
}

impl Client {
    pub(crate) fn new(worker: &Worker, stream: TcpStream, peer: SocketAddr) -> Self {
        Self {
            stream: Stream::New(stream),
            ahead: Vec::new(),
            passed_line: false,
            outlet: Outlet::default(),
            deadline: worker.deadlines.register(),
            timeouts: worker.timeouts(),
            peer: PeerText::of(peer.ip()),
            peer_address: peer.ip(),
            counted: None,
        }
    }

    /// Answers with a status of our own. False: the client did not take all of it.
    pub(crate) async fn answer(&mut self, worker: &Worker, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut bytes = worker.buffers.take();
        write(&mut bytes);
        self.deadline.set(self.timeouts.send);
        let begun = poll_fn(|cx| Poll::Ready(self.outlet.send(&mut self.stream, cx, &bytes))).await;
        worker.buffers.give(bytes);
        if begun.is_err() {
            return false;
        }
        poll_fn(|cx| match self.outlet.poll_flush(&mut self.stream, cx) {
            Poll::Ready(sent) => Poll::Ready(sent.is_ok()),
            Poll::Pending => self.poll_late().map(|()| false),
        })
        .await
    }

    /// Closes after the last answer, so that the client gets all of it also when it is still sending, which it may
    /// for so long.
    pub(crate) async fn close(&mut self, worker: &Worker, longest: Millis) {
        // What is read directly could keep the thread for as long as the client goes on.
        if !self.stream.can_be_joined() || poll_fn(|cx| self.stream.poll_end(cx)).await.is_err() {
            return;
        }
        let end_ms = worker.deadlines.now_ms() + longest.get();
        self.deadline.set(LAST_CALL);
        poll_fn(|cx| {
            let mut scratch = worker.scratch.borrow_mut();
            loop {
                match self.stream.poll_read(cx, &mut scratch) {
                    Poll::Ready(Ok(count)) if count > 0 && worker.deadlines.now_ms() < end_ms => {
                        self.deadline.set(LAST_CALL);
                    }
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return self.poll_late(),
                }
            }
        })
        .await;
    }

    /// Whether the connection has broken while the client has nothing to say. One that has only said its last
    /// word still waits for its answer.
    #[inline]
    pub(crate) fn is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        self.stream.is_broken(cx)
    }

    /// Whether the client has gone while it waits for its turn. One that has said its last word has as well: hardly
    /// anybody ends one direction and waits on the other, and for everybody else the place in the queue is lost.
    pub(crate) fn has_left(&mut self, cx: &mut Context<'_>) -> bool {
        if self.deadline.takes_look() {
            // What it has sent may hide the end from the runtime: it is looked for again and again.
            self.deadline.look_later();
        }
        self.stream.has_ended(cx)
    }

    /// Prepares for its next request. From now on the kernel is asked for events before it is read: among them are
    /// those that tell which idle upstream connections have ended meanwhile.
    #[inline]
    pub(crate) fn can_go_on(&mut self) -> bool {
        self.outlet.release();
        self.stream.can_be_joined()
    }

    /// Whether it has sent more than it was asked for. An end is not more.
    pub(crate) fn has_sent_more(&mut self) -> bool {
        !self.ahead.is_empty() || self.stream.has_bytes()
    }

    /// Resets the connection: whatever arrived is not the whole.
    pub(crate) fn abort(&self) {
        self.stream.reset_on_close();
    }

    /// Whether the deadline has passed, for a poll that has nothing else to return.
    pub(crate) fn poll_late(&self) -> Poll<()> {
        if self.deadline.is_over() { Poll::Ready(()) } else { Poll::Pending }
    }
}
