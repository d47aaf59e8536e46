use std::sync::Arc;
use std::time::Duration;

use berth_model::{Revision, ServiceName};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, Stream, stream};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::encode;
use crate::store::{Entry, Memory};
use crate::telemetry::{Telemetry, Watching};

/// How often a stream tells that the registry is there.
const TICK: Duration = Duration::from_secs(5);

/// The most changes that one write to a watcher holds.
const BATCH: usize = 256;

/// What a watcher is told, from where it stopped on: changes after `last_seen`, or a snapshot first when the
/// log does not reach back to it. It ends with `stop`.
pub(crate) fn watch(
    store: Arc<Memory>,
    service: Option<ServiceName>,
    last_seen: Option<Revision>,
    stop: CancellationToken,
    telemetry: &Telemetry,
) -> impl Stream<Item = Bytes> + Send + 'static {
    let mut ticks = interval_at(tokio::time::Instant::now() + TICK, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let bell = store.journal.bell();
    let watcher =
        Watcher { store, service, cursor: last_seen, bell, ticks, stop, _watching: telemetry.watcher() };
    stream::unfold(watcher, async |mut watcher| {
        let bytes = watcher.next().await?;
        Some((bytes, watcher))
    })
}

struct Watcher {
    store: Arc<Memory>,
    service: Option<ServiceName>,
    // All that happened up to here was told. None, or one of another epoch: a snapshot is due.
    cursor: Option<Revision>,
    bell: watch::Receiver<()>,
    ticks: Interval,
    stop: CancellationToken,
    _watching: Watching,
}

impl Watcher {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.stop.is_cancelled() {
                return None;
            }
            // First the bell is muted, then the log is read: a change after the reading rings it again.
            self.bell.borrow_and_update();
            let Some((cursor, entries)) = self.read_on() else { return Some(self.snapshot()) };
            let tick_due = self.ticks.tick().now_or_never().is_some();
            if let Some(last) = entries.last() {
                self.cursor = Some(last.revision);
                let mut bytes = self.encode(&entries);
                if tick_due {
                    bytes.extend_from_slice(&encode::tick(last.revision));
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

    fn snapshot(&mut self) -> Bytes {
        let reading = self.store.read(self.service.as_ref());
        self.cursor = Some(reading.revision);
        encode::snapshot(reading.revision, reading.instances(), reading.ended())
    }

    fn encode(&self, entries: &[Arc<Entry>]) -> BytesMut {
        let is_asked = |entry: &&Arc<Entry>| {
            self.service.as_ref().is_none_or(|service| *service == entry.event.instance.service)
        };
        let mut bytes = BytesMut::new();
        entries.iter().filter(is_asked).for_each(|entry| bytes.extend_from_slice(entry.encoded()));
        bytes
    }
}
