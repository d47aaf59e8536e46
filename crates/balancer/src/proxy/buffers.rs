use std::cell::{Cell, RefCell};

/// What a buffer has room for when it is new: a head of ordinary size.
const NEW_BYTES: usize = 2 * 1024;
/// A larger one is not kept.
const LARGEST_KEPT_BYTES: usize = 128 * 1024;
/// More are not kept.
const MOST_KEPT: usize = 1024;

/// Buffers of one worker that nobody uses at the moment: a request takes one and gives it back, so that a warm
/// worker allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: RefCell<Vec<Vec<u8>>>,
    /// The fewest that were free at once since the last tick: so many nobody needs.
    fewest: Cell<usize>,
}

impl Buffers {
    /// An empty buffer.
    pub(crate) fn take(&self) -> Vec<u8> {
        let mut free = self.free.borrow_mut();
        let buffer = free.pop().unwrap_or_else(|| Vec::with_capacity(NEW_BYTES));
        self.fewest.set(self.fewest.get().min(free.len()));
        buffer
    }

    /// Gives half of those back to the system that nobody has needed since the last call.
    pub(crate) fn trim(&self) {
        let mut free = self.free.borrow_mut();
        let left = free.len() - self.fewest.get().div_ceil(2).min(free.len());
        free.truncate(left);
        self.fewest.set(left);
    }

    /// Takes a buffer back.
    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        let mut free = self.free.borrow_mut();
        if buffer.capacity() > 0 && buffer.capacity() <= LARGEST_KEPT_BYTES && free.len() < MOST_KEPT {
            buffer.clear();
            free.push(buffer);
        }
    }
}
