//! Registrations, against scripted registries.

use std::time::Duration;

use berth_client::{Error, Registration, Settings, State};
use serde_json::json;

use crate::fake::{Port, hold_clock, pass, pass_until, settle, soon};
use crate::logs::Logs;
use crate::scene::{SECOND, accept, is_renewal, next_call, registered, settings, start, stop};

#[tokio::test(start_paused = true)]
async fn it_registers_with_every_registry_and_deregisters_from_each() {
    let _clock = hold_clock();
    let (port, other_port) = (Port::reserve(), Port::reserve());
    let (mut fake, mut other_fake) = (port.listen(), other_port.listen());
    let mut settings = settings(&[&port, &other_port]);
    settings.meta.insert("color".to_owned(), "blue".to_owned());
    settings.token = Some("s3cret".to_owned());
    let registration = Registration::start(settings).expect("settings that are right");

    let call = fake.next().await;
    assert_eq!(call.header("authorization"), Some("Bearer s3cret"));
    let body = accept(call);
    assert_eq!(body, accept(other_fake.next().await), "both see the same identity");
    assert_eq!(body["run"], registration.run().to_string());
    assert_eq!((&body["host"], &body["port"]), (&json!("127.0.0.1"), &json!(41234)));
    assert_eq!((&body["version"], &body["meta"]["color"]), (&json!("1.2.3"), &json!("blue")));

    let both = |state: &State| state.registered_at.len() == 2;
    soon("both accept", registration.states().wait_for(both)).await.expect("it runs");
    assert_eq!(stop(registration, &mut [&mut fake, &mut other_fake]).await, 2);
    pass(20 * SECOND).await;
    assert!(fake.is_quiet() && other_fake.is_quiet(), "nothing comes after the goodbye");
}

#[tokio::test(start_paused = true)]
async fn the_bound_address_is_registered_as_it_is() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let cases = [
        ("127.0.0.2:80", "127.0.0.2"),
        ("[::1]:80", "::1"),
        ("[::ffff:10.0.0.7]:80", "10.0.0.7"),
        ("0.0.0.0:80", "127.0.0.1"),
        ("[::]:80", "127.0.0.1"),
    ];
    for (bound, host) in cases {
        let bound = bound.parse().expect("an address");
        let registration = Registration::start(Settings { listening: bound, ..settings(&[&port]) });
        let body = accept(fake.next().await);
        assert_eq!(body["host"], host, "{bound}");
        drop(registration);
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn renewals_come_as_often_as_the_registry_asks_with_jitter() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (registration, _) = registered(&mut fake, &port).await;
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let (call, pause) = next_call(&mut fake, 6 * SECOND).await;
        assert_eq!(
            call.line(),
            format!("PUT /v1/services/web/instances/one/lease?run={}", registration.run())
        );
        call.ok(&json!({"renew_s": 5.0}));
        settle().await;
        pauses.push(pause);
    }
    let bounds = Duration::from_millis(4_400)..Duration::from_millis(5_600);
    assert!(pauses.iter().all(|pause| bounds.contains(pause)), "{pauses:?}");
    pauses.sort_unstable();
    pauses.dedup();
    assert!(pauses.len() > 2, "no jitter: {pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn two_renewals_may_get_lost_within_one_lease() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (_registration, _) = registered(&mut fake, &port).await;
    let (mut passed, mut lost) = (Duration::ZERO, Vec::new());
    while lost.len() < 3 {
        let (call, pause) = next_call(&mut fake, 15 * SECOND).await;
        assert!(is_renewal(&call));
        passed += pause;
        // Neither answered nor refused.
        lost.push(call);
    }
    assert!(passed < 15 * SECOND, "the third came {passed:?} after the registration");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_forgot_it_is_told_again_the_same() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (registration, body) = registered(&mut fake, &port).await;
    let (call, _) = next_call(&mut fake, 6 * SECOND).await;
    assert!(is_renewal(&call));
    call.problem(404, "", &json!({"status": 404}));
    assert_eq!(accept(fake.next().await), body);
    soon("registered", registration.registered()).await.expect("not ended");
    let (call, _) = next_call(&mut fake, 6 * SECOND).await;
    assert!(is_renewal(&call));
}

