use std::time::Duration;

use berth_catalog::Event;
use berth_model::{ChangeKind, Query, Revision};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::store::{Memory, Reading};

/// The most entries that are looked at in one go.
const BATCH: usize = 256;

/// What a waiting query waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Until an instance matches.
    ForMatch,
    /// Until something changed in the service after this revision.
    ForChange(Revision),
}

/// Reads a service when what is waited for has come, or as it is when the time is over or the registry ends.
pub(crate) async fn wait(
    store: &Memory,
    query: &Query,
    waiting: Waiting,
    time: Duration,
    stop: &CancellationToken,
) -> Reading {
    let deadline = Instant::now() + time;
    let mut bell = store.journal.bell();
    let mut reading = store.read(Some(&query.service));
    let mut cursor = match waiting {
        Waiting::ForMatch if reading.instances().any(|instance| query.matches(instance)) => return reading,
        Waiting::ForMatch => reading.revision,
        Waiting::ForChange(after) => after,
    };
    loop {
        // First the bell is muted, then the log is read: a change after the reading rings it again.
        bell.borrow_and_update();
        match concerns(store, query, waiting, &mut cursor).await {
            News::None => {}
            News::Some if waiting == Waiting::ForMatch => {
                reading = store.read(Some(&query.service));
                if reading.instances().any(|instance| query.matches(instance)) {
                    return reading;
                }
            }
            News::Some => return store.read(Some(&query.service)),
        }
        if Instant::now() >= deadline {
            return store.read(Some(&query.service));
        }
        tokio::select! {
            () = stop.cancelled() => return store.read(Some(&query.service)),
            // The store, which holds the bell's other end, lives as long as the call.
            rung = timeout_at(deadline, bell.changed()) => if rung.is_err() {
                return store.read(Some(&query.service));
            },
        }
    }
}

enum News {
    Some,
    None,
}

/// Whether what is waited for may have happened after the cursor, which moves on to the newest entry.
async fn concerns(store: &Memory, query: &Query, waiting: Waiting, cursor: &mut Revision) -> News {
    let is_news = |event: &Event| match waiting {
        Waiting::ForMatch => event.kind != ChangeKind::Left && query.matches(&event.instance),
        Waiting::ForChange(_) => event.instance.service == query.service,
    };
    loop {
        if cursor.epoch != store.journal.head().epoch {
            return News::Some;
        }
        let Ok(entries) = store.journal.since(cursor.sequence, BATCH) else {
            // Too long ago, or ahead: what changed cannot be told.
            *cursor = store.journal.head();
            return News::Some;
        };
        let Some(last) = entries.last() else { return News::None };
        *cursor = last.revision;
        if entries.iter().any(|entry| is_news(&entry.event)) {
            return News::Some;
        }
        // Whoever writes all these changes to other services must get a turn.
        tokio::task::yield_now().await;
    }
}
