use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use berth_catalog::{ChangeLog, Event, Gap};
use berth_model::{Change, Instance, Revision};
use bytes::Bytes;
use tokio::sync::watch;

use super::size::size_bytes;
use crate::encode;

/// The log of changes under its own mutex, and the doorbell that tells watchers to read on.
#[derive(Debug)]
pub(crate) struct Journal {
    epoch: u64,
    // Held for a few instructions, never over an `.await`; renewals never take it.
    log: Mutex<ChangeLog<Arc<Entry>>>,
    bell: watch::Sender<()>,
    // Snapshots that are being read.
    readings: AtomicUsize,
}

/// So many times as much is kept while a snapshot is read: it needs all changes that are made meanwhile.
const SLACK: usize = 8;

/// A snapshot that is being read.
pub(super) struct BeingRead<'a>(&'a AtomicUsize);

impl Drop for BeingRead<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One change with its place in history.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) event: Event,
    pub(crate) revision: Revision,
    encoded: OnceLock<Bytes>,
}

impl Entry {
    /// The change as all watchers get it. Whoever needs it first encodes it, and nobody does so twice.
    pub(crate) fn encoded(&self) -> &Bytes {
        self.encoded.get_or_init(|| {
            let change = Change {
                revision: self.revision,
                kind: self.event.kind,
                instance: Instance::clone(&self.event.instance),
                reason: self.event.reason,
            };
            encode::change(&change)
        })
    }
}

impl Journal {
    pub(crate) fn new(epoch: u64, most_entries: usize, most_bytes: usize) -> Self {
        let log = Mutex::new(ChangeLog::new(most_entries, most_bytes));
        Self { epoch, log, bell: watch::Sender::new(()), readings: AtomicUsize::new(0) }
    }

    /// Appends changes of one record, whose shard the caller has locked.
    pub(super) fn append(&self, events: &[Event]) {
        let mut log = self.log();
        let factor = if self.readings.load(Ordering::Relaxed) > 0 { SLACK } else { 1 };
        for event in events {
            log.append_within(factor, size_bytes(&event.instance), |sequence| {
                let revision = self.revision(sequence);
                Arc::new(Entry { event: event.clone(), revision, encoded: OnceLock::new() })
            });
        }
    }

    /// Keeps more of the log until the guard is dropped.
    pub(super) fn being_read(&self) -> BeingRead<'_> {
        self.readings.fetch_add(1, Ordering::Relaxed);
        BeingRead(&self.readings)
    }

    /// Wakes the watchers.
    pub(super) fn ring(&self) {
        self.bell.send_replace(());
    }

    /// Rings after each append, perhaps once for several.
    pub(crate) fn bell(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }

    /// The newest point in history.
    pub(crate) fn head(&self) -> Revision {
        let head = self.log().head();
        self.revision(head)
    }

    /// At most `limit` entries after the cursor, oldest first.
    pub(crate) fn since(&self, cursor: u64, limit: usize) -> Result<Vec<Arc<Entry>>, Gap> {
        self.log().since(cursor).map(|entries| entries.take(limit).cloned().collect())
    }

    fn revision(&self, sequence: u64) -> Revision {
        Revision { epoch: self.epoch, sequence }
    }

    fn log(&self) -> MutexGuard<'_, ChangeLog<Arc<Entry>>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
