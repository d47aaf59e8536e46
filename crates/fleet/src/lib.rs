//! What a balancer believes of its endpoints: what registries say of them, united, and what it has seen for itself. No
//! socket, no clock, no randomness of its own.

mod budget;
mod check;
mod probed;

pub use budget::RetryBudget;
pub use check::Check;
pub use probed::Probed;
