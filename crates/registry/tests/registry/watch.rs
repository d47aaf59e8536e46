//! The watch stream: snapshot, changes, ticks, and where they go on.

use berth_model::{ChangeKind, Reason, Revision};
use berth_registry::Limits;
use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{Running, Told, limited, start, start_with};

async fn fill(registry: &Running, numbers: std::ops::Range<u16>) {
    for number in numbers {
        let body = json!({"port": 8000 + number, "ttl_s": 3600});
        assert_eq!(registry.put(&format!("web/{number}"), body).await.0, StatusCode::CREATED);
    }
}

#[tokio::test]
async fn a_snapshot_then_every_change() {
    let registry = start().await;
    registry.put("web/b", json!({"port": 8001, "run": "5"})).await;
    registry.put("web/a", json!({"port": 8000})).await;
    registry.put("api/x", json!({"port": 8002})).await;
    registry.delete("api/x", "").await;
    let mut events = registry.watch("", None).await;
    let snapshot = events.snapshot().await;
    let ids: Vec<_> = snapshot.instances.iter().map(|instance| instance.id.as_str()).collect();
    assert_eq!((snapshot.revision.sequence, ids), (4, vec!["a", "b"]), "sorted");
    assert_eq!(snapshot.ended.len(), 1);
    assert_eq!((snapshot.ended[0].id.as_str(), snapshot.ended[0].reason), ("x", Reason::Removed));

    registry.patch("web/a", json!({"draining": true})).await;
    let change = events.change().await;
    assert_eq!((change.revision.sequence, change.kind, change.reason), (5, ChangeKind::Changed, None));
    assert!(change.instance.draining);
    registry.put("web/b", json!({"port": 8003, "run": "6"})).await;
    let left = events.change().await;
    assert_eq!((left.kind, left.reason), (ChangeKind::Left, Some(Reason::Replaced)));
    assert_eq!((left.instance.port, left.instance.run.to_string()), (8001, "5".to_owned()));
    let joined = events.change().await;
    assert_eq!((joined.kind, joined.reason, joined.instance.port), (ChangeKind::Joined, None, 8003));
    registry.delete("web/b", "?run=6").await;
    assert_eq!(events.change().await.reason, Some(Reason::Deregistered));
}

#[tokio::test]
async fn an_unknown_service_is_an_open_empty_stream() {
    let registry = start().await;
    registry.put("web/a", json!({"port": 8000})).await;
    let mut events = registry.watch("?service=api", None).await;
    assert!(events.snapshot().await.instances.is_empty());
    registry.put("web/b", json!({"port": 8001})).await;
    registry.put("api/a", json!({"port": 8002})).await;
    assert_eq!(events.change().await.instance.service.as_str(), "api", "others are filtered out");
}

#[tokio::test]
async fn a_stream_ticks_with_the_revision() {
    let registry = start().await;
    let mut all = registry.watch("", None).await;
    let mut one = registry.watch("?service=api", None).await;
    all.snapshot().await;
    one.snapshot().await;
    registry.put("web/a", json!({"port": 8000, "ttl_s": 60})).await;
    all.change().await;
    for events in [&mut all, &mut one] {
        let Some(Told::Tick(tick)) = events.next().await else { panic!("no tick") };
        assert_eq!(tick.revision.sequence, 1);
    }
}

#[tokio::test]
async fn a_stream_goes_on_where_it_stopped() {
    let registry = start().await;
    fill(&registry, 0..3).await;
    let first = registry.watch("", None).await.snapshot().await.revision;
    fill(&registry, 3..6).await;
    let mut events = registry.watch("", Some(&first.to_string())).await;
    for number in 3..6u64 {
        let change = events.change().await;
        assert_eq!(
            (change.revision.sequence, change.instance.id.as_str()),
            (number + 1, &*number.to_string())
        );
    }
}

#[tokio::test]
async fn a_cursor_that_leads_nowhere_gets_a_snapshot() {
    let registry = start_with(limited(Limits { log_entries: 4, ..Limits::default() })).await;
    fill(&registry, 0..10).await;
    let now = registry.watch("", None).await.snapshot().await.revision;
    assert_eq!(now.sequence, 10);
    let other_epoch = Revision { epoch: now.epoch ^ 1, ..now };
    let ahead = Revision { sequence: 11, ..now };
    let too_old = Revision { sequence: 5, ..now };
    for cursor in [other_epoch.to_string(), ahead.to_string(), too_old.to_string(), "nonsense".to_owned()] {
        let snapshot = registry.watch("", Some(&cursor)).await.snapshot().await;
        assert_eq!((snapshot.revision, snapshot.instances.len()), (now, 10), "{cursor}");
    }
    let oldest = Revision { sequence: 6, ..now };
    assert_eq!(registry.watch("", Some(&oldest.to_string())).await.change().await.revision.sequence, 7);
}

#[tokio::test]
async fn a_watcher_that_falls_behind_gets_a_snapshot_and_goes_on() {
    let registry = start_with(limited(Limits { log_entries: 8, ..Limits::default() })).await;
    let mut events = registry.watch("", None).await;
    let mut known: Vec<u16> =
        events.snapshot().await.instances.iter().map(|instance| instance.port).collect();
    fill(&registry, 0..300).await;
    while known.len() < 300 {
        match events.next().await.unwrap() {
            Told::Snapshot(snapshot) => {
                known = snapshot.instances.iter().map(|instance| instance.port).collect();
            }
            Told::Change(change) => known.push(change.instance.port),
            Told::Tick(_) => {}
        }
    }
    known.sort_unstable();
    assert_eq!(known, (8000..8300).collect::<Vec<u16>>());
}

#[tokio::test]
async fn streams_end_with_the_registry() {
    let mut registry = start().await;
    let mut events = registry.watch("", None).await;
    events.snapshot().await;
    registry.shutdown.graceful.cancel();
    assert_eq!(events.next().await, None, "a clean end");
    (&mut registry.task).await.unwrap();
}
