//! One client's connection: its heads, one after the other, until either side has enough.

use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use berth_http1::forward::{Answer, Downstream, Origin, peer_text, write_answer, write_request};
use berth_http1::{Refusal, RequestHead, Version, field_space};
use std::future::poll_fn;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::deadlines::Deadline;
use super::exchange;
use super::failure::Failure;
use super::record::LoggedLine;
use super::request::Request;
use super::stream::{Outlet, poll_read};
use super::worker::Worker;

/// After a refusal, so many bytes that the client still sends are read and dropped: closing with unread bytes
/// would reset the connection, and the client might never see why.
const MOST_DISCARDED_BYTES: usize = 256 * 1024;

/// The client's side of an exchange.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// Bytes that came before their time: of the next head.
    pub(crate) ahead: Vec<u8>,
    /// What the client has not taken yet.
    pub(crate) outlet: Outlet,
    pub(crate) deadline: Deadline,
    /// The client's address, as text.
    pub(crate) peer: String,
    /// Whether it may say whom it forwards for.
    trusted: bool,
}

/// How an exchange left the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another request may follow.
    Continue,
    /// The answer was the last; the client may still be sending.
    Close,
    /// Something broke off: the client must be able to tell that it did not get everything.
    Abort,
}

/// What came instead of a request.
#[derive(Debug)]
enum NoRequest {
    /// The client closed, or stayed away too long.
    End,
    /// It sent something that is not accepted.
    Refused(Refusal),
    /// It began a head, and did not finish it in time.
    Late,
    /// The body that came with the head is broken.
    BadBody(Failure),
}

/// Serves one client until its connection ends.
pub(crate) async fn serve(worker: Rc<Worker>, stream: TcpStream, peer: SocketAddr) {
    // Small answers must not wait for an acknowledgement; without this option they are only slower.
    let _ = stream.set_nodelay(true);
    let mut client = Client {
        stream,
        ahead: Vec::new(),
        outlet: Outlet::default(),
        deadline: worker.deadlines.register(),
        peer: peer_text(peer.ip()),
        trusted: worker.settings.trusts(peer.ip()),
    };
    poll_fn(|cx| {
        client.deadline.attach(cx);
        Poll::Ready(())
    })
    .await;
    loop {
        match client.next_request(&worker).await {
            Ok(request) => match exchange::run(&worker, &mut client, request).await {
                Next::Continue => client.outlet.release(),
                Next::Close => return client.close(&worker).await,
                Next::Abort => return client.abort(),
            },
            Err(NoRequest::End) => return,
            Err(problem) => return client.refuse(&worker, problem).await,
        }
    }
}

impl Client {
    /// Reads the next head and turns it into the request that goes upstream.
    async fn next_request(&mut self, worker: &Worker) -> Result<Request, NoRequest> {
        if self.ahead.is_empty() {
            let idle = &worker.settings.timeouts.idle;
            self.deadline.set_idle(if worker.draining.get() { (*idle).min(super::LAST_CALL) } else { *idle });
        } else {
            self.deadline.set(worker.settings.timeouts.head);
            let ahead = std::mem::take(&mut self.ahead);
            if let Some(request) = self.parse(worker, &ahead)? {
                return Ok(request);
            }
            self.ahead = ahead;
        }
        poll_fn(|cx| self.poll_request(cx, worker)).await
    }

    fn poll_request(&mut self, cx: &mut Context<'_>, worker: &Worker) -> Poll<Result<Request, NoRequest>> {
        loop {
            let mut scratch = worker.scratch.borrow_mut();
            let Poll::Ready(read) = poll_read(&mut self.stream, cx, &mut scratch) else {
                ready!(self.poll_late());
                let late = if self.ahead.is_empty() { NoRequest::End } else { NoRequest::Late };
                return Poll::Ready(Err(late));
            };
            let bytes = match read {
                Ok(count) if count > 0 => &scratch[..count],
                _ => return Poll::Ready(Err(NoRequest::End)),
            };
            if self.ahead.is_empty() {
                if let Some(request) = self.parse(worker, bytes)? {
                    return Poll::Ready(Ok(request));
                }
                self.deadline.set(worker.settings.timeouts.head);
                self.ahead.extend_from_slice(bytes);
                continue;
            }
            // A head that trickles in is parsed again only where a line ends, and it has few lines: the work
            // stays bounded however small the pieces are.
            let worth_it = bytes.contains(&b'\n') || self.ahead.len() + bytes.len() > worker.settings.limits.target_bytes;
            let mut ahead = std::mem::take(&mut self.ahead);
            ahead.extend_from_slice(bytes);
            if worth_it && let Some(request) = self.parse(worker, &ahead)? {
                return Poll::Ready(Ok(request));
            }
            self.ahead = ahead;
        }
    }

