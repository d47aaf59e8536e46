use std::sync::atomic::{AtomicU64, Ordering};

/// How long a measurement counts: after so long its share has fallen to a third (1/e).
const MEMORY_MS: f32 = 10_000.0;

/// How long an endpoint's answers take: the peak of late, fading into the mean (Finagle's "peak EWMA").
///
/// A slower answer counts at once and in full, a faster one by the time since the last.
#[derive(Debug, Default)]
pub struct Latency {
    // Microseconds as an `f32` above, the time in milliseconds below, which may wrap: read and written as one. 0 is
    // before the first.
    state: AtomicU64,
}

fn parts(state: u64) -> (f32, u32) {
    (f32::from_bits((state >> 32) as u32), state as u32)
}

fn faded(micros: f32, since_ms: u32, now_ms: u64) -> f32 {
    let age_ms = (now_ms as u32).wrapping_sub(since_ms);
    // A clock of another worker may be a little ahead.
    if age_ms > u32::MAX / 2 { micros } else { micros * (-(age_ms as f32) / MEMORY_MS).exp() }
}

impl Latency {
    /// Notes how long an answer took, from the choice to its first byte.
    pub fn note(&self, now_ms: u64, micros: u32) {
        // Never 0, which is for "none yet".
        let took = micros.max(1) as f32;
        let state = self.state.load(Ordering::Relaxed);
        let (known, since_ms) = parts(state);
        let remembered = faded(1.0, since_ms, now_ms);
        let next =
            if state == 0 || took > known { took } else { known * remembered + took * (1.0 - remembered) };
        self.state.store(u64::from(next.to_bits()) << 32 | u64::from(now_ms as u32), Ordering::Relaxed);
    }

    /// How long an answer will take, in microseconds; none before the first. It fades without answers, so that whoever
    /// was slow is asked again.
    #[inline]
    pub fn expected(&self, now_ms: u64) -> Option<f32> {
        let state = self.state.load(Ordering::Relaxed);
        let (micros, since_ms) = parts(state);
        (state != 0).then(|| faded(micros, since_ms, now_ms))
    }
}
