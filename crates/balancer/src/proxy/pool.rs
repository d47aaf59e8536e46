use std::cell::{Cell, RefCell};
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::stream::Stream;

/// Idle connections that are kept per endpoint and worker.
const MOST_IDLE: usize = 1024;

/// Each tick looks through one part of the pool only, so that thousands of endpoints are no burden.
const PARTS: usize = 8;

/// Idle upstream connections of one worker, by the key of their endpoint. The last one put back is the first
/// one taken: it is the least likely to have been closed meanwhile, and the others get the chance to age out.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    parts: [RefCell<Part>; PARTS],
    next_part: Cell<usize>,
    idle: Cell<usize>,
    /// What was put here before is doubtful: the kernel has to be asked.
    doubted_before_ms: Cell<u64>,
}

// Keys are ours, so the hash need not withstand anybody.
type Part = FxHashMap<u64, Vec<Idle>>;

#[derive(Debug)]
struct Idle {
    stream: Stream,
    since_ms: u64,
}

impl Pool {
    fn part(&self, key: u64) -> &RefCell<Part> {
        &self.parts[key as usize % PARTS]
    }

    /// How many connections are kept.
    pub(crate) fn len(&self) -> usize {
        self.idle.get()
    }

    /// A connection that was alive a moment ago.
    pub(crate) fn take(&self, key: u64) -> Option<Stream> {
        let mut part = self.part(key).borrow_mut();
        let stack = part.get_mut(&key)?;
        while let Some(mut entry) = stack.pop() {
            self.idle.set(self.idle.get() - 1);
            let is_doubtful = entry.since_ms < self.doubted_before_ms.get();
            if entry.stream.is_silent() && !(is_doubtful && entry.stream.has_spoken()) {
                return Some(entry.stream);
            }
        }
        None
    }

    /// From now on nothing that is here is given away before the kernel was asked what came of it.
    pub(crate) fn doubt(&self, now_ms: u64) {
        self.doubted_before_ms.set(now_ms + 1);
    }

    /// Keeps a connection on which an exchange has ended cleanly.
    pub(crate) fn put(&self, key: u64, stream: Stream, now_ms: u64) {
        let mut part = self.part(key).borrow_mut();
        let stack = part.entry(key).or_default();
        if stack.len() < MOST_IDLE {
            stack.push(Idle { stream, since_ms: now_ms });
            self.idle.set(self.idle.get() + 1);
        }
    }

    /// Drops what the upstream has closed and what nobody needed for so long. A call looks through a part.
    pub(crate) fn reap(&self, now_ms: u64, longest: Duration) {
        let longest_ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        let index = self.next_part.get();
        self.next_part.set((index + 1) % PARTS);
        self.filter(&self.parts[index], |_, entry| {
            now_ms.saturating_sub(entry.since_ms) < longest_ms && entry.stream.is_silent()
        });
    }

    /// Drops the connections of endpoints that are gone.
    pub(crate) fn retain(&self, mut known: impl FnMut(u64) -> bool) {
        for part in &self.parts {
            self.filter(part, |key, _| known(key));
        }
    }

    /// Drops one connection, if there is any: its descriptor is needed.
    pub(crate) fn drop_one(&self) {
        for part in &self.parts {
            let mut part = part.borrow_mut();
            if let Some(stack) = part.values_mut().find(|stack| !stack.is_empty()) {
                // The oldest: the least likely to be of use.
                drop(stack.remove(0));
                self.idle.set(self.idle.get() - 1);
                return;
            }
        }
    }

    fn filter(&self, part: &RefCell<Part>, mut keeps: impl FnMut(u64, &mut Idle) -> bool) {
        let mut dropped = 0;
        part.borrow_mut().retain(|key, stack| {
            let before = stack.len();
            stack.retain_mut(|entry| keeps(*key, entry));
            dropped += before - stack.len();
            !stack.is_empty()
        });
        self.idle.set(self.idle.get() - dropped);
    }
}
