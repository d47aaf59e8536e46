//! What the tests of all crates share: raw-byte peers, real processes, and patience.
//!
//! Everything here panics with what it saw when a test's expectation fails, and nothing waits for ever: a peer
//! that does not do what it should ends the test after [`PATIENCE`].
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]
#![allow(clippy::missing_panics_doc, reason = "panicking is how every function here reports")]

mod http;
mod patience;
mod process;
mod unwilling;
mod wire;

pub use http::{Answer, Http, SteadyUpstream};
pub use patience::{PATIENCE, eventually, holds_for};
pub use process::{Process, Signal, binary};
pub use unwilling::{Full, Refusing};
pub use wire::{Listening, Wire};
