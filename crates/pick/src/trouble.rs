use std::sync::atomic::{AtomicU64, Ordering};

/// After so long without news one failure is forgotten.
const FORGET_EVERY_MS: u64 = 5_000;

/// More failures than these make nobody less welcome.
const MOST: u64 = 15;

/// Where the count stands; the time is below it.
const COUNT_SHIFT: u32 = 56;

/// An endpoint's failures of late: connections that failed, deadlines, answers with a status from 500 up.
///
/// Each makes it seem four times as busy, so that one that fails in a millisecond does not attract whatever it refuses.
/// An answer that is none of these forgets half of them, and every five seconds one is forgotten: that is how often it
/// is tried while it goes on failing.
#[derive(Debug, Default)]
pub struct Trouble {
    // Count and time of the last news in one word. Two that write at once may lose one of two failures, which is as
    // good.
    state: AtomicU64,
}

fn counted(state: u64, now_ms: u64) -> u64 {
    let since_ms = state & ((1 << COUNT_SHIFT) - 1);
    (state >> COUNT_SHIFT).saturating_sub(now_ms.saturating_sub(since_ms) / FORGET_EVERY_MS)
}

impl Trouble {
    /// Notes a failure.
    pub fn failed(&self, now_ms: u64) {
        let count = counted(self.state.load(Ordering::Relaxed), now_ms) + 1;
        self.state.store(count.min(MOST) << COUNT_SHIFT | now_ms, Ordering::Relaxed);
    }

    /// Notes an answer.
    #[inline]
    pub fn answered(&self, now_ms: u64) {
        let state = self.state.load(Ordering::Relaxed);
        if state != 0 {
            let count = counted(state, now_ms) / 2;
            self.state.store(if count == 0 { 0 } else { count << COUNT_SHIFT | now_ms }, Ordering::Relaxed);
        }
    }

    /// How many times as busy it seems: 1 without failures.
    #[inline]
    pub fn factor(&self, now_ms: u64) -> f32 {
        match self.state.load(Ordering::Relaxed) {
            0 => 1.0,
            state => (1_u64 << (2 * counted(state, now_ms))) as f32,
        }
    }
}