    fn poll_late(&self) -> Poll<()> {
        if self.deadline.is_over() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Parses a head at the front of `bytes`, and keeps what lies behind the request for the next one.
    fn parse(&mut self, worker: &Worker, bytes: &[u8]) -> Result<Option<Request>, NoRequest> {
        let mut space = field_space();
        let head = RequestHead::parse(bytes, &mut space, &worker.settings.limits).map_err(NoRequest::Refused)?;
        let Some(head) = head else { return Ok(None) };
        let mut outgoing = worker.buffers.take();
        let local;
        let fallback_host = if head.host.is_some() {
            ""
        } else {
            local = self.stream.local_addr().map(|address| address.to_string()).unwrap_or_default();
            &local
        };
        let origin = Origin { peer: &self.peer, scheme: "http", trusted: self.trusted, fallback_host };
        write_request(&head, &origin, &mut outgoing);
        let line = worker.logs_access.then(|| LoggedLine::of(&head));
        let mut request = Request::new(&head, outgoing, line);
        let rest = &bytes[head.consumed(bytes)..];
        if !rest.is_empty() {
            let taken = request.upload.begin(rest).map_err(NoRequest::BadBody)?;
            self.ahead.extend_from_slice(&rest[taken..]);
        }
        Ok(Some(request))
    }

    /// Answers with a status of our own.
    pub(crate) async fn answer(&mut self, worker: &Worker, answer: &Answer<'_>) {
        let mut bytes = worker.buffers.take();
        write_answer(answer, &mut bytes);
        self.deadline.set(worker.settings.timeouts.send);
        let sent = poll_fn(|cx| {
            if self.outlet.send(&mut self.stream, cx, &std::mem::take(&mut bytes)).is_err() {
                return Poll::Ready(());
            }
            if self.outlet.poll_flush(&mut self.stream, cx).is_ready() { Poll::Ready(()) } else { self.poll_late() }
        });
        sent.await;
        worker.buffers.give(bytes);
    }

    async fn refuse(mut self, worker: &Worker, problem: NoRequest) {
        let (status, body) = match &problem {
            NoRequest::Refused(refusal) => (refusal.status(), format!("{refusal}.\n")),
            NoRequest::Late => (408, "The request did not arrive in time.\n".to_owned()),
            NoRequest::BadBody(failure) => (400, format!("{failure}.\n")),
            NoRequest::End => return,
        };
        worker.cells.answered(status);
        let client = Downstream { version: Version::Http11, keep_alive: false };
        let answer =
            Answer { status, reason: reason_of(status), retry_after_s: None, body: &body, to_head: false, client };
        self.answer(worker, &answer).await;
        self.close(worker).await;
    }

    /// Closes after the last answer, so that the client gets all of it also when it is still sending.
    async fn close(mut self, worker: &Worker) {
        self.deadline.set(super::LAST_CALL);
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let mut left = MOST_DISCARDED_BYTES;
        poll_fn(|cx| {
            let mut scratch = worker.scratch.borrow_mut();
            loop {
                match poll_read(&mut self.stream, cx, &mut scratch) {
                    Poll::Ready(Ok(count)) if count > 0 && count < left => left -= count,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return self.poll_late(),
                }
            }
        })
        .await;
    }

    /// Resets the connection: whatever arrived is not the whole.
    fn abort(self) {
        // Without the option the connection ends in the ordinary way, which chunks and lengths still show.
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO));
    }
}

fn reason_of(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        408 => "Request Timeout",
        414 => "URI Too Long",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}