#[tokio::test(start_paused = true)]
async fn an_end_on_purpose_is_obeyed_and_spread() {
    let _clock = hold_clock();
    let logs = Logs::collect();
    let (port, other_port) = (Port::reserve(), Port::reserve());
    let (mut fake, mut other_fake) = (port.listen(), other_port.listen());
    let registration = start(&[&port, &other_port]);
    accept(fake.next().await);
    accept(other_fake.next().await);
    let (call, _) = next_call(&mut fake, 6 * SECOND).await;
    call.problem(410, "", &json!({"status": 410, "detail": "An operator removed it.", "reason": "removed"}));
    let ended = |state: &State| state.ended.is_some();
    soon("it ends", registration.states().wait_for(ended)).await.expect("it ran");
    let error = registration.registered().await.expect_err("ended");
    assert!(error.to_string().contains("An operator removed it."), "{error}");
    assert_eq!(logs.count("ended on purpose"), 1);

    // The other registry may have been just about to be renewed with.
    let mut call = other_fake.next().await;
    while is_renewal(&call) {
        call.ok(&json!({"renew_s": 5.0}));
        call = other_fake.next().await;
    }
    assert_eq!(call.line(), format!("DELETE /v1/services/web/instances/one?run={}", registration.run()));
    call.answer(204, "", "text/plain", "");
    pass(60 * SECOND).await;
    assert!(fake.is_quiet() && other_fake.is_quiet(), "it registers no more");
    registration.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_too_old_at_once_stops() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let registration = start(&[&port]);
    fake.next().await.problem(410, "", &json!({"status": 410, "reason": "replaced"}));
    soon("it ends", registration.registered()).await.expect_err("ended");
    pass(60 * SECOND).await;
    assert!(fake.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_logged_once_and_survived() {
    let _clock = hold_clock();
    let logs = Logs::collect();
    let port = Port::reserve();
    let registration = start(&[&port]);
    let away = format!("registry {} is away, trying again", port.registry());
    pass(10 * SECOND).await;
    assert_eq!(logs.count(&away), 1);

    let mut fake = port.listen();
    let (call, _) = next_call(&mut fake, 4 * SECOND).await;
    accept(call);
    soon("registered", registration.registered()).await.expect("not ended");
    assert_eq!(logs.count(" registered registry="), 1);
    drop(fake);
    let forgotten = |state: &State| state.registered_at.is_empty();
    let mut states = registration.states();
    let _ = pass_until("the outage shows", 6 * SECOND, states.wait_for(forgotten)).await;
    pass(10 * SECOND).await;
    assert_eq!(logs.count(&away), 2);

    // It lost its memory meanwhile.
    let mut fake = port.listen();
    let (call, _) = next_call(&mut fake, 4 * SECOND).await;
    assert!(is_renewal(&call));
    call.problem(404, "", &json!({"status": 404}));
    accept(fake.next().await);
    soon("registered", registration.registered()).await.expect("not ended");
    assert_eq!(logs.count("registered again"), 1);
    assert_eq!(logs.count("is away"), 2);
}

#[tokio::test(start_paused = true)]
async fn pauses_between_tries_grow_and_honour_the_registry() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let _registration = start(&[&port]);
    // Closed without an answer, seven times.
    drop(fake.next().await);
    let mut pauses = [SECOND; 6];
    for pause in &mut pauses {
        *pause = next_call(&mut fake, 4 * SECOND).await.1;
        settle().await;
    }
    assert!(pauses[0] <= SECOND / 5 && pauses[5] >= SECOND, "{pauses:?}");
    let mut call = next_call(&mut fake, 4 * SECOND).await.0;
    // Thousands that were asked at the same time must not come back at the same time.
    let mut pauses = [SECOND; 4];
    let cases = [(503, 8, 8), (429, 8, 8), (503, 8, 8), (500, 9_000, 60)];
    for ((status, asked_s, kept_s), pause) in cases.into_iter().zip(&mut pauses) {
        call.problem(status, &format!("retry-after: {asked_s}\r\n"), &json!({"status": status}));
        settle().await;
        (call, *pause) = next_call(&mut fake, 130 * SECOND).await;
        assert!(*pause >= kept_s * SECOND && *pause <= 2 * kept_s * SECOND + SECOND / 5, "{pause:?}");
    }
    assert!(pauses[0] != pauses[1] || pauses[1] != pauses[2], "in step: {pauses:?}");
    accept(call);
}

/// A registry that stands still counts hardly any of that time, so that the lease still runs when it goes on.
#[tokio::test(start_paused = true)]
async fn a_short_lease_is_not_left_alone_for_as_long_as_it_lives() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let mut settings = settings(&[&port]);
    settings.ttl = 2.0.try_into().expect("a time to live");
    let _registration = Registration::start(settings).expect("settings that are right");
    accept(fake.next().await);
    let mut unanswered = Vec::new();
    for renewal in 0..12 {
        let (call, pause) = next_call(&mut fake, 6 * SECOND).await;
        assert!(is_renewal(&call), "{}", call.line());
        // Half a second for the call, a sixth of the lease before the next one, and the test's own steps.
        assert!(renewal == 0 || pause <= Duration::from_millis(900), "{renewal}: {pause:?}");
        unanswered.push(call);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_logged_with_its_mend_and_tried_again_slowly() {
    let _clock = hold_clock();
    let logs = Logs::collect();
    let port = Port::reserve();
    let mut fake = port.listen();
    let registration = start(&[&port]);
    let body = json!({"status": 422, "detail": "Nobody answers.", "field": "port", "mend": "Bind it first."});
    fake.next().await.problem(422, "", &body);
    settle().await;
    for _ in 0..2 {
        let (call, pause) = next_call(&mut fake, 10 * SECOND).await;
        assert!(pause >= Duration::from_millis(400), "{pause:?}");
        call.problem(422, "", &body);
        settle().await;
    }
    assert_eq!(logs.count("refused this instance"), 1);
    assert_eq!(logs.count("mend=\"Bind it first.\""), 1);
    let (call, _) = next_call(&mut fake, 20 * SECOND).await;
    accept(call);
    soon("registered", registration.registered()).await.expect("not ended");
}

#[tokio::test(start_paused = true)]
async fn draining_is_told_at_once_and_repeated() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (registration, body) = registered(&mut fake, &port).await;
    assert_eq!(body["draining"], false);
    registration.set_draining(true);
    assert_eq!(accept(fake.next().await)["draining"], true);
    registration.set_draining(true);
    let (call, _) = next_call(&mut fake, 6 * SECOND).await;
    assert!(is_renewal(&call), "saying it twice is no news");
    call.problem(404, "", &json!({"status": 404}));
    assert_eq!(accept(fake.next().await)["draining"], true);
    settle().await;
    registration.set_draining(false);
    assert_eq!(accept(fake.next().await)["draining"], false);
}

#[tokio::test(start_paused = true)]
async fn the_goodbye_waits_for_the_call_before_it_but_not_for_ever() {
    let _clock = hold_clock();
    let (port, hung_port) = (Port::reserve(), Port::reserve());
    let (mut fake, mut hung) = (port.listen(), hung_port.listen());
    let registration = start(&[&port, &hung_port]);
    let call = fake.next().await;
    let held = hung.next().await;
    let stopping = tokio::spawn(registration.stop());
    settle().await;
    assert!(fake.is_quiet(), "a goodbye that overtakes the registration would be undone by it");
    accept(call);
    let call = fake.next().await;
    assert!(call.line().starts_with("DELETE "), "{}", call.line());
    call.answer(204, "", "text/plain", "");
    let (_, passed) = pass_until("it stops", 2 * SECOND, stopping).await;
    assert!(passed <= SECOND + SECOND / 10, "{passed:?}");
    drop(held);
    pass(20 * SECOND).await;
    assert!(hung.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_that_came_at_a_bad_moment_is_said_again() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (registration, _) = registered(&mut fake, &port).await;
    let stopping = tokio::spawn(registration.stop());
    fake.next().await.problem(503, "", &json!({"status": 503}));
    let (call, _) = next_call(&mut fake, SECOND).await;
    assert!(call.line().starts_with("DELETE "), "{}", call.line());
    call.answer(204, "", "text/plain", "");
    soon("it stops", stopping).await.expect("no panic");
    assert!(fake.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn dropping_it_says_nothing() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (registration, _) = registered(&mut fake, &port).await;
    drop(registration);
    pass(20 * SECOND).await;
    assert!(fake.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn a_registry_named_twice_is_told_once() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let registration = start(&[&port, &port]);
    accept(fake.next().await);
    soon("registered", registration.registered()).await.expect("not ended");
    settle().await;
    assert!(fake.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn settings_are_checked_before_anything_is_sent() {
    let port = Port::reserve();
    let long = "x".repeat(200);
    let cases: [(&str, Settings); 4] = [
        ("weight", Settings { weight: 0, ..settings(&[&port]) }),
        ("zone", Settings { zone: Some(long), ..settings(&[&port]) }),
        ("port", Settings { listening: "127.0.0.1:0".parse().expect("an address"), ..settings(&[&port]) }),
        ("registry", settings(&[])),
    ];
    for (field, settings) in cases {
        match Registration::start(settings) {
            Err(Error::Invalid(invalid)) => assert_eq!(invalid.field, field),
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_is_made_where_none_is_given() {
    let port = Port::reserve();
    let ids: Vec<String> = (0..2)
        .map(|_| {
            Registration::start(Settings { id: None, ..settings(&[&port]) }).expect("settings that are right")
        })
        .map(|registration| registration.id().to_string())
        .collect();
    assert_eq!(ids[0].len(), 16);
    assert_ne!(ids[0], ids[1]);
}
