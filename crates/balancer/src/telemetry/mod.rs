//! What the balancer counts and logs. Workers write plain cells of their own; a scrape reads them all.

mod access_log;
mod beliefs;
mod cells;
mod metrics;
mod queues;
mod rates;

pub(crate) use access_log::{AccessEntry, AccessLog, LoggedLine, WorkerLog};
pub use access_log::{AccessFormat, AccessTarget};
pub(crate) use cells::{Cells, MetLimit, Retried, Side};
pub(crate) use metrics::registry;
pub(crate) use rates::{Rates, Report};
