use std::sync::{Arc, Weak};

use berth_model::{Revision, ServiceName};
use bytes::Bytes;
use tokio::sync::Mutex;

use crate::encode;
use crate::store::Memory;

/// So many snapshots of one service, or of all, are sent at the same time.
const MOST_OF_A_KIND: usize = 4;

/// So many bytes of snapshots are being sent at the same time.
const MOST_BYTES: usize = 1024 * 1024 * 1024;

/// The snapshots that somebody still sends.
///
/// After a restart of the registry, or of a network, thousands of watchers ask at the same time. They wait for each
/// other here, so that one of them encodes and the others, which asked before it began, take the same bytes. And
/// watchers that read slowly, or not at all, hold a few snapshots together and not one each: once there are several
/// of a kind, the next ones get the newest of them, and what changed since from the log.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    sent: Mutex<Vec<Sent>>,
}

#[derive(Debug)]
struct Sent {
    service: Option<ServiceName>,
    revision: Revision,
    size_bytes: usize,
    encoded: Weak<Bytes>,
}

/// Bytes that many share, and that go with the last of them.
struct Shared(Arc<Bytes>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Snapshots {
    /// The event `snapshot` and its revision. None when watchers that do not read hold so many that there is no
    /// room for another one.
    pub(super) async fn encoded(
        &self,
        store: &Memory,
        service: Option<&ServiceName>,
    ) -> Option<(Revision, Bytes)> {
        let asked_at = store.journal.head();
        let mut sent = self.sent.lock().await;
        sent.retain(|snapshot| snapshot.encoded.strong_count() > 0);
        let of_kind = || sent.iter().filter(|snapshot| snapshot.service.as_ref() == service);
        let newest = of_kind().max_by_key(|snapshot| snapshot.revision.sequence);
        let size_bytes: usize = sent.iter().map(|snapshot| snapshot.size_bytes).sum();
        let is_crowded = of_kind().count() >= MOST_OF_A_KIND || size_bytes >= MOST_BYTES;
        let is_good = |snapshot: &&Sent| {
            let sequence = snapshot.revision.sequence;
            sequence >= asked_at.sequence || (is_crowded && store.journal.since(sequence, 0).is_ok())
        };
        let known = newest.filter(is_good).and_then(|known| Some((known.revision, known.encoded.upgrade()?)));
        if let Some((revision, encoded)) = known {
            return Some((revision, Bytes::from_owner(Shared(encoded))));
        }
        if size_bytes >= MOST_BYTES {
            return None;
        }
        let reading = store.read(service);
        let encoded = Arc::new(encode::snapshot(reading.revision, reading.instances(), reading.ended()));
        sent.push(Sent {
            service: service.cloned(),
            revision: reading.revision,
            size_bytes: encoded.len(),
            encoded: Arc::downgrade(&encoded),
        });
        Some((reading.revision, Bytes::from_owner(Shared(encoded))))
    }
}

#[cfg(test)]
mod tests;
