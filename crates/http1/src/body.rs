use crate::{BadChunk, Chunked, FieldEdits};

/// How long a message's body is, as its head says (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// Exactly so many bytes.
    Exactly(u64),
    /// Chunks until the last one.
    Chunked,
    /// All until the connection ends; answers only.
    UntilClose,
}

/// A body on its way: tells which of the bytes that arrive are part of it, and when it is whole.
#[derive(Clone, Debug)]
pub enum Body {
    /// So many bytes are still to come.
    Exactly(u64),
    /// Inside chunks.
    Chunked(Chunked),
    /// All until the connection ends.
    UntilClose,
}

impl Body {
    /// The body that a head announces.
    pub fn of(length: BodyLength) -> Self {
        match length {
            BodyLength::Exactly(bytes) => Body::Exactly(bytes),
            BodyLength::Chunked => Body::Chunked(Chunked::default()),
            BodyLength::UntilClose => Body::UntilClose,
        }
    }

    /// The body of a request whose fields are edited on the way: trailers of their names are refused.
    pub fn edited(length: BodyLength, edits: &FieldEdits) -> Self {
        match length {
            BodyLength::Chunked => Body::Chunked(Chunked::edited(edits)),
            _ => Body::of(length),
        }
    }

    /// Takes the next bytes of the connection and tells how many of them, from the front, are this body's.
    ///
    /// # Errors
    /// The chunks break RFC 9112 §7.1.
    #[inline]
    pub fn advance(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        match self {
            Body::Exactly(left) => {
                let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= taken as u64;
                Ok(taken)
            }
            Body::Chunked(chunks) => chunks.advance(bytes, |_| {}),
            Body::UntilClose => Ok(bytes.len()),
        }
    }

    /// How many of the bytes that come next are content whatever they are, so that nobody need look at them.
    #[inline]
    pub fn unseen(&self) -> u64 {
        match self {
            Body::Exactly(left) => *left,
            Body::Chunked(chunks) => chunks.unseen(),
            Body::UntilClose => u64::MAX,
        }
    }

    /// Passes over so many bytes of content that were not looked at; at most [`Self::unseen`].
    pub fn pass(&mut self, bytes: u64) {
        match self {
            Body::Exactly(left) => *left = left.saturating_sub(bytes),
            Body::Chunked(chunks) => chunks.pass(bytes),
            Body::UntilClose => {}
        }
    }

    /// Whether the whole body has passed. A body until close never is: only the end of the connection tells.
    #[inline]
    pub fn is_complete(&self) -> bool {
        match self {
            Body::Exactly(left) => *left == 0,
            Body::Chunked(chunks) => chunks.is_complete(),
            Body::UntilClose => false,
        }
    }
}
