//! What streams and waiting calls are told. [`watch`](mod@watch) follows the log, [`link`](mod@link) tells owners what
//! others did to their runs, [`wait`](mod@wait) blocks until a query has an answer, [`snapshots`] are shared.

mod link;
mod snapshots;
mod wait;
mod watch;

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

pub(crate) use link::link;
pub(crate) use snapshots::Snapshots;
pub(crate) use wait::{Waiting, wait};
pub(crate) use watch::watch;

/// How often a stream tells that the registry is there.
const TICK: Duration = Duration::from_secs(5);

fn ticks() -> Interval {
    let mut ticks = interval_at(Instant::now() + TICK, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
