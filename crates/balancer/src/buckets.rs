//! Times in buckets, for histograms.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the latency buckets, in microseconds: each twice the one before, from 64 µs to about 67 s.
pub(crate) const LATENCY_BOUNDS_US: [u64; 21] = {
    let mut bounds = [64; 21];
    let mut index = 1;
    while index < 21 {
        bounds[index] = bounds[index - 1] * 2;
        index += 1;
    }
    bounds
};

/// The bucket of a time in microseconds.
#[inline]
pub(crate) fn bucket_of(us: u64) -> usize {
    // The bounds are powers of two, so the bucket is the length of the number.
    let bits = (u64::BITS - us.saturating_sub(1).leading_zeros()) as usize;
    bits.saturating_sub(6).min(LATENCY_BOUNDS_US.len())
}

/// How long something took, with many writers.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    counts: [AtomicU64; LATENCY_BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Notes a time.
    pub(crate) fn note(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket_of(us)].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// How many times were in this bucket.
    pub(crate) fn count(&self, bucket: usize) -> u64 {
        self.counts[bucket].load(Ordering::Relaxed)
    }

    /// All times together, in microseconds.
    pub(crate) fn sum_us(&self) -> u64 {
        self.sum_us.load(Ordering::Relaxed)
    }
}
