//! Many writers and many watchers at once: nobody misses a change, or sees two of one instance out of order.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_model::{Change, ChangeKind, Identity, Instance, Revision};
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{Events, Running, Told, start};

const WRITERS: u16 = 8;
const ROUNDS: u16 = 60;
const EARLY_WATCHERS: usize = 10;

/// Few ids, so that the writers meet on each of them.
const IDS: u16 = 5;

#[derive(Default)]
struct Seen {
    state: BTreeMap<Identity, Instance>,
    changes: Vec<Change>,
    revision: Option<Revision>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_watcher_sees_every_change_in_order() {
    let registry = Arc::new(start().await);
    let mut watchers = JoinSet::new();
    for _ in 0..EARLY_WATCHERS {
        watchers.spawn(follow(registry.watch("", None).await, None));
    }
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let registry = Arc::clone(&registry);
        writers.spawn(async move { write(&registry, writer).await });
    }
    // These come while the writers are at work, so that their snapshots are taken in the midst of changes.
    while !writers.is_empty() {
        if watchers.len() < 4 * EARLY_WATCHERS {
            watchers.spawn(follow(registry.watch("", None).await, None));
            watchers.spawn(follow(registry.watch("?service=web", None).await, Some("web")));
        } else {
            writers.join_next().await.unwrap().unwrap();
        }
        while writers.try_join_next().map(Result::unwrap).is_some() {}
    }
    registry.put("web/last", json!({"port": 1, "ttl_s": 3600})).await;

    let all_seen = watchers.join_all().await;
    let (_, found) = registry.get("/v1/services/web").await;
    let web: Vec<Instance> = serde_json::from_value(found["instances"].clone()).unwrap();
    let longest = all_seen.iter().max_by_key(|(_, seen)| seen.changes.len()).unwrap();
    let history = longest.1.changes.clone();
    assert_eq!(history[0].revision.sequence, 1, "an early watcher saw it all");
    for (only, seen) in all_seen {
        let of_web = seen.state.values().filter(|instance| instance.service.as_str() == "web");
        let mut of_web: Vec<Instance> = of_web.cloned().collect();
        of_web.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(of_web, web, "the same end state");
        let asked = |change: &&Change| only.is_none_or(|only| change.instance.service.as_str() == only);
        let expected: Vec<&Change> = history.iter().filter(asked).collect();
        let suffix = &expected[expected.len() - seen.changes.len()..];
        assert_eq!(seen.changes.iter().collect::<Vec<_>>(), suffix, "every change in order");
    }
}

/// Registers, moves, changes and ends instances that others also work on.
async fn write(registry: &Running, writer: u16) {
    for round in 0..ROUNDS {
        let service = ["web", "web", "api"][usize::from(round % 3)];
        let place = format!("{service}/{}", (writer + round) % IDS);
        match (writer + round / 3) % 4 {
            0 | 1 => {
                drop(registry.put(&place, json!({"port": 1000 + writer * 100 + round, "ttl_s": 3600})).await);
            }
            2 => drop(registry.patch(&place, json!({"weight": 1 + writer * 100 + round})).await),
            _ => drop(registry.delete(&place, "").await),
        }
    }
}

/// Reads until the last instance joins. Each event must follow exactly from what was known: a change that the
/// snapshot already holds, or one that it lacks, would show here.
async fn follow(mut events: Events, only: Option<&'static str>) -> (Option<&'static str>, Seen) {
    let mut seen = Seen::default();
    loop {
        match events.next().await.unwrap() {
            Told::Snapshot(snapshot) => {
                assert_eq!(seen.revision, None, "one snapshot is enough");
                seen.revision = Some(snapshot.revision);
                seen.state =
                    snapshot.instances.into_iter().map(|instance| (instance.identity(), instance)).collect();
            }
            Told::Change(change) => seen.apply(change, only),
            Told::Tick(tick) => assert!(tick.revision.sequence >= seen.revision.unwrap().sequence),
        }
        if seen.state.keys().any(|identity| identity.id.as_str() == "last") {
            return (only, seen);
        }
    }
}

impl Seen {
    fn apply(&mut self, change: Change, only: Option<&str>) {
        let before = self.revision.replace(change.revision).unwrap().sequence;
        let sequence = change.revision.sequence;
        assert!(
            if only.is_some() { sequence > before } else { sequence == before + 1 },
            "{before}, {sequence}"
        );
        let identity = change.instance.identity();
        let same_id = self
            .state
            .keys()
            .filter(|known| (&known.service, &known.id) == (&identity.service, &identity.id));
        match change.kind {
            ChangeKind::Joined => {
                assert_eq!(same_id.count(), 0, "{change:?}");
                self.state.insert(identity, change.instance.clone());
            }
            ChangeKind::Changed => {
                let before = self.state.insert(identity, change.instance.clone());
                assert_ne!(before.unwrap(), change.instance);
            }
            ChangeKind::Left => {
                assert_eq!(self.state.remove(&identity).as_ref(), Some(&change.instance), "{change:?}");
            }
        }
        self.changes.push(change);
    }
}
