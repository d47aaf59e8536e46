use std::pin::pin;
use std::time::Duration;

use berth_catalog::Event;
use berth_model::{ChangeKind, Query, Revision};
use tokio::time::timeout;
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
    let mut over = pin!(timeout(time, stop.cancelled()));
    let mut bell = store.journal.bell();
    // What is there now may be enough for a match, and never is for a change.
    let mut cursor = match waiting {
        Waiting::ForChange(after) => after,
        Waiting::ForMatch => {
            let reading = store.read(Some(&query.service));
            if is_answer(query, waiting, &reading) {
                return reading;
            }
            reading.revision
        }
    };
    loop {
        // First the bell is muted, then the log is read: a change after the reading rings it again.
        bell.borrow_and_update();
        if has_news(store, query, waiting, &mut cursor).await {
            let reading = store.read(Some(&query.service));
            if is_answer(query, waiting, &reading) {
                return reading;
            }
        }
        tokio::select! {
            // However often the bell rings, the time is over when it is.
            biased;
            _ = &mut over => return store.read(Some(&query.service)),
            // The store, which holds the bell's other end, lives as long as the call.
            _ = bell.changed() => {}
        }
    }
}

fn is_answer(query: &Query, waiting: Waiting, reading: &Reading) -> bool {
    match waiting {
        Waiting::ForMatch => reading.instances().any(|instance| query.matches(instance)),
        Waiting::ForChange(_) => true,
    }
}

/// Whether what is waited for may have happened after the cursor, which moves on to the newest entry.
async fn has_news(store: &Memory, query: &Query, waiting: Waiting, cursor: &mut Revision) -> bool {
    let is_news = |event: &Event| match waiting {
        Waiting::ForMatch => event.kind != ChangeKind::Left && query.matches(&event.instance),
        Waiting::ForChange(_) => event.instance.service == query.service,
    };
    loop {
        if cursor.epoch != store.journal.head().epoch {
            return true;
        }
        let Ok(entries) = store.journal.since(cursor.sequence, BATCH) else {
            // Too long ago, or ahead: what changed cannot be told.
            *cursor = store.journal.head();
            return true;
        };
        let Some(last) = entries.last() else { return false };
        *cursor = last.revision;
        if entries.iter().any(|entry| is_news(&entry.event)) {
            return true;
        }
        // Whoever writes all these changes to other services must get a turn.
        tokio::task::yield_now().await;
    }
}
