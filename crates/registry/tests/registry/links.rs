//! What the owner of a link is told.

use berth_model::{ChangeKind, Reason};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Running, answer, run_name, start};

fn word(name: &str, data: Value) -> (String, Value) {
    (name.to_owned(), data)
}

fn with(mut run: Value, more: &Value) -> Value {
    run.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    run
}

fn open(registry: &Running, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
    registry.request(Method::POST, "/v1/link").header("content-type", "application/json").body(body)
}

#[tokio::test]
async fn a_link_ticks_at_once() {
    let registry = start().await;
    let (_, put) = registry.put("web/a", json!({"port": 8000, "run": "5"})).await;
    let mut link = registry.link(&[("web/a", "5")]).await;
    assert_eq!(link.next().await.unwrap(), word("tick", json!({"revision": put["revision"]})));
    assert_eq!(registry.metric("registry_links").await, 1);
}

#[tokio::test]
async fn a_link_tells_what_others_change_and_nothing_that_the_owner_says() {
    let registry = start().await;
    let body = |weight: u16| json!({"port": 8000, "run": "5", "weight": weight});
    registry.put("web/a", body(1)).await;
    registry.put("web/other", json!({"port": 8001, "run": "5"})).await;
    let mut link = registry.link(&[("web/a", "5")]).await;
    let run = run_name("web/a", "5");

    registry.put("web/a", body(2)).await;
    registry.patch("web/other", json!({"weight": 9})).await;
    registry.patch("web/a", json!({"weight": 3})).await;
    assert_eq!(link.word().await, word("changed", with(run.clone(), &json!({"weight": 3}))));
    registry.patch("web/a", json!({"draining": true})).await;
    assert_eq!(link.word().await, word("drain", run.clone()));
    // It is that way already, and its owner must repeat it all the same.
    registry.patch("web/a", json!({"draining": true})).await;
    assert_eq!(link.word().await, word("drain", run.clone()));
    registry.patch("web/a", json!({"draining": false})).await;
    assert_eq!(link.word().await, word("undrain", run.clone()));
    registry.patch("web/a", json!({"draining": true, "weight": 4, "meta": {"k": "v"}})).await;
    assert_eq!(link.word().await, word("drain", run.clone()));
    let changed = with(run.clone(), &json!({"weight": 4, "meta": {"k": "v"}}));
    assert_eq!(link.word().await, word("changed", changed));
    registry.patch("web/a", json!({"meta": {}})).await;
    assert_eq!(link.word().await, word("changed", with(run.clone(), &json!({"meta": {}}))));
    registry.delete("web/a", "").await;
    assert_eq!(link.word().await, word("ended", with(run, &json!({"reason": "removed"}))));
}

#[tokio::test]
async fn a_link_tells_of_each_of_its_runs_how_it_ended() {
    let registry = start().await;
    for (id, ttl) in [("a", 60), ("b", 60), ("c", 2)] {
        registry.put(&format!("web/{id}"), json!({"port": 8000, "run": "5", "ttl_s": ttl})).await;
    }
    let mut link = registry.link(&[("web/a", "5"), ("web/b", "5"), ("web/c", "5")]).await;
    let ended = |id: &str, reason: &str| {
        word("ended", with(run_name(&format!("web/{id}"), "5"), &json!({"reason": reason})))
    };
    registry.delete("web/a", "?run=5").await;
    assert_eq!(link.word().await, ended("a", "deregistered"));
    registry.put("web/b", json!({"port": 8000, "run": "6"})).await;
    assert_eq!(link.word().await, ended("b", "replaced"));
    // Held, but never renewed: a link takes no part in the lease.
    assert_eq!(link.word().await, ended("c", "expired"));
    // The successor has not been named by this link.
    registry.patch("web/b", json!({"weight": 2})).await;
    registry.put("web/a", json!({"port": 8000, "run": "5"})).await;
    registry.patch("web/a", json!({"weight": 3})).await;
    registry.put("web/d", json!({"port": 8000, "run": "5"})).await;
    let mut second = registry.link(&[("web/d", "5")]).await;
    registry.delete("web/d", "").await;
    assert_eq!(second.word().await, ended("d", "removed"));
    registry.shutdown.graceful.cancel();
    while let Some((name, data)) = link.next().await {
        assert_eq!(name, "tick", "{data}");
    }
}

