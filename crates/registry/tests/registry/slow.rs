//! Watchers that read late, or never.

use berth_model::{Change, Snapshot};
use berth_registry::Limits;
use reqwest::StatusCode;
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::harness::{Events, Running, Told, limited, start, start_with};
use crate::raw::{Raw, request};

/// Changes of this size, and so many, that no buffer on the way holds them all: 12 MB.
const META_BYTES: usize = 16_000;
const CHANGES: u64 = 800;

/// Makes a large change.
async fn change(registry: &Running, number: u64) {
    let value = format!("{number:05}").repeat(META_BYTES / 15 / 5);
    let meta: serde_json::Map<_, _> = (0..15).map(|key| (key.to_string(), json!(value))).collect();
    assert_eq!(registry.patch("web/a", json!({"meta": meta})).await.0, StatusCode::OK);
}

/// Makes all changes, each as soon as a watcher that keeps up has seen the one before.
async fn change_all(registry: &Running) -> Vec<Change> {
    let mut events = registry.watch("", None).await;
    events.snapshot().await;
    let mut history = Vec::new();
    for number in 0..CHANGES {
        change(registry, number).await;
        history.push(events.change().await);
        assert_eq!(history.last().unwrap().revision.sequence, number + 2);
    }
    history
}

/// Reads all that a watcher is told up to a point in history. On a very busy machine it was cut off meanwhile, and
/// comes back.
async fn read_to(registry: &Running, events: &mut Events, sequence: u64) -> (Vec<Snapshot>, Vec<Change>) {
    let (mut snapshots, mut changes) = (Vec::<Snapshot>::new(), Vec::<Change>::new());
    let mut known = 0;
    while known < sequence {
        let Some(told) = events.next_unless_cut().await else {
            let change = changes.last().map(|change| change.revision);
            let snapshot = snapshots.last().map(|snapshot| snapshot.revision);
            let last = change.into_iter().chain(snapshot).max_by_key(|revision| revision.sequence);
            *events = registry.watch("", last.map(|last| last.to_string()).as_deref()).await;
            continue;
        };
        match told {
            Told::Snapshot(snapshot) => {
                assert!(snapshot.revision.sequence > known);
                known = snapshot.revision.sequence;
                snapshots.push(snapshot);
            }
            Told::Change(change) => {
                known += 1;
                assert_eq!(change.revision.sequence, known, "a gap");
                changes.push(change);
            }
            Told::Tick(tick) => assert_eq!(tick.revision.sequence, known, "all up to here was told"),
        }
    }
    (snapshots, changes)
}

#[tokio::test]
async fn nothing_is_kept_for_a_watcher_that_does_not_read() {
    let limits = Limits { log_bytes: 1024 * 1024, ..Limits::default() };
    let registry = start_with(limited(limits)).await;
    registry.put("web/a", json!({"port": 8000, "ttl_s": 3600})).await;
    let mut slow = Vec::new();
    for _ in 0..5 {
        slow.push(registry.watch("", None).await);
    }
    let history = change_all(&registry).await;
    for events in &mut slow {
        let (snapshots, changes) = read_to(&registry, events, CHANGES + 1).await;
        assert_eq!(snapshots.len(), 2, "one for the start, one for what is not kept");
        assert!(changes.len() < history.len() / 2, "{} changes waited", changes.len());
        assert!(changes.iter().all(|change| history.contains(change)));
        let last = changes.last().map(|change| &change.instance);
        let end = last.filter(|_| changes.last().unwrap().revision == history.last().unwrap().revision);
        assert_eq!(end.unwrap_or(&snapshots[1].instances[0]), &history.last().unwrap().instance);
    }
}

#[tokio::test]
async fn a_watcher_that_reads_late_misses_nothing_that_the_log_holds() {
    let registry = start().await;
    registry.put("web/a", json!({"port": 8000, "ttl_s": 3600})).await;
    let mut slow = registry.watch("", None).await;
    let history = change_all(&registry).await;
    let (snapshots, changes) = read_to(&registry, &mut slow, CHANGES + 1).await;
    assert_eq!(snapshots.len(), 1);
    assert!(changes == history);
}

#[tokio::test]
async fn what_is_written_for_one_watcher_at_a_time_is_small() {
    let registry = start().await;
    registry.put("web/a", json!({"port": 8000, "ttl_s": 3600})).await;
    let (_, list) = registry.get("/v1/services").await;
    for number in 0..100 {
        change(&registry, number).await;
    }
    // The head, then the size of the first chunk (RFC 9112 §7.1).
    let mut raw = Raw::connect(registry.address).await;
    let asked = String::from_utf8(request("GET", "/v1/watch", b"")).unwrap();
    let cursor = list["revision"].as_str().unwrap();
    raw.send(asked.replace("\r\nhost:", &format!("\r\nlast-event-id: {cursor}\r\nhost:"))).await;
    let mut received = Vec::new();
    let size = loop {
        assert!(raw.stream.read_buf(&mut received).await.unwrap() > 0);
        let text = String::from_utf8_lossy(&received);
        let size =
            text.split_once("\r\n\r\n").and_then(|(_, rest)| Some(rest.split_once("\r\n")?.0.to_owned()));
        if let Some(size) = size {
            break usize::from_str_radix(&size, 16).unwrap();
        }
    };
    // Enough for several changes, but not for all that are due.
    assert!((META_BYTES..512 * 1024).contains(&size), "{size} bytes at once");
}
