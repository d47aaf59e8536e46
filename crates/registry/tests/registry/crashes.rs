//! A link that is lost: who crashed, and who did not.

use berth_model::{Change, ChangeKind, Reason};
use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{Events, Running, start};
use crate::ports::{closing, listening, refusing};
use crate::raw::Raw;

async fn put(registry: &Running, place: &str, run: &str, port: u16) {
    let body = json!({"port": port, "run": run, "ttl_s": 3600});
    assert!(registry.put(place, body).await.0.is_success());
}

/// Registers a run whose address is dialled.
async fn put_dialled(registry: &Running, place: &str, run: &str, port: u16) {
    let body = json!({"port": port, "run": run, "ttl_s": 3600, "verify": "tcp"});
    assert!(registry.put(place, body).await.0.is_success());
}

/// Registers a run that listens while it does, and then no more.
async fn put_and_close(registry: &Running, place: &str, run: &str) {
    let (listener, port) = closing();
    put_dialled(registry, place, run, port).await;
    drop(listener);
}

async fn watch(registry: &Running) -> Events {
    let mut events = registry.watch("", None).await;
    events.snapshot().await;
    events
}

fn assert_left(change: &Change, id: &str, reason: Reason) {
    assert_eq!((change.kind, change.reason), (ChangeKind::Left, Some(reason)), "{change:?}");
    assert_eq!(change.instance.id.as_str(), id);
}

async fn refused_dials(registry: &Running) -> u64 {
    registry.metric("registry_dials_total{outcome=\"refused\"}").await
}

/// Whoever was a suspect before this call has been dialled when it returns: suspects are dialled in turn.
async fn settle(registry: &Running, events: &mut Events) {
    put_and_close(registry, "probe/probe", "1").await;
    assert_eq!(events.change().await.kind, ChangeKind::Joined);
    let links = registry.metric("registry_links").await;
    drop(registry.link(&[("probe/probe", "1")]).await);
    registry.links_are(links).await;
    assert_left(&events.change().await, "probe", Reason::Crashed);
}

#[tokio::test]
async fn a_lost_link_and_a_closed_port_are_a_crash_that_every_watcher_sees() {
    let registry = start().await;
    put_and_close(&registry, "web/a", "5").await;
    put_and_close(&registry, "web/unlinked", "5").await;
    let mut watchers = Vec::new();
    for query in ["", "", "?service=web"] {
        watchers.push(registry.watch(query, None).await);
        watchers.last_mut().unwrap().snapshot().await;
    }
    drop(registry.link(&[("web/a", "5")]).await);
    for events in &mut watchers {
        assert_left(&events.change().await, "a", Reason::Crashed);
    }
    assert_eq!(registry.ids("/v1/services/web").await, ["unlinked"], "which never had a link");
    let ended = registry.watch("", None).await.snapshot().await.ended;
    assert_eq!((ended.len(), ended[0].reason), (1, Reason::Crashed));
    // A crash is an opinion: its owner may know better.
    assert_eq!(registry.renew("web/a", "5").await.0, StatusCode::NOT_FOUND);
    put(&registry, "web/a", "5", 8000).await;
}

#[tokio::test]
async fn a_lost_link_and_an_open_port_are_left_to_the_lease() {
    let registry = start().await;
    let (_listener, port) = listening().await;
    registry.put("web/a", json!({"port": port, "run": "5", "ttl_s": 2, "verify": "tcp"})).await;
    let mut events = watch(&registry).await;
    drop(registry.link(&[("web/a", "5")]).await);
    assert_left(&events.change().await, "a", Reason::Expired);
    let dials = registry.metric("registry_dials_total{outcome=\"accepted\"}").await;
    assert!(dials >= 2, "before it was listed, and now: {dials}");
}

#[tokio::test]
async fn a_run_that_was_never_reached_is_left_to_its_lease() {
    let registry = start().await;
    let body = json!({"port": refusing(), "run": "5", "ttl_s": 2});
    assert!(registry.put("web/a", body).await.0.is_success());
    let mut events = watch(&registry).await;
    drop(registry.link(&[("web/a", "5")]).await);
    assert_left(&events.change().await, "a", Reason::Expired);
    assert_eq!(refused_dials(&registry).await, 0);
}

/// Whoever it is that opens another link: the owner's stays, hears everything, and its loss alone is a crash.
#[tokio::test]
async fn a_second_link_takes_nothing_from_the_first() {
    let registry = start().await;
    let mut events = watch(&registry).await;
    put_and_close(&registry, "web/a", "5").await;
    assert_eq!(events.change().await.kind, ChangeKind::Joined);
    let mut first = registry.link(&[("web/a", "5")]).await;
    drop(registry.link(&[("web/a", "5")]).await);
    registry.links_are(1).await;
    settle(&registry, &mut events).await;
    registry.patch("web/a", json!({"draining": true})).await;
    assert_eq!(first.word().await.0, "drain");
    assert!(events.change().await.instance.draining);
    drop(first);
    assert_left(&events.change().await, "a", Reason::Crashed);
}

#[tokio::test]
async fn a_second_link_takes_over_from_the_first() {
    let registry = start().await;
    let mut events = watch(&registry).await;
    put_and_close(&registry, "web/a", "5").await;
    assert_eq!(events.change().await.kind, ChangeKind::Joined);
    let first = registry.link(&[("web/a", "5")]).await;
    let mut second = registry.link(&[("web/a", "5")]).await;
    drop(first);
    registry.links_are(1).await;
    settle(&registry, &mut events).await;
    assert_eq!(refused_dials(&registry).await, 1, "of the probe alone");
    registry.patch("web/a", json!({"draining": true})).await;
    assert_eq!(second.word().await.0, "drain");
    assert!(events.change().await.instance.draining);
    drop(second);
    assert_left(&events.change().await, "a", Reason::Crashed);
}

