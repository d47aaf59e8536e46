//! What the registry knows: runs, leases, tombstones and the change log, without clock or socket.
//!
//! - [`Record`]: one (service, id): its live run with a lease, and the runs that ended lately. Every change to
//!   it comes out as [`Event`]s; what it does not allow, as a [`Refusal`].
//! - [`ChangeLog`]: the events of all records in one bounded sequence, read from a cursor.
//! - [`Deadlines`]: when each record must be looked at again. A renewal does not touch it.
//!
//! `now` is a reading of the registry's running clock; readings never go back.

mod deadlines;
mod event;
mod log;
mod record;
mod refusal;
mod tombstones;

pub use deadlines::{Deadlines, Recheck};
pub use event::Event;
pub use log::{ChangeLog, Gap};
pub use record::{Accepted, Offer, Record};
pub use refusal::Refusal;
pub use tombstones::TOMBSTONE_LIFE;
