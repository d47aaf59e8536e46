//! HTTP/1.1 over byte slices (RFC 9110, RFC 9112): no socket, no clock, no buffer of its own.
//!
//! Bytes go in; borrowed views, framing state and the bytes of outgoing heads come out. The reading is strict:
//! there is exactly one way to read every message, and what could be read in two ways is refused.
//!
//! In reading order: `lines` reads field lines in place, `fields` knows what they mean, [`RequestHead`] and
//! [`ResponseHead`] are whole heads, [`Body`] follows the bytes of a message's body, [`forward`] writes the heads
//! that go out.

mod body;
mod chunked;
mod edits;
mod fields;
pub mod forward;
mod lines;
mod peer;
mod refusal;
mod request;
mod response;
mod target;

pub use body::{Body, BodyLength};
pub use chunked::{BadChunk, Chunked};
pub use edits::{BadEdit, FieldEdits};
pub use lines::{Lines, MAX_FIELDS};
pub use peer::PeerText;
pub use refusal::{BadAnswer, Refusal};
pub use request::{Limits, RequestHead};
pub use response::ResponseHead;
pub use target::is_host;

/// The versions that share this framing. HTTP/1.0 knows neither chunks nor, unless asked, a second request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}
