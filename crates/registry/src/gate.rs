use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A registry that stood still longer than this has stalled. It is also how long writes then wait.
pub(crate) const STALL: Duration = Duration::from_secs(1);

/// Refuses writes for a moment after this process stood still.
///
/// A write that waited in a socket all that time was given up by its sender long ago; applied now, it might
/// undo what the sender did elsewhere since. Renewals pass: they are true whenever they come.
#[derive(Debug)]
pub(crate) struct WriteGate {
    start: Instant,
    last_tick_ms: AtomicU64,
    closed_until_ms: AtomicU64,
}

impl WriteGate {
    pub(crate) fn open(now: Instant) -> Self {
        Self { start: now, last_tick_ms: AtomicU64::new(0), closed_until_ms: AtomicU64::new(0) }
    }

    /// To be called by the clock, several times a second.
    pub(crate) fn tick(&self, now: Instant) {
        let now_ms = self.ms(now);
        let last_ms = self.last_tick_ms.swap(now_ms, Ordering::Relaxed);
        if is_stall(last_ms, now_ms) {
            self.closed_until_ms.store(now_ms + STALL.as_millis() as u64, Ordering::Relaxed);
        }
    }

    /// Whether writes pass.
    pub(crate) fn is_open(&self, now: Instant) -> bool {
        let now_ms = self.ms(now);
        // After a stall a request may be handled before the first tick.
        let stalled = is_stall(self.last_tick_ms.load(Ordering::Relaxed), now_ms);
        !stalled && now_ms >= self.closed_until_ms.load(Ordering::Relaxed)
    }

    fn ms(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_millis() as u64
    }
}

fn is_stall(last_ms: u64, now_ms: u64) -> bool {
    u128::from(now_ms.saturating_sub(last_ms)) > STALL.as_millis()
}

#[cfg(test)]
mod tests;
