//! What the fuzz targets assert: the laws of the property tests, which are kept beside these, for any bytes.

mod config;
mod route;

#[path = "../../crates/http1/tests/http1/laws/mod.rs"]
mod laws;
#[path = "../../crates/http1/tests/http1/reference/mod.rs"]
mod reference;

use laws::{LIMITS, TIGHT};

/// A request's head is read in one way.
pub fn request_head(bytes: &[u8]) {
    laws::request::holds(bytes, &LIMITS);
    laws::request::holds(bytes, &TIGHT);
}

/// An answer's head is read in one way, and goes to the client in one.
pub fn answer_head(bytes: &[u8]) {
    laws::answer::holds(bytes, false);
    laws::answer::holds(bytes, true);
}

/// Chunks are read in one way.
pub fn chunked(bytes: &[u8]) {
    laws::chunked::holds(bytes);
}

/// A request goes upstream in one way, with nothing that should not go there.
pub fn forward(bytes: &[u8]) {
    laws::forwarding::holds(bytes);
}

pub use config::config;
pub use route::route;
