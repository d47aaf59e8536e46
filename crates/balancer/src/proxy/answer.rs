//! An answer on its way to the client.

use berth_http1::Body;
use berth_pick::InFlight;

use super::chosen::Chosen;
use super::stream::Stream;

/// An upstream that has begun to answer.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) endpoint: InFlight<Chosen>,
    pub(crate) upstream: Stream,
    pub(crate) answer: AnswerBody,
}

/// An answer whose head has been sent on.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    pub(crate) body: Body,
    /// The chunks are taken apart for a client that does not know them.
    pub(crate) unchunk: bool,
    /// The upstream would take another request, as far as its answer says.
    pub(crate) reusable: bool,
    /// The client was told that it may send another request.
    pub(crate) keep_alive: bool,
    /// The connection goes on in another protocol.
    pub(crate) switches: bool,
    /// The upstream ended its connection, which ends a body that has no other end.
    pub(crate) ended: bool,
    /// So much of the body has been taken.
    pub(crate) relayed_bytes: u64,
}

impl AnswerBody {
    pub(crate) fn new(body: Body, unchunk: bool, reusable: bool, keep_alive: bool) -> Self {
        Self { body, unchunk, reusable, keep_alive, switches: false, ended: false, relayed_bytes: 0 }
    }

    /// Takes bytes that go on as they are; tells how many of them are the body's.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        let taken = self.body.advance(bytes).map_err(|bad| bad.0)?;
        self.noted(bytes, taken);
        Ok(taken)
    }

    /// Passes over bytes of the body that went on unseen; no more than [`Body::unseen`].
    pub(crate) fn pass(&mut self, bytes: u64) {
        self.body.pass(bytes);
        self.relayed_bytes += bytes;
    }

    /// Takes bytes and appends what the client gets of them.
    pub(crate) fn append(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        let taken = match &mut self.body {
            Body::Chunked(chunks) if self.unchunk => {
                chunks.advance(bytes, |range| out.extend_from_slice(&bytes[range])).map_err(|bad| bad.0)?
            }
            body => {
                let taken = body.advance(bytes).map_err(|bad| bad.0)?;
                out.extend_from_slice(&bytes[..taken]);
                taken
            }
        };
        self.noted(bytes, taken);
        Ok(())
    }

    fn noted(&mut self, bytes: &[u8], taken: usize) {
        self.relayed_bytes += taken as u64;
        // Bytes behind the answer belong to no request: this connection cannot be trusted with another.
        self.reusable &= taken == bytes.len();
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.ended || self.body.is_complete()
    }
}
