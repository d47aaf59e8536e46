//! What a balancer believes of its endpoints: what registries say of them, united, and what it has seen for itself. No
//! socket, no clock, no randomness of its own.
//!
//! [`Fleet`] takes in what sources say, what traffic meets and what probes bring, each at its time, and tells who may be
//! chosen, who is to be probed, and why. The rows that comments speak of are those of the evidence table in
//! `docs/reliability.md`.

mod agenda;
mod budget;
mod check;
mod checked;
mod choice;
mod failures;
mod fleet;
mod groups;
mod judging;
mod probed;
mod probing;
mod shown;
mod source;
mod sources;
mod standing;
mod told;
mod tracked;

pub use agenda::Slots;
pub use budget::RetryBudget;
pub use check::Check;
pub use checked::CheckId;
pub use choice::{Class, Counts, Tier};
pub use fleet::{Fleet, Order};
pub use groups::{Group, Membership};
pub use probed::Probed;
pub use shown::Member;
pub use source::Gone;
pub use sources::{Said, SourceId};
pub use told::{State, Turn, View, Why};
