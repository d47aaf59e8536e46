use std::collections::VecDeque;

use thiserror::Error;

/// The changes of the whole store in one sequence, of which the last ones are kept.
///
/// A reader holds a cursor: the sequence of the last entry that it knows. Entries are numbered from 1, so that
/// 0 is the cursor of a reader that knows nothing.
#[derive(Clone, Debug)]
pub struct ChangeLog<T> {
    entries: VecDeque<T>,
    // The sequence of the newest entry; the others' follow from their place.
    head: u64,
    capacity: usize,
}

/// Why a cursor cannot be read from. The reader needs a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Gap {
    /// An entry after the cursor is no longer kept.
    #[error("the cursor is older than the log")]
    TooOld,
    /// The cursor was never given out.
    #[error("the cursor is ahead of the log")]
    Ahead,
}

impl<T> ChangeLog<T> {
    /// An empty log that keeps so many entries.
    pub fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::new(), head: 0, capacity }
    }

    /// Appends the entry that `make` builds from its sequence.
    pub fn append(&mut self, make: impl FnOnce(u64) -> T) {
        self.head += 1;
        if self.entries.len() == self.capacity {
            self.entries.pop_front();
        }
        if self.capacity > 0 {
            self.entries.push_back(make(self.head));
        }
    }

    /// The sequence of the newest entry.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// The entries after the cursor, oldest first. A reader that takes only the first of them goes on from the
    /// last one that it took.
    ///
    /// # Errors
    /// The cursor is [too old](Gap::TooOld) or [ahead](Gap::Ahead).
    pub fn since(&self, cursor: u64) -> Result<impl ExactSizeIterator<Item = &T>, Gap> {
        let missing = self.head.checked_sub(cursor).ok_or(Gap::Ahead)?;
        let missing = usize::try_from(missing).map_err(|_| Gap::TooOld)?;
        let known = self.entries.len().checked_sub(missing).ok_or(Gap::TooOld)?;
        Ok(self.entries.range(known..))
    }
}
