use std::cell::RefCell;

/// What a buffer has room for when it is new: a head of ordinary size.
const NEW_BYTES: usize = 2 * 1024;
/// A larger one is not kept.
const LARGEST_KEPT_BYTES: usize = 128 * 1024;
/// More are not kept.
const MOST_KEPT: usize = 64;

/// Buffers of one worker that nobody uses at the moment: a request takes one and gives it back, so that a warm
/// worker allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty buffer.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.free.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(NEW_BYTES))
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
