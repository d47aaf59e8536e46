//! A connection that has switched to another protocol (RFC 9110 §7.8): bytes both ways until both sides are done.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use super::client::{Client, Next};
use super::outlet::Outlet;
use super::shared::Worker;
use super::stream::Stream;

/// How a tunnel went.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Bytes that went to the client.
    pub(crate) to_client_bytes: u64,
    pub(crate) next: Next,
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    outlet: Outlet,
    bytes: u64,
    /// The sender has said its last word.
    ended: bool,
    /// The receiver has been told so.
    closed: bool,
}

/// Joins the client to the upstream until both have ended, either breaks off, or neither says anything for too long.
/// An end on one side is passed to the other, which may still have something to say.
pub(crate) async fn run(worker: &Worker, client: &mut Client, upstream: &mut Stream) -> Ended {
    worker.cells.tunnels.add(1);
    client.deadline.set(client.timeouts.tunnel);
    client.deadline.stop_looking();
    let mut up = Way::default();
    // The switch itself may not have gone out yet, nor what the upstream said right behind it.
    let mut down = Way { outlet: std::mem::take(&mut client.outlet), ..Way::default() };
    let ahead = std::mem::take(&mut client.ahead);
    let next = poll_fn(|cx| {
        if up.bytes == 0 && !ahead.is_empty() {
            up.bytes = ahead.len() as u64;
            if up.outlet.send(upstream, cx, &ahead).is_err() {
                return Poll::Ready(Next::Abort);
            }
        }
        poll_both(cx, worker, client, upstream, &mut up, &mut down)
    })
    .await;
    worker.cells.tunnels_ended.add(1);
    if next == Next::Abort {
        // What it heard may not be all that was said: no end in order.
        upstream.reset_on_close();
    }
    Ended { to_client_bytes: down.bytes, next }
}

fn poll_both(
    cx: &mut Context<'_>,
    worker: &Worker,
    client: &mut Client,
    upstream: &mut Stream,
    up: &mut Way,
    down: &mut Way,
) -> Poll<Next> {
    let (moved, half) = (up.bytes + down.bytes, up.ended || down.ended);
    let ways = (
        up.poll(cx, worker, &mut client.stream, upstream),
        down.poll(cx, worker, upstream, &mut client.stream),
    );
    match ways {
        (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(Next::Abort),
        (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Next::End),
        _ => {}
    }
    let timeouts = client.timeouts;
    let is_half = up.ended || down.ended;
    if moved != up.bytes + down.bytes || half != is_half {
        // Who has heard the other's last word is not waited for as long.
        let half_way = timeouts.body.min(timeouts.tunnel);
        client.deadline.set(if is_half { half_way } else { timeouts.tunnel });
    }
    client.poll_late().map(|()| Next::End)
}

impl Way {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        from: &mut Stream,
        to: &mut Stream,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.outlet.poll_flush(to, cx))?;
            ready!(to.poll_flush(cx))?;
            self.outlet.release();
            if self.ended {
                if !self.closed {
                    ready!(to.poll_end(cx))?;
                    self.closed = true;
                }
                return Poll::Ready(Ok(()));
            }
            let mut scratch = worker.scratch.borrow_mut();
            match ready!(from.poll_read(cx, &mut scratch)) {
                Ok(0) => self.ended = true,
                // TLS without its last word. What is inside a tunnel knows by itself whether it is whole.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.ended = true,
                Ok(count) => {
                    self.bytes += count as u64;
                    self.outlet.send(to, cx, &scratch[..count])?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}
