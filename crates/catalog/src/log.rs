use std::collections::VecDeque;

use thiserror::Error;

/// The changes of the whole store in one sequence, of which the last ones are kept: as many as fit both into a
/// number of entries and into a number of bytes.
///
/// A reader holds a cursor: the sequence of the last entry that it knows. Entries are numbered from 1, so that
/// 0 is the cursor of a reader that knows nothing.
#[derive(Clone, Debug)]
pub struct ChangeLog<T> {
    // With the size that each was said to have.
    entries: VecDeque<(T, usize)>,
    // The sequence of the newest entry; the others' follow from their place.
    head: u64,
    size_bytes: usize,
    most_entries: usize,
    most_bytes: usize,
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
    /// An empty log that keeps so many entries, and so many bytes of them.
    pub fn new(most_entries: usize, most_bytes: usize) -> Self {
        Self { entries: VecDeque::new(), head: 0, size_bytes: 0, most_entries, most_bytes }
    }

    /// Appends the entry that `make` builds from its sequence. `size_bytes` is what it holds, about.
    pub fn append(&mut self, size_bytes: usize, make: impl FnOnce(u64) -> T) {
        self.append_within(1, size_bytes, make);
    }

    /// The same, and for this time so many times as much is kept: for somebody who is still reading.
    pub fn append_within(&mut self, factor: usize, size_bytes: usize, make: impl FnOnce(u64) -> T) {
        self.head += 1;
        self.entries.push_back((make(self.head), size_bytes));
        self.size_bytes += size_bytes;
        let most_entries = self.most_entries.saturating_mul(factor);
        let most_bytes = self.most_bytes.saturating_mul(factor);
        while self.entries.len() > most_entries || self.size_bytes > most_bytes {
            let Some((_, dropped_bytes)) = self.entries.pop_front() else { return };
            self.size_bytes -= dropped_bytes;
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
        Ok(self.entries.range(known..).map(|(entry, _)| entry))
    }
}
