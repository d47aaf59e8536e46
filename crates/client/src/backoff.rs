use std::time::Duration;

/// The pauses between tries: they double from `first` up to `cap`, and each is stretched or shrunk at random
/// by up to a half, so that thousands of processes that lost the same registry do not return in step.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    tries: u32,
}

impl Backoff {
    /// For a registry that is away: 100 ms to 2 s.
    pub const fn new() -> Self {
        Self::between(Duration::from_millis(100), Duration::from_secs(2))
    }

    /// For what only a person can mend: 1 s to 15 s.
    pub const fn slow() -> Self {
        Self::between(Duration::from_secs(1), Duration::from_secs(15))
    }

    /// Pauses around `first` at the beginning and around `cap` in the end.
    pub const fn between(first: Duration, cap: Duration) -> Self {
        Self { first, cap, tries: 0 }
    }

    /// How long to wait before the next try.
    pub fn next_pause(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.tries).unwrap_or(u32::MAX);
        self.tries = self.tries.saturating_add(1);
        self.first.saturating_mul(factor).min(self.cap).mul_f64(0.5 + fastrand::f64())
    }

    /// A pause that was asked for, stretched at random by up to its double, so that all who were asked at the same
    /// time do not come back at the same time.
    pub fn spread(asked: Duration) -> Duration {
        asked.mul_f64(1.0 + fastrand::f64())
    }

    /// It worked: the next pause is a first one.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}
