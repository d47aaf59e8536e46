use std::collections::BTreeSet;
use std::time::Duration;

/// A move of a record in the queue of deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recheck {
    /// Where it stands now.
    pub from: Option<Duration>,
    /// When it must be looked at.
    pub to: Duration,
}

/// When each record must be looked at again, so that nobody has to look at all of them.
///
/// It is lazy: a renewal leaves a record where it is. When its time comes it is given out, found alive, and
/// queued again at its real deadline. So each record stands here once, and is looked at about once a TTL.
#[derive(Clone, Debug)]
pub struct Deadlines<K> {
    queue: BTreeSet<(Duration, K)>,
}

impl<K: Ord> Default for Deadlines<K> {
    fn default() -> Self {
        Self { queue: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Deadlines<K> {
    /// Puts a record where [`crate::Record::recheck`] says.
    pub fn queue(&mut self, key: &K, recheck: Recheck) {
        if let Some(from) = recheck.from {
            self.queue.remove(&(from, key.clone()));
        }
        self.queue.insert((recheck.to, key.clone()));
    }

    /// Takes out the next record whose time has come, with the time where it stood.
    pub fn pop_due(&mut self, now: Duration) -> Option<(Duration, K)> {
        let first = self.queue.first()?;
        if first.0 > now { None } else { self.queue.pop_first() }
    }

    /// How many records wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
