//! The link: opening it, losing it, keeping it. What is said through it: `link_words.rs`; sharing it: `links.rs`.

use std::time::Duration;

use berth_client::{Links, Registration, Settings};
use serde_json::json;

use crate::fake::{Call, EventsOut, Fake, Port, hold_clock, pass, pass_until, settle, soon};
use crate::scene::{
    IsLinked, REVISION, SECOND, SELDOM_S, accept, accept_for, is_renewal, linked, name, named, next_call,
    next_link, open_link, settings, start, start_with, stop, tell, tick,
};

/// What a test may need more than it should when the machine is busy.
const SLACK: Duration = Duration::from_millis(200);

#[tokio::test(start_paused = true)]
async fn a_link_that_names_the_run_is_opened_once_the_registration_is_accepted() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let token = Some("s3cret".to_owned());
    let registration = Registration::start(Settings { token, ..settings(&[&port]) }).expect("right settings");
    let call = fake.next().await;
    pass(3 * SECOND).await;
    assert!(fake.has_no_link_call(), "the registry does not know the run yet");
    call.problem(422, "", &json!({"status": 422}));
    let (call, _) = next_call(&mut fake, 4 * SECOND).await;
    assert!(fake.has_no_link_call(), "a refusal is no registration");

    accept_for(call, SELDOM_S);
    let (call, passed) = next_link(&mut fake, SECOND).await;
    assert!(passed <= SLACK, "{passed:?}");
    let run = registration.run().to_string();
    assert_eq!(call.json(), json!({"instances": [{"service": "web", "id": "one", "run": run}]}));
    assert_eq!(call.header("authorization"), Some("Bearer s3cret"));
    assert_eq!(call.header("content-type"), Some("application/json"));
    assert_eq!(call.header("accept"), Some("text/event-stream"));
    let _stream = call.stream();
    pass(10 * SECOND).await;
    assert!(fake.has_no_link_call(), "one is enough");
}

#[tokio::test(start_paused = true)]
async fn it_is_linked_from_the_first_event_until_the_link_is_lost() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let registration = start(&[&port]);
    accept_for(fake.next().await, SELDOM_S);
    let mut states = registration.states();
    let stream = next_link(&mut fake, SECOND).await.0.stream();
    stream.raw(": welcome\n\n");
    pass(SECOND).await;
    assert!(!states.borrow().is_linked(&port), "nothing was said yet");
    tick(&stream);
    soon("linked", states.wait_for(|state| state.is_linked(&port))).await.expect("it runs");
    drop(stream);
    soon("not linked", states.wait_for(|state| !state.is_linked(&port))).await.expect("it runs");
    assert_eq!(states.borrow().registered_at.len(), 1, "the lease still runs");
    assert!(states.borrow().ended.is_none());
}