#[tokio::test]
async fn one_link_speaks_for_all_runs_of_a_process() {
    let registry = start().await;
    let (_listener, open) = listening().await;
    let (closing, closed) = closing();
    for (place, port) in [("web/a", closed), ("web/b", open), ("api/c", closed), ("api/d", closed)] {
        put_dialled(&registry, place, "5", port).await;
    }
    drop(closing);
    let mut events = watch(&registry).await;
    let _other = registry.link(&[("api/d", "5")]).await;
    drop(registry.link(&[("web/a", "5"), ("web/b", "5"), ("api/c", "5"), ("none/such", "5")]).await);
    let mut crashed = Vec::new();
    for _ in 0..2 {
        let change = events.change().await;
        assert_eq!(change.reason, Some(Reason::Crashed));
        crashed.push(change.instance.id.to_string());
    }
    crashed.sort_unstable();
    assert_eq!(crashed, ["a", "c"]);
    settle(&registry, &mut events).await;
    assert_eq!(registry.get("/v1/services").await.1["services"], json!({"web": 1, "api": 1}));
}

#[tokio::test]
async fn a_link_of_a_run_that_was_deregistered_is_no_crash() {
    let registry = start().await;
    put_and_close(&registry, "web/a", "5").await;
    let link = registry.link(&[("web/a", "5")]).await;
    let mut events = watch(&registry).await;
    registry.delete("web/a", "?run=5").await;
    assert_left(&events.change().await, "a", Reason::Deregistered);
    // It comes back, without a link: the old one does not speak for its new life.
    put_and_close(&registry, "web/a", "5").await;
    assert_eq!(events.change().await.kind, ChangeKind::Joined);
    drop(link);
    registry.links_are(0).await;
    settle(&registry, &mut events).await;
    assert_eq!(refused_dials(&registry).await, 1, "of the probe alone");
    assert_eq!(registry.ids("/v1/services/web").await, ["a"]);
}

#[tokio::test]
async fn a_link_of_a_run_that_was_replaced_says_nothing_of_its_successor() {
    let registry = start().await;
    put_and_close(&registry, "web/a", "5").await;
    let link = registry.link(&[("web/a", "5")]).await;
    put_and_close(&registry, "web/a", "6").await;
    let mut events = watch(&registry).await;
    drop(link);
    registry.links_are(0).await;
    settle(&registry, &mut events).await;
    assert_eq!(registry.ids("/v1/services/web").await, ["a"]);
}

#[tokio::test]
async fn a_later_run_at_the_address_of_a_lost_one_proves_its_crash() {
    let registry = start().await;
    let (_listener, port) = listening().await;
    put(&registry, "web/a", "5", port).await;
    put(&registry, "web/later-still", "3", port).await;
    drop(registry.link(&[("web/a", "5")]).await);
    let mut events = watch(&registry).await;
    registry.links_are(0).await;
    assert_eq!(registry.ids("/v1/services/web").await, ["a", "later-still"], "an earlier run proves nothing");
    put(&registry, "web/b", "4", port).await;
    put(&registry, "api/b", "6", port).await;
    for id in ["b", "b"] {
        let joined = events.change().await;
        assert_eq!((joined.kind, joined.instance.id.as_str()), (ChangeKind::Joined, id));
    }
    assert_left(&events.change().await, "a", Reason::Crashed);
}

#[tokio::test]
async fn a_link_lost_after_a_later_run_came_to_its_address_is_a_crash() {
    let registry = start().await;
    let (_listener, port) = listening().await;
    put(&registry, "web/a", "5", port).await;
    let link = registry.link(&[("web/a", "5")]).await;
    put(&registry, "api/b", "6", port).await;
    let mut events = watch(&registry).await;
    assert_eq!(registry.ids("/v1/services/web").await, ["a"], "its link holds");
    drop(link);
    assert_left(&events.change().await, "a", Reason::Crashed);
    assert_eq!(registry.metric("registry_dials_total{outcome=\"accepted\"}").await, 0, "nothing to dial for");
}

/// A later run has the first one's address, so that its loss would be a crash at once. A request that is still
/// under way when the registry ends shows what it thinks after it has closed the link.
#[tokio::test]
async fn a_registry_that_ends_closes_links_and_crashes_nobody() {
    let mut registry = start().await;
    let (_listener, port) = listening().await;
    put(&registry, "web/a", "5", port).await;
    let mut link = registry.link(&[("web/a", "5")]).await;
    put(&registry, "api/b", "6", port).await;
    let mut asking = Raw::connect(registry.address).await;
    let head = "GET /v1/services HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    assert_eq!(asking.ask("GET", "/healthz", b"").await.status, 200);
    asking.send(format!("{head}content-length: 2\r\n\r\n")).await;
    assert_eq!(registry.metric("registry_links").await, 1);
    registry.shutdown.graceful.cancel();
    while let Some((name, data)) = link.next().await {
        assert_eq!(name, "tick", "{data}");
    }
    asking.send("{}").await;
    let answer = asking.answer().await.expect("what is under way is finished");
    assert_eq!(answer.json()["services"], json!({"web": 1, "api": 1}));
    (&mut registry.task).await.unwrap();
}