#[tokio::test]
async fn what_was_asked_before_is_told_when_the_link_opens() {
    let registry = start().await;
    registry.put("web/a", json!({"port": 8000, "run": "5"})).await;
    registry.patch("web/a", json!({"draining": true, "weight": 2})).await;
    registry.patch("web/a", json!({"weight": 3})).await;
    let run = run_name("web/a", "5");
    // Told again to the next link, for nobody knows whether the first was heard.
    let mut links = Vec::new();
    for _ in 0..2 {
        let mut link = registry.link(&[("web/a", "5")]).await;
        assert_eq!(link.next().await.unwrap().0, "tick");
        assert_eq!(link.next().await.unwrap(), word("drain", run.clone()));
        assert_eq!(link.next().await.unwrap(), word("changed", with(run.clone(), &json!({"weight": 3}))));
        links.push(link);
    }
    // What the owner has repeated is settled.
    registry.put("web/a", json!({"port": 8000, "run": "5", "weight": 3})).await;
    let mut link = registry.link(&[("web/a", "5")]).await;
    assert_eq!(link.word().await, word("drain", run.clone()));
    registry.patch("web/a", json!({"meta": {"k": "v"}})).await;
    assert_eq!(link.word().await, word("changed", with(run, &json!({"meta": {"k": "v"}}))));
}

#[tokio::test]
async fn a_drain_holds_until_the_owner_has_repeated_it() {
    let registry = start().await;
    let put = async |draining: bool, weight: u16| {
        let body = json!({"port": 8000, "run": "5", "draining": draining, "weight": weight});
        let (status, answer) = registry.put("web/a", body).await;
        assert!(status.is_success());
        (answer["instance"]["draining"].as_bool().unwrap(), answer["instance"]["weight"].as_u64().unwrap())
    };
    assert_eq!(put(false, 1).await, (false, 1));
    registry.patch("web/a", json!({"draining": true, "weight": 7})).await;
    assert_eq!(put(false, 1).await, (true, 7), "against what the owner says");
    assert_eq!(put(false, 1).await, (true, 7), "as often as it says so");
    assert_eq!(put(true, 1).await, (true, 7), "repeated: settled for draining, not for the weight");
    assert_eq!(put(false, 1).await, (false, 7), "its own word, which it takes back");
    assert_eq!(put(false, 7).await, (false, 7));
    assert_eq!(put(false, 2).await, (false, 2));
    let (_, found) = registry.get("/v1/services/web").await;
    assert_eq!(
        (&found["instances"][0]["draining"], &found["instances"][0]["weight"]),
        (&json!(false), &json!(2))
    );
}

#[tokio::test]
async fn a_run_that_moves_keeps_its_link() {
    let registry = start().await;
    registry.put("web/a", json!({"port": 8000, "run": "5"})).await;
    let mut link = registry.link(&[("web/a", "5")]).await;
    let mut events = registry.watch("", None).await;
    events.snapshot().await;
    registry.put("web/a", json!({"port": 8001, "run": "5"})).await;
    assert_eq!(events.change().await.reason, Some(Reason::Replaced));
    assert_eq!(events.change().await.kind, ChangeKind::Joined);
    registry.patch("web/a", json!({"draining": true})).await;
    assert_eq!(link.word().await, word("drain", run_name("web/a", "5")), "it is not told that it ended");
}

