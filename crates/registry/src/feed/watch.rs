use std::sync::Arc;

use berth_model::{Revision, ServiceName};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Interval;
use tokio_util::sync::CancellationToken;

use super::{Snapshots, ticks};
use crate::encode;
use crate::store::{Entry, Memory};
use crate::telemetry::Counted;

/// The most changes that one write to a watcher holds.
const BATCH: usize = 256;

/// The same in bytes, about: a watcher that reads slowly holds no more than this. A snapshot goes out in pieces of
/// this size, so that nobody copies it to write it.
const PIECE_BYTES: usize = 256 * 1024;

/// What a watcher is told, from where it stopped on: changes after `last_seen`, or a snapshot first when the
/// log does not reach back to it. It ends with `stop`.
pub(crate) fn watch(
    store: Arc<Memory>,
    snapshots: Arc<Snapshots>,
    service: Option<ServiceName>,
    last_seen: Option<Revision>,
    stop: CancellationToken,
    place: OwnedSemaphorePermit,
    counted: Counted,
) -> impl Stream<Item = Bytes> + Send + 'static {
    let watcher = Watcher {
        bell: store.journal.bell(),
        store,
        snapshots,
        service,
        cursor: last_seen,
        unsent: Bytes::new(),
        ticks: ticks(),
        stop,
        _place: place,
        _counted: counted,
    };
    stream::unfold(watcher, async |mut watcher| {
        let bytes = watcher.next().await?;
        Some((bytes, watcher))
    })
}

struct Watcher {
    store: Arc<Memory>,
    snapshots: Arc<Snapshots>,
    service: Option<ServiceName>,
    // All that happened up to here was told. None, or one of another epoch: a snapshot is due.
    cursor: Option<Revision>,
    // What is left of a snapshot.
    unsent: Bytes,
    bell: watch::Receiver<()>,
    ticks: Interval,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
    _counted: Counted,
}

impl Watcher {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.stop.is_cancelled() {
                return None;
            }
            if !self.unsent.is_empty() {
                return Some(self.unsent.split_to(PIECE_BYTES.min(self.unsent.len())));
            }
            // First the bell is muted, then the log is read: a change after the reading rings it again.
            self.bell.borrow_and_update();
            let Some((cursor, entries)) = self.read_on() else {
                // A watcher for whom there is no snapshot comes again.
                let (revision, encoded) = self.snapshots.encoded(&self.store, self.service.as_ref()).await?;
                (self.cursor, self.unsent) = (Some(revision), encoded);
                continue;
            };
            let tick_due = self.ticks.tick().now_or_never().is_some();
            if let Some((told, mut bytes)) = self.encode(&entries) {
                self.cursor = Some(told);
                if tick_due {
                    bytes.extend_from_slice(&encode::tick(told));
                }
                if !bytes.is_empty() {
                    return Some(bytes.freeze());
                }
                // All were changes to other services. Whoever writes them must get a turn.
                tokio::task::yield_now().await;
                continue;
            }
            if tick_due {
                return Some(encode::tick(cursor));
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                // The store, which holds the bell's other end, lives as long as the watcher.
                _ = self.bell.changed() => {}
                _ = self.ticks.tick() => return Some(encode::tick(cursor)),
            }
        }
    }

    fn read_on(&self) -> Option<(Revision, Vec<Arc<Entry>>)> {
        let cursor = self.cursor.filter(|cursor| cursor.epoch == self.store.journal.head().epoch)?;
        let entries = self.store.journal.since(cursor.sequence, BATCH).ok()?;
        Some((cursor, entries))
    }

    /// As many changes as fit into one piece, without those to other services, and the revision of the last one.
    fn encode(&self, entries: &[Arc<Entry>]) -> Option<(Revision, BytesMut)> {
        let mut bytes = BytesMut::new();
        let mut told = None;
        for entry in entries {
            let service = &entry.event.instance.service;
            if self.service.as_ref().is_none_or(|asked| asked == service) {
                bytes.extend_from_slice(entry.encoded());
            }
            told = Some(entry.revision);
            if bytes.len() >= PIECE_BYTES {
                break;
            }
        }
        Some((told?, bytes))
    }
}
