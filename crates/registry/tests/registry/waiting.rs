//! Queries that wait: for a match, or for a change.

use berth_model::Revision;
use berth_registry::Limits;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::harness::{Running, eventually, limited, start, start_with};

/// A registry with one place for calls that wait, so that a test can see whether it is taken.
async fn with_one_place() -> Running {
    start_with(limited(Limits { watchers: 1, ..Limits::default() })).await
}

/// Asks, and returns when no place is left.
async fn ask(registry: &Running, query: &str) -> JoinHandle<(StatusCode, Value)> {
    let asking = spawn(registry, query);
    eventually("it waits", async || waits(registry).await || asking.is_finished()).await;
    asking
}

fn spawn(registry: &Running, query: &str) -> JoinHandle<(StatusCode, Value)> {
    let request = registry.request(Method::GET, query);
    tokio::spawn(async move {
        loop {
            // The place may be taken by the look whether it is taken.
            let response = request.try_clone().unwrap().send().await.unwrap();
            let status = response.status();
            if status != StatusCode::SERVICE_UNAVAILABLE {
                return (status, response.json().await.unwrap());
            }
        }
    })
}

async fn waits(registry: &Running) -> bool {
    registry.get("/v1/services/nothing?wait=0s").await.0 == StatusCode::SERVICE_UNAVAILABLE
}

async fn put(registry: &Running, place: &str, more: Value) -> String {
    let mut body = json!({"port": 8000, "ttl_s": 3600});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (status, answer) = registry.put(place, body).await;
    assert!(status.is_success(), "{answer}");
    answer["revision"].as_str().unwrap().to_owned()
}

fn ids(found: &Value) -> Vec<&str> {
    found["instances"].as_array().unwrap().iter().map(|instance| instance["id"].as_str().unwrap()).collect()
}

fn sequence(revision: &Value) -> u64 {
    revision.as_str().unwrap().parse::<Revision>().unwrap().sequence
}

/// A time that no test waits out.
const LONG: &str = "wait=10m";

#[tokio::test]
async fn what_matches_already_is_answered_at_once() {
    let registry = start().await;
    put(&registry, "web/a", json!({"version": "1.2.3", "meta": {"k": "v"}})).await;
    put(&registry, "web/b", json!({"version": "2.0.0"})).await;
    for (query, found) in [("", vec!["a", "b"]), ("version=1.x&", vec!["a"]), ("meta.k=v&", vec!["a"])] {
        assert_eq!(registry.ids(&format!("/v1/services/web?{query}{LONG}")).await, found);
    }
}

#[tokio::test]
async fn a_wait_ends_with_the_first_match_and_not_with_other_changes() {
    let registry = with_one_place().await;
    for (query, wrong, right) in [
        ("", None, json!({})),
        ("version=1.x&", Some(json!({"version": "2.0.0"})), json!({"version": "1.9.0"})),
        ("meta.k=v&", Some(json!({"meta": {"k": "w"}})), json!({"meta": {"k": "v", "l": "m"}})),
        (
            "version=%5E1.2&meta.k=v&",
            Some(json!({"version": "1.2.0"})),
            json!({"version": "1.3.0", "meta": {"k": "v"}}),
        ),
    ] {
        let asking = ask(&registry, &format!("/v1/services/web?{query}{LONG}")).await;
        put(&registry, "api/right", right.clone()).await;
        if let Some(wrong) = wrong {
            put(&registry, "web/wrong", wrong).await;
            registry.patch("web/wrong", json!({"weight": 2})).await;
        }
        assert!(waits(&registry).await, "{query} was answered by something else");
        put(&registry, "web/right", right).await;
        let (status, found) = asking.await.unwrap();
        assert_eq!((status, ids(&found)), (StatusCode::OK, vec!["right"]), "{query}");
        for place in ["web/right", "web/wrong", "api/right"] {
            registry.delete(place, "").await;
        }
    }
}

#[tokio::test]
async fn a_change_that_makes_an_instance_match_ends_the_wait() {
    let registry = with_one_place().await;
    put(&registry, "web/a", json!({})).await;
    let asking = ask(&registry, &format!("/v1/services/web?meta.k=v&{LONG}")).await;
    registry.patch("web/a", json!({"meta": {"k": "v"}})).await;
    assert_eq!(ids(&asking.await.unwrap().1), ["a"]);
}

#[tokio::test]
async fn a_wait_that_is_over_finds_nothing() {
    let registry = start().await;
    put(&registry, "web/a", json!({"version": "1.0.0"})).await;
    for query in ["web?version=2.x&wait=1ms", "web?version=2.x&wait=0s", "none?wait=1ms"] {
        let (status, found) = registry.get(&format!("/v1/services/{query}")).await;
        assert_eq!((status, ids(&found)), (StatusCode::OK, vec![]), "{query}");
        assert_eq!(sequence(&found["revision"]), 1);
    }
}