#[tokio::test]
async fn a_link_tells_at_once_which_of_its_runs_do_not_live() {
    let registry = start().await;
    registry.put("web/lives", json!({"port": 8000, "run": "5"})).await;
    registry.put("web/removed", json!({"port": 8000, "run": "5"})).await;
    registry.delete("web/removed", "").await;
    registry.put("web/done", json!({"port": 8000, "run": "5"})).await;
    registry.delete("web/done", "?run=5").await;
    for run in ["5", "6"] {
        registry.put("web/replaced", json!({"port": 8000, "run": run})).await;
    }
    let runs = [
        ("web/lives", "5"),
        ("web/removed", "5"),
        ("web/done", "5"),
        ("web/replaced", "5"),
        ("web/lives", "4"),
        ("none/such", "1"),
    ];
    let mut link = registry.link(&runs).await;
    for (place, reason) in
        [("web/removed", "removed"), ("web/done", "deregistered"), ("web/replaced", "replaced")]
    {
        let data = with(run_name(place, "5"), &json!({"reason": reason}));
        assert_eq!(link.word().await, word("ended", data));
    }
    assert_eq!(link.word().await, word("ended", run_name("web/lives", "4")), "no reason is known");
    assert_eq!(link.word().await, word("ended", run_name("none/such", "1")));
    registry.patch("web/lives", json!({"draining": true})).await;
    assert_eq!(link.word().await, word("drain", run_name("web/lives", "5")), "the others go on");
    assert_eq!(registry.get("/v1/services").await.1["services"], json!({"web": 2}));
}

#[tokio::test]
async fn bad_links_are_refused() {
    let registry = start().await;
    let (_, put) = registry.put("web/a", json!({"port": 8000, "run": "5"})).await;
    let run = run_name("web/a", "5");
    let entries = |number: usize| {
        let runs = (0..number).map(|id| run_name(&format!("web/{id}"), "1"));
        json!({"instances": runs.collect::<Vec<_>>()})
    };
    for (body, field) in [
        (json!({"instances": []}), "instances"),
        (entries(513), "instances"),
        (json!({"instances": [run, run]}), "instances"),
        (json!({"instances": [run], "more": 1}), "more"),
        (json!({"instances": [with(run.clone(), &json!({"port": 1}))]}), "instances[0].port"),
        (json!({"instances": [run, {"service": "web", "id": "b"}]}), "instances[1]"),
        (json!({"instances": [run_name("web/a", "x")]}), "instances[0].run"),
        (json!({"instances": [{"service": "web", "id": "a", "run": 5}]}), "instances[0].run"),
        (json!({"instances": [run_name("we b/a", "5")]}), "instances[0].service"),
        (json!({"instances": [run_name("web/..", "5")]}), "instances[0].id"),
        (json!({"instances": "web"}), "instances"),
        (json!({}), "body"),
        (json!([]), "body"),
    ] {
        let (status, problem) = answer(open(&registry, body.to_string())).await;
        assert_eq!((status, &problem["field"]), (StatusCode::BAD_REQUEST, &json!(field)), "{problem}");
        assert!(problem["mend"].is_string(), "{problem}");
    }
    assert_eq!(answer(open(&registry, "")).await.1["field"], "body");
    let (status, problem) = answer(registry.request(Method::POST, "/v1/link?run=5").json(&entries(1))).await;
    assert_eq!((status, &problem["field"]), (StatusCode::BAD_REQUEST, &json!("run")));
    let (status, _) = answer(registry.request(Method::GET, "/v1/link")).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(registry.metric("registry_links").await, 0);
    assert_eq!(registry.get("/v1/services").await.1["revision"], put["revision"]);
    // The most that one link may name.
    assert_eq!(open(&registry, entries(512).to_string()).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_link_is_a_write_and_obeys_the_rules_of_writes() {
    let registry = start().await;
    registry.put("web/a", json!({"port": 8000, "run": "5"})).await;
    let body = json!({"instances": [run_name("web/a", "5")]}).to_string();
    let plain = registry.request(Method::POST, "/v1/link").body(body.clone());
    assert_eq!(answer(plain).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let foreign = open(&registry, body.clone()).header("origin", "http://evil.example");
    let (status, problem) = answer(foreign).await;
    assert_eq!((status, &problem["field"]), (StatusCode::FORBIDDEN, &json!("Origin")));
    let rebound = open(&registry, body.clone()).header("host", "evil.example");
    assert_eq!(answer(rebound).await.0, StatusCode::FORBIDDEN);
    assert_eq!(registry.metric("registry_links").await, 0);
    assert_eq!(open(&registry, body).send().await.unwrap().status(), StatusCode::OK);
}
