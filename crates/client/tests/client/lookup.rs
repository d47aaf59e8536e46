//! The single calls, against a scripted registry.

use std::time::Duration;

use crate::fake::{Call, Fake, Port, hold_clock, pass, pass_until, soon};
use berth_client::model::{Patch, Query, Registration, Run};
use berth_client::{Error, Lookup};
use serde_json::{Value, json};

const REVISION: &str = "00000000000000aa-7";

fn instance() -> Value {
    json!({"service": "web", "id": "one", "run": "5", "host": "127.0.0.1", "port": 80, "weight": 1, "ttl_s": 15.0})
}

struct Stage {
    _port: Port,
    fake: Fake,
    lookup: Lookup,
}

fn stage(token: Option<&str>) -> Stage {
    let port = Port::reserve();
    let fake = port.listen();
    let lookup = Lookup::new(port.registry(), token.map(str::to_owned)).expect("a client");
    Stage { _port: port, fake, lookup }
}

impl Stage {
    /// Makes a call and answers it.
    async fn exchange<T>(
        &mut self,
        call: impl AsyncFnOnce(Lookup) -> Result<T, Error>,
        answer: impl FnOnce(Call),
    ) -> Result<T, Error> {
        let lookup = self.lookup.clone();
        let answering = async { answer(self.fake.next().await) };
        tokio::join!(call(lookup), answering).0
    }
}

#[tokio::test(start_paused = true)]
async fn calls_are_spelled_as_the_api_says() {
    let _clock = hold_clock();
    let mut stage = stage(Some("s3cret"));
    let (web, one) = ("web".parse().expect("a name"), "one".parse().expect("an id"));
    let run = Run::new(1, 5);

    let registered = stage
        .exchange(
            async |lookup| lookup.register(&web, &one, &Registration::of_port(80)).await,
            |call| {
                assert_eq!(call.line(), "PUT /v1/services/web/instances/one");
                assert_eq!(call.header("content-type"), Some("application/json"));
                assert_eq!(call.header("authorization"), Some("Bearer s3cret"));
                assert_eq!(call.json()["port"], 80);
                call.ok(&json!({"instance": instance(), "revision": REVISION, "renew_s": 5.0}));
            },
        )
        .await
        .expect("registered");
    assert_eq!(registered.instance.id, one);

    let renewed = stage.exchange(
        async |lookup| lookup.renew(&web, &one, run).await,
        |call| {
            assert_eq!(call.line(), format!("PUT /v1/services/web/instances/one/lease?run={run}"));
            call.ok(&json!({"renew_s": 4.5}));
        },
    );
    assert!((renewed.await.expect("renewed").renew_s - 4.5).abs() < 1e-9);

    let patch = Patch { draining: Some(true), ..Patch::default() };
    let patched = stage.exchange(
        async |lookup| lookup.patch(&web, &one, &patch).await,
        |call| {
            assert_eq!(call.line(), "PATCH /v1/services/web/instances/one");
            assert_eq!(call.json(), json!({"draining": true}));
            call.ok(&instance());
        },
    );
    assert_eq!(patched.await.expect("patched").port, 80);

    let ended = stage.exchange(
        async |lookup| lookup.end(&web, &one, None).await,
        |call| {
            assert_eq!(call.line(), "DELETE /v1/services/web/instances/one");
            call.answer(204, "", "text/plain", "");
        },
    );
    ended.await.expect("ended");
}

