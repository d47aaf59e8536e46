//! Snapshots that have been replaced, until nobody goes by them any more.

use std::sync::Arc;
use std::time::Duration;

use super::Snapshot;

const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Snapshots that workers may still hold. Whoever is the last to let go of one lets go of thousands of endpoints; here
/// that is never a worker between two requests.
#[derive(Debug, Default)]
pub(super) struct Retired {
    held: Vec<Arc<Snapshot>>,
    sweep_at: Duration,
}

impl Retired {
    pub(super) fn put(&mut self, now: Duration, replaced: Arc<Snapshot>) {
        self.sweep(now);
        self.held.push(replaced);
    }

    /// When to look again who is held here only.
    pub(super) fn deadline(&self) -> Option<Duration> {
        (!self.held.is_empty()).then_some(self.sweep_at)
    }

    /// Lets go of those that nobody else holds, if it is time.
    pub(super) fn sweep_due(&mut self, now: Duration) {
        if self.deadline().is_some_and(|at| at <= now) {
            self.sweep(now);
        }
    }

    fn sweep(&mut self, now: Duration) {
        self.held.retain(|snapshot| Arc::strong_count(snapshot) > 1);
        self.sweep_at = now + SWEEP_EVERY;
    }
}
