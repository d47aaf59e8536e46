//! Which endpoint serves a request: endpoints with their live load, the sets that a strategy chooses from, and
//! the strategies. No socket, no clock, no randomness of its own.
//!
//! An [`Endpoint`] belongs to an identity and outlives every rebuild of the set that it is in, and so does its
//! load: a balancer that forgets at each change what it has under way sends the next burst to the wrong place.

mod endpoint;
mod roster;
mod round_robin;
mod set;
mod strategy;

pub use endpoint::{Endpoint, InFlight};
pub use roster::Roster;
pub use round_robin::RoundRobin;
pub use set::Set;
pub use strategy::Strategy;
