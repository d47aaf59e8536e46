use std::sync::{Arc, Weak};

use berth_model::{Revision, ServiceName};
use bytes::Bytes;
use tokio::sync::Mutex;

use crate::encode;
use crate::store::Memory;

/// The last snapshot that was encoded, for as long as somebody still sends it.
///
/// After a restart of the registry, or of a network, thousands of watchers ask at the same time. They wait for each
/// other here, so that one of them encodes and the others, which asked before it began, take the same bytes.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    last: Mutex<Option<Last>>,
}

#[derive(Debug)]
struct Last {
    service: Option<ServiceName>,
    revision: Revision,
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
    /// The event `snapshot`, no older than this call, and its revision.
    pub(super) async fn encoded(&self, store: &Memory, service: Option<&ServiceName>) -> (Revision, Bytes) {
        let asked_at = store.journal.head();
        let mut last = self.last.lock().await;
        let known = last
            .as_ref()
            .filter(|last| last.service.as_ref() == service && last.revision.sequence >= asked_at.sequence);
        if let Some((revision, encoded)) =
            known.and_then(|last| Some((last.revision, last.encoded.upgrade()?)))
        {
            return (revision, Bytes::from_owner(Shared(encoded)));
        }
        let reading = store.read(service);
        let bytes = encode::snapshot(reading.revision, reading.instances(), reading.ended());
        let encoded = Arc::new(bytes);
        *last = Some(Last {
            service: service.cloned(),
            revision: reading.revision,
            encoded: Arc::downgrade(&encoded),
        });
        (reading.revision, Bytes::from_owner(Shared(encoded)))
    }
}