#[tokio::test(start_paused = true)]
async fn lists_are_asked_for_and_read() {
    let _clock = hold_clock();
    let mut stage = stage(None);
    let mut query: Query = "web@>=1 <2".parse().expect("a query");
    query.meta.insert("track & field".to_owned(), "a=b".to_owned());
    let found = stage.exchange(
        async |lookup| lookup.query(&query).await,
        |call| {
            assert_eq!(call.line(), "GET /v1/services/web?version=%3E%3D1+%3C2&meta.track+%26+field=a%3Db");
            assert_eq!(call.header("authorization"), None);
            call.ok(&json!({"service": "web", "revision": REVISION, "instances": [instance()]}));
        },
    );
    assert_eq!(found.await.expect("found").instances.len(), 1);

    let services = stage.exchange(
        async |lookup| lookup.services().await,
        |call| {
            assert_eq!(call.line(), "GET /v1/services");
            call.ok(&json!({"revision": REVISION, "services": {"web": 3}}));
        },
    );
    assert_eq!(services.await.expect("services").services["web"], 3);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_tells_field_and_mend() {
    let _clock = hold_clock();
    let mut stage = stage(None);
    let body = json!({
        "type": "about:blank", "title": "Unprocessable Content", "status": 422,
        "detail": "is 127.0.0.1:80, which refused the connection", "field": "port", "mend": "Start it first.",
    });
    let refused = stage.exchange(async |lookup| lookup.services().await, |call| call.problem(422, "", &body));
    let error = refused.await.expect_err("refused");
    assert_eq!(error.status(), Some(422));
    assert!(!error.is_gone() && !error.is_not_found() && !error.is_passing());
    let text = error.to_string();
    assert!(
        text.ends_with("refused: port: is 127.0.0.1:80, which refused the connection. Start it first. (422)"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn statuses_tell_what_to_do_even_without_a_document() {
    let _clock = hold_clock();
    let mut stage = stage(None);
    let cases = [(404, true, false, false), (410, false, true, false), (503, false, false, true)];
    for (status, not_found, gone, passing) in cases {
        let refused = stage.exchange(
            async |lookup| lookup.services().await,
            |call| call.answer(status, "retry-after: 7\r\n", "text/plain", "no"),
        );
        let error = refused.await.expect_err("refused");
        assert_eq!((error.is_not_found(), error.is_gone(), error.is_passing()), (not_found, gone, passing));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reason_is_read_and_an_unknown_one_hides_nothing() {
    let _clock = hold_clock();
    let mut stage = stage(None);
    for (sent, read) in [("removed", Some("removed")), ("eaten", None)] {
        let body = json!({"status": 410, "detail": "gone", "reason": sent});
        let refused =
            stage.exchange(async |lookup| lookup.services().await, |call| call.problem(410, "", &body));
        let error = refused.await.expect_err("refused");
        let problem = error.problem().expect("a problem");
        assert_eq!(problem.detail.as_deref(), Some("gone"));
        assert_eq!(problem.reason.map(|reason| reason.as_str()), read);
    }
}

#[tokio::test(start_paused = true)]
async fn nonsense_and_redirects_are_broken_answers() {
    let _clock = hold_clock();
    let mut stage = stage(None);
    let html = stage
        .exchange(async |lookup| lookup.services().await, |call| call.answer(200, "", "text/html", "<html>"));
    assert!(matches!(html.await, Err(Error::Broken { .. })));
    let redirect = stage.exchange(
        async |lookup| lookup.services().await,
        |call| call.answer(307, "location: /elsewhere\r\n", "text/plain", ""),
    );
    assert!(matches!(redirect.await, Err(Error::Broken { .. })));
    assert!(stage.fake.is_quiet(), "the redirect was not followed");
}

#[tokio::test(start_paused = true)]
async fn silence_and_refused_connections_are_unreachable() {
    let _clock = hold_clock();
    let mut stage = stage(None);
    let lookup = stage.lookup.clone();
    let calling = tokio::spawn(async move { lookup.services().await });
    let held = stage.fake.next().await;
    let (answer, _) = pass_until("the deadline", Duration::from_secs(10), calling).await;
    let error = answer.expect("no panic").expect_err("nobody answered");
    assert!(matches!(&error, Error::Unreachable { why, .. } if why.contains("in time")), "{error}");
    drop(held);

    let port = Port::reserve();
    let lookup = Lookup::new(port.registry(), None).expect("a client");
    let error = lookup.services().await.expect_err("nobody listens");
    assert!(error.to_string().contains("Connection refused"), "{error}");
    assert!(error.is_passing());
}

#[tokio::test(start_paused = true)]
async fn a_wait_says_how_long_and_is_patient_for_that_long_and_the_usual_deadline() {
    const SLACK: Duration = Duration::from_millis(200);
    let _clock = hold_clock();
    let mut stage = stage(None);
    let query: Query = "web@1.x".parse().expect("a query");
    let waiting = |time_ms: u64| {
        let (lookup, query) = (stage.lookup.clone(), query.clone());
        tokio::spawn(async move { lookup.wait(&query, Duration::from_millis(time_ms)).await })
    };
    // The answer comes late, and there may be nothing in it.
    for (time_ms, instances) in [(30_000, json!([instance()])), (250, json!([]))] {
        let waiter = waiting(time_ms);
        let call = stage.fake.next().await;
        assert_eq!(call.line(), format!("GET /v1/services/web?version=1.x&wait={time_ms}ms"));
        pass(Duration::from_millis(time_ms + 4_500)).await;
        let count = instances.as_array().expect("a list").len();
        call.ok(&json!({"service": "web", "revision": REVISION, "instances": instances}));
        let found = soon("an answer", waiter).await.expect("no panic").expect("found");
        assert_eq!(found.instances.len(), count);
    }
    for time_ms in [30_000, 0] {
        let waiter = waiting(time_ms);
        let _held = stage.fake.next().await;
        let (answer, passed) = pass_until("the deadline", Duration::from_secs(60), waiter).await;
        let error = answer.expect("no panic").expect_err("nobody answered");
        assert!(matches!(&error, Error::Unreachable { why, .. } if why.contains("in time")), "{error}");
        let deadline = Duration::from_millis(time_ms + 5_000);
        assert!(passed >= deadline && passed <= deadline + SLACK, "{time_ms}: {passed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_ever_is_for_the_registry_to_refuse() {
    let _clock = hold_clock();
    let mut stage = stage(None);
    let query: Query = "web".parse().expect("a query");
    let refused = stage.exchange(
        async |lookup| lookup.wait(&query, Duration::MAX).await,
        |call| call.problem(400, "", &json!({"status": 400, "detail": "is too long", "field": "wait"})),
    );
    assert_eq!(refused.await.expect_err("refused").status(), Some(400));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_sent_is_named_but_not_shown() {
    let port = Port::reserve();
    let error = Lookup::new(port.registry(), Some("line\nbreak".to_owned())).expect_err("refused");
    assert!(matches!(&error, Error::Invalid(invalid) if invalid.field == "token"));
    assert!(!error.to_string().contains("break"));
    let lookup = Lookup::new(port.registry(), Some("s3cret".to_owned())).expect("a client");
    assert!(!format!("{lookup:?}").contains("s3cret"));
}