#[tokio::test]
async fn a_revision_after_which_something_changed_is_answered_at_once() {
    let registry = start_with(limited(Limits { log_entries: 4, ..Limits::default() })).await;
    let first = put(&registry, "web/a", json!({})).await;
    for number in 0..5 {
        put(&registry, &format!("api/{number}"), json!({})).await;
    }
    let now = put(&registry, "web/b", json!({})).await;
    let head: Revision = now.parse().unwrap();
    let before = Revision { sequence: head.sequence - 1, ..head };
    let other_epoch = Revision { epoch: head.epoch ^ 1, ..head };
    let ahead = Revision { sequence: head.sequence + 9, ..head };
    // The first one is older than the log, which does not tell any more that nothing happened since.
    for after in [first, before.to_string(), other_epoch.to_string(), ahead.to_string()] {
        let query = format!("/v1/services/web?{LONG}&after={after}");
        let (status, found) = registry.get(&query).await;
        assert_eq!((status, ids(&found)), (StatusCode::OK, vec!["a", "b"]), "{after}");
        assert_eq!(found["revision"], now.as_str());
    }
}

#[tokio::test]
async fn after_waits_for_a_change_in_its_own_service() {
    let registry = with_one_place().await;
    let mut now = put(&registry, "web/a", json!({})).await;
    for (number, act) in ["join", "change", "leave"].into_iter().enumerate() {
        let asking = ask(&registry, &format!("/v1/services/web?after={now}&{LONG}")).await;
        let elsewhere = put(&registry, &format!("api/{number}"), json!({})).await;
        assert!(waits(&registry).await, "a change to another service ended it");
        let expected = match act {
            "join" => {
                put(&registry, "web/b", json!({})).await;
                vec!["a", "b"]
            }
            "change" => {
                registry.patch("web/b", json!({"draining": true})).await;
                vec!["a", "b"]
            }
            _ => {
                registry.delete("web/b", "").await;
                vec!["a"]
            }
        };
        let (status, found) = asking.await.unwrap();
        assert_eq!((status, ids(&found)), (StatusCode::OK, expected), "{act}");
        assert_eq!(sequence(&found["revision"]), sequence(&json!(elsewhere)) + 1, "{act}");
        now = found["revision"].as_str().unwrap().to_owned();
    }
}

#[tokio::test]
async fn after_ends_with_any_change_but_lists_what_matches() {
    let registry = with_one_place().await;
    let now = put(&registry, "web/a", json!({"version": "1.0.0"})).await;
    let asking = ask(&registry, &format!("/v1/services/web?version=1.x&after={now}")).await;
    put(&registry, "web/b", json!({"version": "2.0.0"})).await;
    assert_eq!(ids(&asking.await.unwrap().1), ["a"]);
}

#[tokio::test]
async fn after_answers_when_the_time_is_over() {
    let registry = start().await;
    let now = put(&registry, "web/a", json!({})).await;
    let (status, found) = registry.get(&format!("/v1/services/web?after={now}&wait=1ms")).await;
    assert_eq!((status, ids(&found), &found["revision"]), (StatusCode::OK, vec!["a"], &json!(now)));
}

#[tokio::test]
async fn bad_times_and_revisions_are_refused() {
    let registry = start().await;
    let now = put(&registry, "web/a", json!({})).await;
    for (query, field) in [
        ("wait=", "wait"),
        ("wait=30", "wait"),
        ("wait=-1s", "wait"),
        ("wait=soon", "wait"),
        ("wait=601s", "wait"),
        ("wait=99999999999999999999s", "wait"),
        ("wait=1s&wait=2s", "wait"),
        ("after=", "after"),
        ("after=7", "after"),
        ("after=latest&wait=1s", "after"),
        ("after=00-1", "after"),
        ("wait=1ms&since=1", "since"),
        ("wait=1ms&version=one", "version"),
    ] {
        let (status, problem) = registry.get(&format!("/v1/services/web?{query}")).await;
        assert_eq!(
            (status, &problem["field"]),
            (StatusCode::BAD_REQUEST, &json!(field)),
            "{query}: {problem}"
        );
        assert!(problem["mend"].is_string(), "{problem}");
    }
    let later = format!("{now}0{now}");
    let (status, _) = registry.get(&format!("/v1/services/web?after={later}")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_caller_that_goes_away_gives_its_place_back() {
    let registry = with_one_place().await;
    let asking = ask(&registry, &format!("/v1/services/web?{LONG}")).await;
    assert!(waits(&registry).await);
    asking.abort();
    eventually("there is a place again", async || !waits(&registry).await).await;
}

#[tokio::test]
async fn a_registry_that_ends_answers_those_who_wait() {
    let mut registry = start_with(limited(Limits { watchers: 2, ..Limits::default() })).await;
    let now = put(&registry, "api/a", json!({})).await;
    let for_match = format!("/v1/services/web?{LONG}");
    let for_change = format!("/v1/services/api?after={now}&{LONG}");
    let waiting = [spawn(&registry, &for_match), spawn(&registry, &for_change)];
    eventually("both wait", async || waits(&registry).await).await;
    registry.shutdown.graceful.cancel();
    let mut found = Vec::new();
    for answer in waiting {
        let (status, body) = answer.await.unwrap();
        assert_eq!(status, StatusCode::OK);
        found.push(body);
    }
    assert_eq!((ids(&found[0]), ids(&found[1])), (vec![], vec!["a"]));
    (&mut registry.task).await.unwrap();
}
