//! Many writers and many watchers at once: nobody misses a change, or sees two of one instance out of order.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_model::{Change, ChangeKind, Identity, Instance, Revision};
use fastrand::Rng;
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{Events, Running, Told, field, start};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_watchers_are_told_the_same() {
    const WATCHERS: usize = 200;
    const JOINS_AND_LEAVES: usize = 1_000;
    berth_daemon::raise_descriptor_limit();
    let registry = Arc::new(start().await);
    let mut watchers = JoinSet::new();
    for _ in 0..WATCHERS {
        let events = registry.watch("", None).await;
        watchers.spawn(collect(events));
    }
    let straight = tokio::spawn(follow(registry.watch("", None).await, None));
    let mut writers = JoinSet::new();
    for writer in 0..5 {
        let registry = Arc::clone(&registry);
        writers.spawn(async move {
            for number in 0..JOINS_AND_LEAVES / 5 {
                let place = format!("s{writer}/{}", number / 2 % 7);
                let (status, _) = if number % 2 == 0 {
                    registry.put(&place, json!({"port": 1 + number, "ttl_s": 3600})).await
                } else {
                    registry.delete(&place, "").await
                };
                assert!(status.is_success());
            }
        });
    }
    writers.join_all().await;
    registry.put("web/last", json!({"port": 1, "ttl_s": 3600})).await;

    // One of them is understood, and the others have the very same text.
    let (_, seen) = straight.await.unwrap();
    let sequences: Vec<u64> = seen.changes.iter().map(|change| change.revision.sequence).collect();
    assert_eq!(sequences, (1..=JOINS_AND_LEAVES as u64 + 1).collect::<Vec<_>>());
    let ids: Vec<&str> = seen.state.keys().map(|identity| identity.id.as_str()).collect();
    assert_eq!(ids, ["last"], "every join was followed by its leave");
    let texts = watchers.join_all().await;
    assert_eq!(texts[0].len(), 1 + sequences.len(), "a snapshot and all changes");
    for (text, change) in texts[0][1..].iter().zip(&seen.changes) {
        assert_eq!(serde_json::from_str::<Change>(field(text, "data")).unwrap(), *change);
    }
    assert!(texts.iter().all(|text| *text == texts[0]));
}

/// All that a watcher is told until the last instance joins, ticks apart.
async fn collect(mut events: Events) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        let text = events.frames.next().await.unwrap();
        if field(&text, "event") != "tick" {
            texts.push(text);
        }
        if texts.last().is_some_and(|text| text.contains(r#""id":"last""#)) {
            return texts;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_watcher_that_breaks_off_again_and_again_sees_exactly_the_history() {
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    let registry = Arc::new(start().await);
    let (_, list) = registry.get("/v1/services").await;
    let mut last_seen = list["revision"].as_str().unwrap().to_owned();
    let straight = tokio::spawn(follow(registry.watch("", None).await, None));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let registry = Arc::clone(&registry);
        writers.spawn(async move { write(&registry, writer).await });
    }
    let finish = Arc::clone(&registry);
    tokio::spawn(async move {
        writers.join_all().await;
        finish.put("web/last", json!({"port": 1, "ttl_s": 3600})).await;
    });
    let mut history = Vec::new();
    let is_last = |change: &Change| change.instance.id.as_str() == "last";
    while !history.last().is_some_and(is_last) {
        let mut events = registry.watch("", Some(&last_seen)).await;
        for _ in 0..rng.usize(0..40) {
            // Never a snapshot: the log reaches back to it.
            let change = events.change().await;
            last_seen = change.revision.to_string();
            history.push(change);
            if history.last().is_some_and(is_last) {
                break;
            }
        }
    }
    let (_, seen) = straight.await.unwrap();
    assert!(history == seen.changes, "seed {seed}: {history:#?}");
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
