//! What one who waits at an endpoint thinks of its silence.

use berth_pick::{Endpoint, Signal};

use super::client::Client;
use super::deadlines::TICK;
use super::shared::Worker;

/// After so long without a byte an endpoint is doubted. Both clocks are read as of their last tick.
const SILENCE_MS: u32 = 1_000 + TICK.as_millis() as u32;

/// Who waits at an endpoint that was given up, and has nobody else, looks again after so long.
pub(super) const LOOK_AGAIN_MS: u64 = 1_000;

/// One who waits at an endpoint, and what that one thinks of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    /// The balancer's clock when it began; of its milliseconds the lower half.
    since_ms: u32,
    is_told: bool,
}

impl Doubt {
    #[inline]
    pub(super) fn begin(worker: &Worker) -> Self {
        Self { since_ms: worker.asking.now_ms() as u32, is_told: false }
    }

    /// Whether it has told of the silence.
    pub(super) fn is_told(self) -> bool {
        self.is_told
    }

    /// Tells of an endpoint that was silent for so long that one has to doubt it, and looks again later: it may have been
    /// well then, and hang now. One that was asked nothing, as the request has not come to its end, has its time before
    /// it.
    #[cold]
    pub(super) fn look(&mut self, worker: &Worker, client: &Client, endpoint: &Endpoint, is_asked: bool) {
        let now_ms = worker.asking.now_ms();
        if !is_asked {
            self.since_ms = now_ms as u32;
        }
        let waited_ms = (now_ms as u32).wrapping_sub(self.since_ms);
        let silent_ms = now_ms.saturating_sub(endpoint.signals().heard_ms());
        let silent_ms = waited_ms.min(u32::try_from(silent_ms).unwrap_or(u32::MAX));
        if silent_ms < SILENCE_MS {
            return client.deadline.look_after(u64::from(SILENCE_MS - silent_ms));
        }
        worker.signal(endpoint, Signal::Silent);
        self.is_told = true;
        self.since_ms = now_ms as u32;
        client.deadline.look_after(u64::from(SILENCE_MS));
    }
}
