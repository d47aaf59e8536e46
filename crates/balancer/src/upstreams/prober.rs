//! The probes that are under way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_daemon::RunningClock;
use berth_fleet::{Order, Probed, Slots};
use tokio::task::JoinSet;

use super::probe::probe;
use crate::routing::Health;
use crate::tls::UpstreamTls;

/// Probes at once. Each has a file open.
pub(crate) const MOST_PROBES: usize = 64;

/// How long an answer to a probe may take; to a check as long as the operator says.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The probes that are under way.
#[derive(Debug, Default)]
pub(super) struct Prober {
    probes: JoinSet<(Order, Option<Probed>)>,
}

impl Prober {
    /// Those that are free for more.
    pub(super) fn slots(&self) -> Slots {
        Slots { free: MOST_PROBES.saturating_sub(self.probes.len()), all: MOST_PROBES }
    }

    pub(super) fn send(&mut self, order: Order, health: Arc<Health>, tls: UpstreamTls, clock: RunningClock) {
        let asked = health.check.map_or(TIMEOUT, |check| check.timeout);
        let timeout = if order.check.is_some() { asked } else { asked.min(TIMEOUT) };
        self.probes.spawn(async move {
            let (begun, began) = (Instant::now(), clock.now());
            let probed = probe(&order.endpoint, &health.probe, timeout, &tls).await;
            let is_late = probed == Some(Probed::Unanswered) && begun.elapsed() >= timeout;
            // If this process stood still meanwhile, nobody had the time.
            let stood_still = is_late && clock.now().saturating_sub(began) < timeout * 3 / 4;
            (order, probed.filter(|_| !stood_still))
        });
    }

    /// The next one that has ended; for ever if none is under way.
    pub(super) async fn next(&mut self) -> (Order, Option<Probed>) {
        loop {
            match self.probes.join_next().await {
                Some(Ok(ended)) => return ended,
                // One that panicked has nothing to tell: it is forgotten, and sent again.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// One that has ended already.
    pub(super) fn try_next(&mut self) -> Option<(Order, Option<Probed>)> {
        std::iter::from_fn(|| self.probes.try_join_next()).find_map(Result::ok)
    }
}
