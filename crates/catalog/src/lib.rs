//! What the registry knows: runs, leases, tombstones and the change log, without clock or socket.
//!
//! - [`Record`]: one (service, id): its live run with lease and link, and the runs that ended lately. An [`Offer`]
//!   to register goes through its [`Step`]s. Every change comes out as [`Event`]s; what is not allowed, as a
//!   [`Refusal`].
//! - [`ChangeLog`]: the events of all records in one bounded sequence, read from a cursor.
//! - [`Deadlines`]: when each record must be looked at again. A renewal does not touch it.
//!
//! `now` is a reading of the registry's running clock; readings never go back.

mod asked;
mod deadlines;
mod event;
mod link;
mod log;
mod offer;
mod record;
mod refusal;
mod tombstones;

pub use deadlines::{Deadlines, Recheck};
pub use event::Event;
pub use link::{LinkId, Notice, Suspect, Word};
pub use log::{ChangeLog, Gap};
pub use offer::{Accepted, Offer, Step, Ticket};
pub use record::{Patched, Record};
pub use refusal::Refusal;
pub use tombstones::TOMBSTONE_LIFE;
