//! What the registry remembers. [`memory`] holds the records, [`journal`] the changes that watchers read,
//! [`places`] who is at which address, [`links`] what owners must hear.
//!
//! # Why a reader misses nothing
//!
//! A change is made and appended to the journal while the record's shard of the map is locked: so the changes
//! of one key stand in the journal in the order in which they were made, and whoever can see a record can see
//! in the journal how it came to be. Locks are taken in one order only: shard, then one of journal, deadlines,
//! places, links; never two shards.
//!
//! A snapshot cannot lock the whole map. It notes the journal's head, reads the map shard by shard, then
//! applies to what it read all entries that were appended meanwhile, in order. A key that changed meanwhile is
//! thereby set to its last entry, whether the map's reading had seen it or not; a key that did not change was
//! read as it is. So the snapshot is exactly the state at its revision, and the entries after it are exactly
//! what follows.

mod journal;
mod links;
mod memory;
mod open_link;
mod places;
mod reading;
mod size;

pub(crate) use journal::{Entry, Journal};
pub(crate) use links::Told;
pub(crate) use memory::Suspects;
pub use memory::{Denied, Key, Memory, Pending, Registering};
pub use open_link::OpenLink;
pub(crate) use reading::Reading;

#[cfg(test)]
mod tests;
