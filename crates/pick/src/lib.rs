//! Which endpoint serves a request: endpoints with their live load, the sets that are chosen from, and the strategies.
//! No socket, no clock, no randomness of its own.
//!
//! An [`Endpoint`] belongs to an identity and outlives every rebuild of the set that it is in, and so does its
//! load: a balancer that forgets at each change what it has under way sends the next burst to the wrong place.

mod ask;
mod chance;
mod chooser;
mod endpoint;
mod hash;
mod latency;
pub mod queue;
mod report;
mod roster;
mod set;
mod signals;
mod strategy;
mod trouble;

pub use ask::Ask;
pub use chance::Chance;
pub use chooser::Chooser;
pub use endpoint::{Endpoint, InFlight};
pub use hash::hash;
pub use latency::Latency;
pub use report::Report;
pub use roster::Roster;
pub use set::{Eligible, Set};
pub use signals::{Signal, Signals};
pub use strategy::Strategy;
pub use trouble::Trouble;
