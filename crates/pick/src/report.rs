use std::sync::atomic::{AtomicU64, Ordering};

/// After so long half of a report is forgotten.
const HALF_LIFE_MS: f32 = 5_000.0;

/// The room of an endpoint that says nothing, and what a report fades into.
const UNKNOWN: f32 = 0.5;

/// However busy it is, so much of its share it gets: else nothing would ever tell that it has room again.
const LEAST: f32 = 0.02;

/// What an endpoint says of its load, in the answer header `X-Berth-Load`.
#[derive(Debug, Default)]
pub struct Report {
    // The load as an `f32` above, the time in milliseconds below with its lowest bit set. 0 is before the first.
    state: AtomicU64,
}

impl Report {
    /// Notes a report, from 0, idle, to 1, full. Anything else is brought into that range.
    pub fn note(&self, now_ms: u64, load: f32) {
        let load = if load.is_nan() { UNKNOWN } else { load.clamp(0.0, 1.0) };
        self.state.store(u64::from(load.to_bits()) << 32 | u64::from(now_ms as u32 | 1), Ordering::Relaxed);
    }

    /// The room that it has left, from a little above 0 to 1.
    #[inline]
    pub fn room(&self, now_ms: u64) -> f32 {
        let state = self.state.load(Ordering::Relaxed);
        if state == 0 {
            return UNKNOWN;
        }
        let load = f32::from_bits((state >> 32) as u32);
        let age_ms = (now_ms as u32 | 1).wrapping_sub(state as u32);
        // A clock of another worker may be a little ahead.
        let fresh = if age_ms > u32::MAX / 2 { 1.0 } else { (-(age_ms as f32) / HALF_LIFE_MS).exp2() };
        (fresh * (1.0 - load) + (1.0 - fresh) * UNKNOWN).max(LEAST)
    }
}
