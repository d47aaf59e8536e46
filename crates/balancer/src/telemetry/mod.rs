//! What the balancer counts and logs. Workers write plain cells of their own; a scrape reads them all.

mod access_log;
mod cells;
mod metrics;

pub use access_log::{AccessFormat, AccessTarget};
pub(crate) use access_log::{AccessEntry, AccessLog, WorkerLog};
pub(crate) use cells::Cells;
pub(crate) use metrics::registry;