#[tokio::test(start_paused = true)]
async fn pauses_before_the_next_link_grow() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (_registration, stream) = linked(&mut fake, &port).await;
    drop(stream);
    for middle_ms in [200, 400, 800, 1600, 3200, 5000, 5000] {
        settle().await;
        let (call, pause) = next_link(&mut fake, 10 * SECOND).await;
        let middle = Duration::from_millis(middle_ms);
        assert!(pause >= middle / 2 && pause <= middle * 3 / 2 + SLACK, "{middle:?}: {pause:?}");
        // Closed without an answer.
        drop(call);
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_before_the_next_link_have_jitter_and_begin_anew_when_one_was_open() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (_registration, mut stream) = linked(&mut fake, &port).await;
    let mut pauses = Vec::new();
    for _ in 0..12 {
        drop(stream);
        settle().await;
        let (call, pause) = next_link(&mut fake, 10 * SECOND).await;
        assert!(pause <= Duration::from_millis(300) + SLACK, "{pause:?}");
        pauses.push(pause);
        stream = call.stream();
        tick(&stream);
        settle().await;
    }
    pauses.sort_unstable();
    pauses.dedup();
    assert!(pauses.len() > 2, "no jitter: {pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn the_pause_that_a_registry_asks_for_is_spread_up_to_its_double() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (_registration, stream) = linked(&mut fake, &port).await;
    drop(stream);
    settle().await;
    let (mut call, _) = next_link(&mut fake, SECOND).await;
    let mut pauses = Vec::new();
    for status in [503, 429, 503, 429] {
        call.problem(status, "retry-after: 9\r\n", &json!({"status": status}));
        settle().await;
        let (next, pause) = next_link(&mut fake, 30 * SECOND).await;
        assert!(pause >= 9 * SECOND && pause <= 18 * SECOND + SLACK, "{status}: {pause:?}");
        pauses.push(pause);
        call = next;
    }
    pauses.dedup();
    assert!(pauses.len() > 1, "they come back in step: {pauses:?}");
}

/// An answer of something that has no links.
type Refusal = fn(Call);

#[tokio::test(start_paused = true)]
async fn a_registry_without_links_is_asked_slowly_while_the_lease_is_renewed() {
    let _clock = hold_clock();
    let refusals: [Refusal; 4] = [
        |call| call.answer(404, "", "text/plain", "no such path"),
        |call| call.problem(400, "", &json!({"status": 400})),
        |call| call.answer(200, "", "text/html", "<h1>Welcome</h1>"),
        |call| call.problem(401, "", &json!({"status": 401})),
    ];
    for refuse in refusals {
        let port = Port::reserve();
        let mut fake = port.listen();
        let registration = start(&[&port]);
        accept(fake.next().await);
        refuse(next_link(&mut fake, SECOND).await.0);
        settle().await;
        for least_ms in [500, 1000] {
            let (call, pause) = next_link(&mut fake, 20 * SECOND).await;
            assert!(pause >= Duration::from_millis(least_ms), "{pause:?}");
            refuse(call);
            settle().await;
        }
        for _ in 0..3 {
            let (call, _) = next_call(&mut fake, 6 * SECOND).await;
            assert!(is_renewal(&call), "{}", call.line());
            call.ok(&json!({"renew_s": 5.0}));
            settle().await;
        }
        let state = registration.states().borrow().clone();
        assert!(state.registered_at.len() == 1 && state.linked_at.is_empty(), "{state:?}");
        // The registry that takes its place has links.
        let stream = next_link(&mut fake, 20 * SECOND).await.0.stream();
        tick(&stream);
        let mut states = registration.states();
        soon("linked", states.wait_for(|state| state.is_linked(&port))).await.expect("it runs");
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_silent_for_fifteen_seconds_is_lost() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (registration, stream) = linked(&mut fake, &port).await;
    pass(14 * SECOND).await;
    assert!(!stream.is_closed() && registration.states().borrow().is_linked(&port));
    pass_until("the link is closed", 2 * SECOND, stream.closed()).await;
    settle().await;
    assert!(!registration.states().borrow().is_linked(&port));
    let (call, _) = next_link(&mut fake, SECOND).await;
    assert_eq!(named(&call), [name("web", &registration)]);
}

#[tokio::test(start_paused = true)]
async fn silence_is_counted_on_while_another_link_is_being_opened() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let links = Links::default();
    let first = start_with(&links, &[&port], "web");
    accept_for(fake.next().await, SELDOM_S);
    let stream = open_link(&mut fake).await;
    pass(10 * SECOND).await;
    let _second = start_with(&links, &[&port], "api");
    accept_for(fake.next().await, SELDOM_S);
    let (_held, _) = next_link(&mut fake, SECOND).await;
    let mut states = first.states();
    assert!(states.borrow().is_linked(&port));
    let unlinked = states.wait_for(|state| !state.is_linked(&port));
    let (_, passed) = pass_until("the silence is told", 8 * SECOND, unlinked).await;
    assert!(passed >= 4 * SECOND, "{passed:?}");
    stream.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_tick_every_five_seconds_keeps_a_link() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (registration, stream) = linked(&mut fake, &port).await;
    for _ in 0..12 {
        pass(5 * SECOND).await;
        tick(&stream);
    }
    settle().await;
    assert!(!stream.is_closed() && fake.has_no_link_call());
    assert!(registration.states().borrow().is_linked(&port));
}

/// The next call is the registration that says so, and the link is still the same.
async fn still_hears(fake: &mut Fake, stream: &EventsOut, registration: &Registration, draining: bool) {
    let event = if draining { "drain" } else { "undrain" };
    tell(stream, event, &name("web", registration), &json!({}));
    assert_eq!(accept_for(fake.next().await, SELDOM_S)["draining"], draining);
    assert!(!stream.is_closed() && fake.has_no_link_call());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_known_or_meant_for_others_does_no_harm() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (registration, stream) = linked(&mut fake, &port).await;
    stream.raw(": a comment\n\n");
    stream.event("news", REVISION, &json!("from the future"));
    stream.raw("event: tick\ndata: not even JSON\n\n");
    stream.raw("data: an event without a name\n\n");
    let stranger = json!({"service": "web", "id": "one", "run": "5"});
    tell(&stream, "drain", &stranger, &json!({}));
    tell(&stream, "ended", &stranger, &json!({"reason": "removed"}));
    still_hears(&mut fake, &stream, &registration, true).await;
    // A field of a later version.
    let mine = name("web", &registration);
    tell(&stream, "changed", &mine, &json!({"weight": 3, "colour": "blue"}));
    assert_eq!(accept_for(fake.next().await, SELDOM_S)["weight"], 3);
    still_hears(&mut fake, &stream, &registration, false).await;
}

#[tokio::test(start_paused = true)]
async fn garbage_is_a_lost_link() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (registration, mut stream) = linked(&mut fake, &port).await;
    let breaks: [fn(&EventsOut, &Registration); 5] = [
        |stream, _| stream.event("drain", REVISION, &json!({})),
        |stream, _| stream.raw("event: undrain\ndata: {\"service\n\n"),
        |stream, _| stream.event("ended", REVISION, &json!({"service": "web", "id": "one", "run": "-"})),
        |stream, mine| tell(stream, "changed", &name("web", mine), &json!({"weight": "heavy"})),
        |stream, mine| tell(stream, "ended", &name("web", mine), &json!({"reason": 7})),
    ];
    for garble in breaks {
        garble(&stream, &registration);
        stream.closed().await;
        settle().await;
        assert!(!registration.states().borrow().is_linked(&port));
        let (call, pause) = next_link(&mut fake, SECOND).await;
        assert!(pause >= Duration::from_millis(100), "a link that is always garbled would spin: {pause:?}");
        assert_eq!(named(&call), [name("web", &registration)]);
        stream = call.stream();
        tick(&stream);
        settle().await;
    }
    still_hears(&mut fake, &stream, &registration, true).await;
}

#[tokio::test(start_paused = true)]
async fn the_goodbye_comes_before_the_link_is_closed() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (registration, stream) = linked(&mut fake, &port).await;
    let run = registration.run();
    let stopping = tokio::spawn(registration.stop());
    let call = fake.next().await;
    assert_eq!(call.line(), format!("DELETE /v1/services/web/instances/one?run={run}"));
    pass(SECOND / 2).await;
    assert!(!stream.is_closed(), "its loss before the goodbye would look like a crash");
    call.answer(204, "", "text/plain", "");
    stream.closed().await;
    soon("it stops", stopping).await.expect("no panic");
    pass(20 * SECOND).await;
    assert!(fake.has_no_link_call() && fake.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn no_link_is_tried_after_the_goodbye() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (registration, stream) = linked(&mut fake, &port).await;
    drop(stream);
    settle().await;
    assert!(fake.has_no_link_call(), "it waits before the next one");
    assert_eq!(stop(registration, &mut [&mut fake]).await, 1);
    pass(20 * SECOND).await;
    assert!(fake.has_no_link_call());
}
